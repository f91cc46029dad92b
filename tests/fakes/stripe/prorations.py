"""Plan changes in the middle of a period: to the second, as Stripe does it."""

from decimal import Decimal

from tests.fakes.stripe import catalog, collecting, invoices, lines, periods, taxes
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import Object, World


def change_items(world: World, subscription: Object, params: Object) -> None:
    """Change price or quantity of items; what is left of the period is credited and charged again.

    `proration_behavior`: create_prorations leaves both for the next invoice (the default), always_invoice puts them
    on one of its own now, none charges nothing before the next period.
    """
    behaviour = params.get("proration_behavior", "create_prorations")
    when = params.get("proration_date") or world.time_of(subscription)
    restarts = params.get("billing_cycle_anchor", {}).get("type") == "now"
    made: list[Object] = []
    for given in params["items"]:
        item = _item(world, subscription, given)
        before = {"price": item["price"], "quantity": item["quantity"], "end": item["current_period_end"]}
        _write(world, subscription, item, given)
        fresh = _restarts(before["price"], item["price"], restarts)
        if fresh:
            _restart(world, subscription, item)
        if behaviour != "none" and (fresh or _differs(before, item)):
            made += _prorate(world, subscription, item, before, when, fresh=fresh)
    if (behaviour == "always_invoice" and made) or (restarts and behaviour != "none"):
        invoice_now(world, subscription)


def _item(world: World, subscription: Object, given: Object) -> Object:
    if "id" not in given:
        raise Refusal(
            "This fake changes items of a subscription by their id and adds none.", param="items[0][id]"
        )
    if given["id"] not in subscription["_items"]:
        raise Refusal(
            f"No such subscription item: '{given['id']}'", code="resource_missing", param="items[0][id]"
        )
    if given.get("deleted"):
        raise Refusal("A subscription must have at least one active plan.", param="items")
    return world.objects[given["id"]]


def _write(world: World, subscription: Object, item: Object, given: Object) -> None:
    if "price" in given or "price_data" in given:
        price = catalog.price_of(world, given)
        if price["currency"] != subscription["currency"]:
            raise Refusal("The price has another currency than the subscription.", param="items[0][price]")
        item["price"] = price
    item["quantity"] = given.get("quantity", item["quantity"])


def _differs(before: Object, item: Object) -> bool:
    return (before["price"]["id"], before["quantity"]) != (item["price"]["id"], item["quantity"])


def _restarts(old: Object, new: Object, asked: bool) -> bool:
    keys = ("interval", "interval_count")
    return asked or any(old["recurring"][key] != new["recurring"][key] for key in keys)


def _restart(world: World, subscription: Object, item: Object) -> None:
    now = world.time_of(subscription)
    subscription["billing_cycle_anchor"] = now
    item["current_period_start"] = now
    item["current_period_end"] = periods.add(now, item["price"]["recurring"], 1)


def _prorate(
    world: World, subscription: Object, item: Object, before: Object, when: int, *, fresh: bool
) -> list[Object]:
    """Make the credit for the old price and the charge for the new one, as invoice items that wait."""
    end = before["end"]
    full = end - periods.add(end, before["price"]["recurring"], -1)
    left = Decimal(max(0, end - when)) / full
    credit = -taxes.rounded(_whole(before["price"], before["quantity"]) * left)
    share = Decimal(1) if fresh else left
    charge = taxes.rounded(_whole(item["price"], item["quantity"]) * share)
    period = {"start": when, "end": item["current_period_end"]}
    return [
        _wait(world, subscription, before["price"], before["quantity"], credit, "Unused time on", when, {
            "start": when, "end": end}),
        _wait(world, subscription, item["price"], item["quantity"], charge, "Remaining time on", when, period),
    ]  # fmt: skip


def _whole(price: Object, quantity: int) -> Decimal:
    return Decimal(price["unit_amount_decimal"]) * quantity


