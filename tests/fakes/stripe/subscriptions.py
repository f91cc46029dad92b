"""Subscriptions: begin, change, renew, end."""

from decimal import Decimal

from tests.fakes.stripe import (
    cards,
    catalog,
    collecting,
    customers,
    invoices,
    lines,
    pending,
    periods,
    prorations,
    taxes,
)
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing, search
from tests.fakes.stripe.world import DAY, HOUR, Object, World, apply, require

OVER = ("canceled", "incomplete_expired")
_FIELDS = ("description", "collection_method", "days_until_due", "cancellation_details")


def create(world: World, params: Object) -> Object:
    """POST /v1/subscriptions: its first invoice is finalised and collected at once."""
    require(params, "customer", "items")
    customer = world.get("customer", params["customer"], "customer")
    made = begin(world, customer, params)
    invoice = world.objects[made["latest_invoice"]]
    if made["collection_method"] == "send_invoice":
        made["status"] = "active"
    elif invoice["status"] == "open":
        _collect_first(world, made, invoice, params)
    world.emit("customer.subscription.created", made)
    return made


def _collect_first(world: World, made: Object, invoice: Object, params: Object) -> None:
    if params.get("payment_behavior") == "default_incomplete":
        return
    method = collecting.method_of(world, invoice)
    if method is None:
        _undo(world, made, invoice)
        raise Refusal(
            "This customer has no attached payment source or default payment method.", code="resource_missing"
        )
    refusal = collecting.attempt(world, invoice, method)
    if refusal and params.get("payment_behavior") == "error_if_incomplete":
        _undo(world, made, invoice)
        raise refusal


def _undo(world: World, made: Object, invoice: Object) -> None:
    for given in (*(world.objects[key] for key in made["_items"]), invoice, made):
        world.remove(given)


def begin(world: World, customer: Object, params: Object) -> Object:
    """Make a subscription with its first invoice, finalised and not collected yet; no event about itself."""
    prices = [catalog.price_of(world, item) for item in params["items"]]
    currency = _one_currency(prices)
    customers.require_currency(world, customer, currency)
    now = world.time_of(customer)
    recurring = prices[0]["recurring"]
    anchor = params.get("billing_cycle_anchor") or now
    if config := params.get("billing_cycle_anchor_config"):
        anchor = periods.anchor_from_config(now, config)
    made = world.new(
        "subscription", "sub", customer=customer["id"], currency=currency, status="incomplete", start_date=now,
        billing_cycle_anchor=anchor, billing_mode={"type": "flexible", "flexible": {"proration_discounts": "included"}},
        cancel_at_period_end=params.get("cancel_at_period_end", False), test_clock=customer["test_clock"], _items=[],
        automatic_tax={"enabled": params.get("automatic_tax", {}).get("enabled", False), "liability": None,
        "disabled_reason": None}, collection_method="charge_automatically", created=now, metadata={},
        invoice_settings={"issuer": {"type": "self"}, "account_tax_ids": None}, default_tax_rates=[],
        cancellation_details={"comment": None, "feedback": None, "reason": None},
    )  # fmt: skip
    apply(made, params, *_FIELDS)
    if given := params.get("default_payment_method"):
        made["default_payment_method"] = cards.of_customer(world, given, customer["id"])["id"]
    end = periods.next_end(anchor, recurring, now)
    for item, price in zip(params["items"], prices, strict=True):
        _new_item(world, made, price, item, now, end)
    _first_invoice(world, made, params, now, end)
    return made


def _one_currency(prices: list[Object]) -> str:
    if any(price["recurring"] is None for price in prices):
        raise Refusal("The price specified is set to `type=one_time` but this field only accepts prices with "
                      "`type=recurring`.", param="items[0][price]")  # fmt: skip
    found = {price["currency"] for price in prices}
    if len(found) > 1:
        raise Refusal("All prices of a subscription must have the same currency.", param="items")
    return str(found.pop())


def _new_item(world: World, made: Object, price: Object, item: Object, start: int, end: int) -> Object:
    one = world.new(
        "subscription_item", "si", subscription=made["id"], price=price, quantity=item.get("quantity", 1),
        current_period_start=start, current_period_end=end, metadata=item.get("metadata") or {}, tax_rates=[],
        created=start,
    )  # fmt: skip
    made["_items"].append(one["id"])
    return one


def items(world: World, subscription: Object) -> list[Object]:
    """Return a subscription's items."""
    return [world.objects[key] for key in subscription["_items"]]


