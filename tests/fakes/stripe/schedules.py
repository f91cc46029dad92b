"""Subscription schedules: a change that waits for the end of a phase, such as a cheaper plan."""

from tests.fakes.stripe import catalog, customers, periods, prorations, specification, subscriptions
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply


def create(world: World, params: Object) -> Object:
    """POST /v1/subscription_schedules: from a subscription; others this fake does not make."""
    if "from_subscription" not in params:
        raise Refusal("This fake makes schedules from subscriptions only.", param="from_subscription")
    subscription = world.get("subscription", params["from_subscription"], "from_subscription")
    if subscription["schedule"]:
        raise Refusal("You cannot migrate a subscription that is already attached to a schedule.")
    phase = _present_phase(world, subscription)
    made = world.new(
        "subscription_schedule", "sub_sched", customer=subscription["customer"], subscription=subscription["id"],
        phases=[phase], status="active", test_clock=subscription["test_clock"], metadata={}, end_behavior="release",
        current_phase={key: phase[key] for key in ("start_date", "end_date")},
        billing_mode={"type": "flexible", "flexible": {"proration_discounts": "included"}},
    )  # fmt: skip
    made["default_settings"]["collection_method"] = subscription["collection_method"]
    subscription["schedule"] = made["id"]
    apply(made, params)
    world.emit("subscription_schedule.created", made)
    return made


def _phase(currency: str, start: int, end: int, items: list[Object], **fields: object) -> Object:
    made = specification.blank("subscription_schedule_phase_configuration")
    made |= {
        "currency": currency,
        "start_date": start,
        "end_date": end,
        "proration_behavior": "create_prorations",
    }
    made["items"] = [
        specification.blank("subscription_schedule_configuration_item")
        | {"price": item["price"], "quantity": item["quantity"], "metadata": {}, "tax_rates": []}
        for item in items
    ]
    return made | fields


def _present_phase(world: World, subscription: Object) -> Object:
    items = subscriptions.items(world, subscription)
    shown = [{"price": item["price"]["id"], "quantity": item["quantity"]} for item in items]
    start, end = items[0]["current_period_start"], subscriptions.period_end(world, subscription)
    return _phase(subscription["currency"], start, end, shown, metadata={})


def update(world: World, params: Object, schedule: str) -> Object:
    """POST /v1/subscription_schedules/{schedule}."""
    found = _active(world, schedule)
    before = world.render(found)
    apply(found, params, "end_behavior")
    if "phases" in params:
        found["phases"] = _phases(world, found, params["phases"])
        now = world.time_of(found)
        present = next((one for one in found["phases"] if one["start_date"] <= now < one["end_date"]), None)
        if present is None:
            raise Refusal("The current phase cannot be removed from the schedule.", param="phases")
        found["current_phase"] = {key: present[key] for key in ("start_date", "end_date")}
    customers.changed(world, "subscription_schedule.updated", found, before)
    return found


def _phases(world: World, schedule: Object, given: list[Object]) -> list[Object]:
    made: list[Object] = []
    for one in given:
        prices = [catalog.price_of(world, item) for item in one["items"]]
        start = made[-1]["end_date"] if made else one.get("start_date", schedule["phases"][0]["start_date"])
        if isinstance(start, str):
            start = world.time_of(schedule)
        items = [
            {"price": price["id"], "quantity": item.get("quantity", 1)}
            for price, item in zip(prices, one["items"], strict=True)
        ]
        end = _end(one, start, prices[0]["recurring"])
        extra = {key: one[key] for key in ("proration_behavior", "metadata") if key in one}
        made.append(_phase(prices[0]["currency"], start, end, items, **extra))
    return made


def _end(phase: Object, start: int, recurring: Object) -> int:
    if isinstance(phase.get("end_date"), int):
        return int(phase["end_date"])
    duration = phase.get("duration") or {
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
    }
    return periods.add(
        start, {"interval": duration["interval"], "interval_count": duration.get("interval_count", 1)}, 1
    )


def _active(world: World, schedule: str) -> Object:
    found = world.get("subscription_schedule", schedule)
    if found["status"] != "active":
        raise Refusal(f"You cannot change a subscription schedule that is {found['status']}.")
    return found


def turn(world: World, schedule: Object) -> None:
    """The agenda's step at the end of a phase: the next one begins, or the schedule lets go."""
    end = schedule["current_phase"]["end_date"]
    following = next((one for one in schedule["phases"] if one["start_date"] == end), None)
    subscription = world.objects[schedule["subscription"]]
    if following is None:
        if schedule["end_behavior"] == "cancel":
            subscriptions.end_now(world, subscription)
        schedule |= {"status": "completed", "completed_at": world.time_of(schedule), "current_phase": None}
        subscription["schedule"] = None
        world.emit("subscription_schedule.completed", schedule)
        return
    schedule["current_phase"] = {key: following[key] for key in ("start_date", "end_date")}
    pairs = zip(following["items"], subscriptions.items(world, subscription), strict=True)
    items = [{"id": old["id"], "price": new["price"], "quantity": new["quantity"]} for new, old in pairs]
    at_renewal = subscriptions.period_end(world, subscription) == end
    behaviour = "none" if at_renewal else following["proration_behavior"]
    before = world.render(subscription)
    prorations.change_items(world, subscription, {"items": items, "proration_behavior": behaviour})
    subscription["metadata"] = {**subscription["metadata"], **(following["metadata"] or {})}
    customers.changed(world, "customer.subscription.updated", subscription, before)
    world.emit("subscription_schedule.updated", schedule)


def release(world: World, params: Object, schedule: str) -> Object:
    """POST /v1/subscription_schedules/{schedule}/release: the subscription goes on as it is."""
    found = _active(world, schedule)
    world.objects[found["subscription"]]["schedule"] = None
    found |= {"status": "released", "released_at": world.time_of(found), "current_phase": None}
    found |= {"released_subscription": found["subscription"], "subscription": None}
    world.emit("subscription_schedule.released", found)
    return found


def cancel(world: World, params: Object, schedule: str) -> Object:
    """POST /v1/subscription_schedules/{schedule}/cancel: with its subscription."""
    found = _active(world, schedule)
    subscriptions.end_now(world, world.objects[found["subscription"]])
    world.emit("subscription_schedule.canceled", found)
    return found


def retrieve(world: World, params: Object, schedule: str) -> Object:
    """GET /v1/subscription_schedules/{schedule}."""
    return world.get("subscription_schedule", schedule)


def every(world: World, params: Object) -> Object:
    """GET /v1/subscription_schedules."""
    where = {key: params[key] for key in ("customer",) if key in params}
    return listing(world, "/v1/subscription_schedules", world.every("subscription_schedule", **where), params)