def _wait(
    world: World, subscription: Object, price: Object, quantity: int, amount: int, what: str, when: int,
    period: Object,
) -> Object:  # fmt: skip
    name = world.objects[price["product"]]["name"]
    return lines.new_item(
        world, subscription["customer"], subscription["currency"], amount, proration=True, quantity=quantity,
        description=f"{what} {name} after {periods.day(when)}", price=price, subscription=subscription["id"],
        period=period, metadata=dict(subscription["metadata"]),
    )  # fmt: skip


def invoice_now(world: World, subscription: Object) -> Object:
    """Invoice what waits, now: finalised at once, collected at once if a card is there."""
    from tests.fakes.stripe.subscriptions import new_invoice

    invoice = new_invoice(world, subscription, "subscription_update")
    invoices.take_pending(world, invoice, subscription["id"])
    lines.total(world, invoice)
    world.emit("invoice.created", invoice)
    collecting.finalise(world, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        collecting.attempt_when_due(world, invoice)
    return invoice


def credit_rest(world: World, subscription: Object) -> None:
    """Credit what is left of the period of a subscription that ends now."""
    from tests.fakes.stripe.subscriptions import items

    now = world.time_of(subscription)
    for item in items(world, subscription):
        end = item["current_period_end"]
        full = end - periods.add(end, item["price"]["recurring"], -1)
        left = Decimal(max(0, end - now)) / full
        amount = -taxes.rounded(_whole(item["price"], item["quantity"]) * left)
        period = {"start": now, "end": end}
        _wait(world, subscription, item["price"], item["quantity"], amount, "Unused time on", now, period)


def preview(world: World, params: Object) -> Object:
    """POST /v1/invoices/create_preview: does it in a copy of the world, so that it equals the charge."""
    from tests.fakes.stripe import subscriptions

    shadow = world.copy()
    given = params.get("subscription_details", {})
    if "subscription" in params:
        found = shadow.get("subscription", params["subscription"], "subscription")
        customer = shadow.objects[found["customer"]]
        invoice = _of_change(shadow, found, given)
    else:
        customer = shadow.get("customer", params.get("customer", ""), "customer")
        items = given.get("items")
        if items:
            started = subscriptions.begin(shadow, customer, {"items": items} | given)
            invoice = shadow.objects[started["latest_invoice"]]
        else:
            currency = params.get("currency") or customer["currency"] or "usd"
            invoice = invoices.new_draft(shadow, customer, currency, "upcoming", auto_advance=False)
    if "automatic_tax" in params:
        invoice["automatic_tax"] = invoices.no_tax(params["automatic_tax"]["enabled"])
    for item in params.get("invoice_items", []):
        lines.put(shadow, invoice, lines.from_params(shadow, customer["id"], invoice["currency"], item, None))
    invoice |= {"status": "draft", "ending_balance": None, "number": None}
    lines.total(shadow, invoice)
    shown = shadow.render(invoice)
    return shown | {"id": f"upcoming_{invoice['id']}"}


def _of_change(shadow: World, found: Object, given: Object) -> Object:
    from tests.fakes.stripe import subscriptions

    behaviour = given.get("proration_behavior", "create_prorations")
    if given.get("cancel_now"):
        credit_rest(shadow, found)
        invoice = subscriptions.new_invoice(shadow, found, "upcoming")
        invoices.take_pending(shadow, invoice, found["id"])
        return invoice
    if given.get("items"):
        wanted = given | {"proration_behavior": "none" if behaviour == "none" else "create_prorations"}
        change_items(shadow, found, wanted)
    if behaviour == "always_invoice":
        invoice = subscriptions.new_invoice(shadow, found, "upcoming")
        invoices.take_pending(shadow, invoice, found["id"])
        return invoice
    if found["test_clock"] is None:
        shadow.set_time(subscriptions.period_end(shadow, found))
    return subscriptions.renew(shadow, found)