def _first_invoice(world: World, made: Object, params: Object, now: int, end: int) -> None:
    invoice = new_invoice(world, made, "subscription_create")
    for item in items(world, made):
        full = end - periods.add(end, item["price"]["recurring"], -1)
        share = Decimal(1)
        if end - now < full:  # a stub before the anchor
            whole = params.get("proration_behavior", "create_prorations") != "none"
            share = Decimal(end - now) / full if whole else Decimal(0)
        _fee_line(world, invoice, made, item, share)
    invoices.take_pending(world, invoice, made["id"])
    lines.total(world, invoice)
    if not taxes.is_placed(world, invoice):
        _undo(world, made, invoice)
        customers.require_location(world, world.objects[made["customer"]])
    world.emit("invoice.created", invoice)
    collecting.finalise(world, invoice)
    invoice["next_payment_attempt"] = None
    if invoice["status"] == "paid":
        made["status"] = "active"


def new_invoice(world: World, made: Object, reason: str, *, advances: bool = True) -> Object:
    """Make a draft that belongs to a subscription."""
    details = {"subscription": made["id"], "metadata": dict(made["metadata"])}
    due = made["days_until_due"]
    now = world.time_of(made)
    invoice = invoices.new_draft(
        world, world.objects[made["customer"]], made["currency"], reason, auto_advance=advances,
        parent={"type": "subscription_details", "subscription_details": details, "quote_details": None},
        collection_method=made["collection_method"], due_date=now + due * DAY if due else None,
        automatic_tax=invoices.no_tax(made["automatic_tax"]["enabled"]),
    )  # fmt: skip
    made["latest_invoice"] = invoice["id"]
    return invoice


def _fee_line(world: World, invoice: Object, made: Object, item: Object, share: Decimal = Decimal(1)) -> None:
    price = item["price"]
    amount = taxes.rounded(Decimal(price["unit_amount_decimal"]) * item["quantity"] * share)
    details = {
        "invoice_item": None, "proration": share != 1, "proration_details": {"credited_items": None},
        "subscription": made["id"], "subscription_item": item["id"],
    }  # fmt: skip
    name = world.objects[price["product"]]["name"]
    every = price["recurring"]["interval"]
    lines.new_line(
        world, invoice, amount=amount, quantity=item["quantity"], price=price, metadata=dict(made["metadata"]),
        description=f"{item['quantity']} × {name} (at {price['unit_amount_decimal']} {made['currency']} / {every})",
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        parent={"type": "subscription_item_details", "subscription_item_details": details,
                "invoice_item_details": None},
    )  # fmt: skip


# --- change -------------------------------------------------------------------------------------------------


def update(world: World, params: Object, subscription: str) -> Object:
    """POST /v1/subscriptions/{subscription}."""
    found = world.get("subscription", subscription)
    if found["status"] in OVER:
        raise Refusal("A canceled subscription can only update its cancellation_details and metadata.")
    if "trial_end" in params:
        raise Refusal("This fake has no trials.", param="trial_end")
    if params.get("payment_behavior") == "error_if_incomplete" and "items" in params:
        _require_payment(world, params, subscription)
    before = world.render(found)
    apply(found, params, *_FIELDS)
    _write(world, found, params)
    if params.get("payment_behavior") == "pending_if_incomplete":
        pending.change(world, found, params)
    elif "items" in params:
        prorations.change_items(world, found, params)
    customers.changed(world, "customer.subscription.updated", found, before)
    return found


def _require_payment(world: World, params: Object, subscription: str) -> None:
    """Refuse a change whose invoice the card would not pay, and change nothing: tried in a copy first."""
    shadow = world.copy()
    given = {key: value for key, value in params.items() if key != "payment_behavior"}
    update(shadow, given, subscription)
    invoice = shadow.objects[shadow.objects[subscription]["latest_invoice"]]
    if invoice["status"] != "open":
        return
    error = shadow.objects[invoice["_intent"]]["last_payment_error"]
    raise cards.refuse_card(error["decline_code"] if error else "authentication_required")


def _write(world: World, found: Object, params: Object) -> None:
    if given := params.get("default_payment_method"):
        found["default_payment_method"] = cards.of_customer(world, given, found["customer"])["id"]
    if "automatic_tax" in params:
        found["automatic_tax"]["enabled"] = params["automatic_tax"]["enabled"]
    if "pause_collection" in params:
        given = params["pause_collection"] or None
        found["pause_collection"] = given and {
            "behavior": given["behavior"],
            "resumes_at": given.get("resumes_at"),
        }
    if "cancel_at_period_end" in params or "cancel_at" in params:
        _plan_end(world, found, params)


def _plan_end(world: World, found: Object, params: Object) -> None:
    at_end = params.get("cancel_at_period_end", False)
    when = period_end(world, found) if at_end else params.get("cancel_at") or None
    found |= {"cancel_at_period_end": at_end, "cancel_at": when, "canceled_at": when and world.time_of(found)}
    found["cancellation_details"]["reason"] = "cancellation_requested" if when else None


def period_end(world: World, subscription: Object) -> int:
    """Return when the present period ends."""
    return min(int(item["current_period_end"]) for item in items(world, subscription))


# --- renew and end ------------------------------------------------------------------------------------------


def renew(world: World, subscription: Object) -> Object:
    """Begin the next period: its fee in advance, and what waited, on a draft."""
    before = world.render(subscription)
    for item in items(world, subscription):
        start = item["current_period_end"]
        end = periods.next_end(subscription["billing_cycle_anchor"], item["price"]["recurring"], start)
        item |= {"current_period_start": start, "current_period_end": end}
    pause = subscription["pause_collection"] or {}
    asleep = subscription["status"] == "unpaid" or pause.get("behavior") == "keep_as_draft"
    invoice = new_invoice(world, subscription, "subscription_cycle", advances=not asleep)
    period = {key: before["items"]["data"][0][f"current_{key}"] for key in ("period_start", "period_end")}
    invoice |= period
    for item in items(world, subscription):
        _fee_line(world, invoice, subscription, item)
    invoices.take_pending(world, invoice, subscription["id"])
    lines.total(world, invoice)
    customers.changed(world, "customer.subscription.updated", subscription, before)
    world.emit("invoice.created", invoice)
    return invoice


def end_now(world: World, subscription: Object, reason: str = "cancellation_requested") -> None:
    """End a subscription. Its drafts advance no more, and no open invoice of the customer is collected by itself."""
    now = world.time_of(subscription)
    subscription |= {"status": "canceled", "ended_at": now, "canceled_at": subscription["canceled_at"] or now}
    subscription["cancellation_details"]["reason"] = reason
    if schedule := world.objects.get(subscription["schedule"] or ""):
        schedule |= {"status": "canceled", "canceled_at": now, "current_phase": None}
    for invoice in world.every("invoice", customer=subscription["customer"]):
        own = collecting.subscription_id(invoice) == subscription["id"]
        if invoice["status"] == "open" or (invoice["status"] == "draft" and own):
            invoice |= {
                "auto_advance": False,
                "next_payment_attempt": None,
                "automatically_finalizes_at": None,
            }
    world.emit("customer.subscription.deleted", subscription)


def expire(world: World, subscription: Object) -> None:
    """A first invoice that was not paid within 23 hours: the subscription never began."""
    subscription |= {"status": "incomplete_expired", "ended_at": world.time_of(subscription)}
    invoice = world.objects[subscription["latest_invoice"]]
    if invoice["status"] == "open":
        collecting.void(world, {}, invoice["id"])
    world.emit("customer.subscription.updated", subscription, {"status": "incomplete"})


EXPIRES_AFTER = 23 * HOUR


def cancel(world: World, params: Object, subscription: str) -> Object:
    """DELETE /v1/subscriptions/{subscription}: now."""
    found = world.get("subscription", subscription)
    if found["status"] in OVER:
        raise Refusal(f"No such subscription: '{subscription}'", 404, code="resource_missing")
    found["cancellation_details"] |= params.get("cancellation_details", {})
    if params.get("prorate"):
        prorations.credit_rest(world, found)
    end_now(world, found)
    if params.get("invoice_now"):
        invoice = new_invoice(world, found, "subscription_update")
        invoices.take_pending(world, invoice, found["id"])
        lines.total(world, invoice)
        world.emit("invoice.created", invoice)
        collecting.finalise(world, invoice)
    return found


def retrieve(world: World, params: Object, subscription: str) -> Object:
    """GET /v1/subscriptions/{subscription}."""
    return world.get("subscription", subscription)


def every(world: World, params: Object) -> Object:
    """GET /v1/subscriptions: not the cancelled ones, unless they are asked for."""
    where = {"customer": params["customer"]} if "customer" in params else {}
    status = params.get("status")
    found = [one for one in world.every("subscription", **where) if _fits(one, status)]
    return listing(world, "/v1/subscriptions", found, params)


def _fits(one: Object, status: str | None) -> bool:
    if status == "ended":
        return bool(one["status"] in OVER)
    if status is None:
        return bool(one["status"] != "canceled")
    return bool(status in ("all", one["status"]))


def find(world: World, params: Object) -> Object:
    """GET /v1/subscriptions/search."""
    return search(world, "/v1/subscriptions/search", "subscription", params)


def item(world: World, params: Object, given: str) -> Object:
    """GET /v1/subscription_items/{item}."""
    return world.get("subscription_item", given)


def every_item(world: World, params: Object) -> Object:
    """GET /v1/subscription_items."""
    found = items(world, world.get("subscription", params["subscription"], "subscription"))
    return listing(world, "/v1/subscription_items", found, params, newest_first=False)
