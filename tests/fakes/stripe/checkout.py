"""Checkout sessions: what the customer is asked, and what comes of it when they pay on the hosted page."""

from decimal import Decimal

from tests.fakes.stripe import (
    cards,
    catalog,
    collecting,
    customers,
    invoices,
    lines,
    payments,
    periods,
    setups,
    specification,
    subscriptions,
    taxes,
)
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing, page
from tests.fakes.stripe.world import DAY, Object, World, apply, merged

_FIELDS = (
    "client_reference_id", "success_url", "cancel_url", "customer_email", "locale", "billing_address_collection",
    "allow_promotion_codes", "allowed_payment_method_types", "submit_type", "payment_method_collection",
)  # fmt: skip


def create(world: World, params: Object) -> Object:
    """POST /v1/checkout/sessions."""
    mode = params.get("mode", "payment")
    customer = params.get("customer")
    if customer:
        world.get("customer", customer, "customer")
    ui = params.get("ui_mode", "hosted_page")
    if ui == "hosted_page" and not params.get("success_url"):
        raise Refusal("Missing required param: success_url.", code="parameter_missing", param="success_url")
    items = [_item(world, given) for given in params.get("line_items", [])]
    _check(mode, items)
    now = world.now(world.objects[customer]["test_clock"] if customer else None)
    made = world.new(
        "checkout.session", "cs_test", mode=mode, customer=customer, status="open", ui_mode=ui, metadata={},
        payment_method_types=["card"], payment_status="no_payment_required" if mode == "setup" else "unpaid",
        expires_at=params.get("expires_at", now + DAY), created=now, _line_items=items, _asked=params,
        customer_creation="always" if mode == "subscription" and not customer else None,
    )  # fmt: skip
    apply(made, params, *_FIELDS)
    _amounts(world, made, items, params)
    made["url"] = (
        f"{world.settings.get('url', '')}/_fake/checkout/{made['id']}" if ui == "hosted_page" else None
    )
    if mode == "setup":
        made["setup_intent"] = setups.create(world, {"customer": customer})["id"]
    return made


def _item(world: World, given: Object) -> Object:
    price = catalog.price_of(world, given)
    quantity = given.get("quantity", 1)
    amount = taxes.rounded(Decimal(price["unit_amount_decimal"]) * quantity)
    made = specification.blank("item")
    return made | {
        "id": world.new_id("li"), "price": price, "quantity": quantity, "currency": price["currency"],
        "amount_subtotal": amount, "amount_total": amount, "description": world.objects[price["product"]]["name"],
        "metadata": {},
    }  # fmt: skip


def _check(mode: str, items: list[Object]) -> None:
    recurring = [item for item in items if item["price"]["recurring"]]
    if mode == "subscription" and not recurring:
        raise Refusal(
            "You must provide at least one recurring price in `subscription` mode.", param="line_items"
        )
    if mode == "payment" and recurring:
        raise Refusal("You specified `payment` mode but passed a recurring price.", param="line_items")
    if mode != "setup" and not items:
        raise Refusal("Missing required param: line_items.", code="parameter_missing", param="line_items")


def _amounts(world: World, made: Object, items: list[Object], params: Object) -> None:
    enabled = params.get("automatic_tax", {}).get("enabled", False)
    made["automatic_tax"] = invoices.no_tax(enabled)
    del made["automatic_tax"]["disabled_reason"]
    if not items:
        made["currency"] = params.get("currency")
        return
    amount = sum(_due_today(item, params.get("subscription_data", {}), made["created"]) for item in items)
    made |= {"currency": items[0]["currency"], "amount_subtotal": amount, "amount_total": amount}
    made["total_details"] = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}


def _due_today(item: Object, subscription: Object, now: int) -> int:
    """What an item costs at once: the share of its period until the anchor, where the subscription asks for one."""
    anchor, whole = subscription.get("billing_cycle_anchor"), int(item["amount_subtotal"])
    recurring = item["price"]["recurring"]
    if not anchor or not recurring:
        return whole
    if subscription.get("proration_behavior") == "none":
        return 0
    full = anchor - periods.add(anchor, recurring, -1)
    return taxes.rounded(Decimal(whole) * (anchor - now) / full)


def complete(world: World, session: str, card: Object) -> Object:
    """The customer pays. `card`: number, and month, year, email, name, country, authenticated if they are told.

    A card that declines raises and leaves the session open.
    """
    found = world.get("checkout.session", session)
    if found["status"] != "open":
        raise Refusal(f"This Checkout Session is {found['status']}.")
    customer = _customer(world, found, card)
    method = cards.make(
        world, card["number"], int(card.get("month") or 12), int(card.get("year") or 0) or None
    )
    if (refusal := cards.behaviour(method)).on_attach:
        raise cards.refuse_card(refusal.on_attach)
    there = card.get("authenticated", True) is not False
    finish = {"subscription": _subscribe, "payment": _buy, "setup": _save}[found["mode"]]
    finish(world, found, customer, method, there)
    found |= {"status": "complete", "url": None}
    if found["mode"] != "setup":
        found["payment_status"] = "paid"
    world.emit("checkout.session.completed", found)
    return found


def _customer(world: World, session: Object, card: Object) -> Object:
    asked = session["_asked"]
    where = customers.address({"country": card.get("country") or "US"})
    if session["customer"]:
        customer = world.objects[session["customer"]]
        wanted = asked.get("customer_update", {})
        if wanted.get("address") == "auto" or customer["address"] is None:
            customer["address"] = where
    else:
        email = card.get("email") or asked.get("customer_email") or "customer@example.com"
        customer = customers.create(world, {"email": email, "name": card.get("name", "")})
        customer["address"] = where
        session["customer"] = customer["id"]
    session["customer_details"] = {
        "address": customer["address"], "email": customer["email"], "name": customer["name"], "phone": None,
        "tax_exempt": customer["tax_exempt"], "tax_ids": [], "business_name": None, "individual_name": None,
    }  # fmt: skip
    return customer


def _keep(world: World, customer: Object, method: Object) -> None:
    method["_authenticated"] = True
    cards.attach(world, {"customer": customer["id"]}, method["id"])


def _subscribe(world: World, session: Object, customer: Object, method: Object, there: bool) -> None:
    asked = session["_asked"]
    wanted = dict(asked.get("subscription_data", {}))
    wanted["items"] = [
        {"price": item["price"]["id"], "quantity": item["quantity"]} for item in session["_line_items"]
    ]
    if "automatic_tax" in asked:
        wanted["automatic_tax"] = asked["automatic_tax"]
    _keep(world, customer, method)
    made = subscriptions.begin(world, customer, wanted | {"default_payment_method": method["id"]})
    invoice = world.objects[made["latest_invoice"]]
    refusal = collecting.attempt(world, invoice, method, there=there) if invoice["status"] == "open" else None
    if refusal:
        subscriptions.expire(world, made)
        raise refusal
    session |= {"subscription": made["id"], "invoice": invoice["id"], "amount_total": invoice["total"]}
    tax = taxes.exclusive(invoice["total_taxes"] or [])
    session["total_details"]["amount_tax"] = tax
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = invoice["automatic_tax"]["status"]
    world.emit("customer.subscription.created", made)


def _buy(world: World, session: Object, customer: Object, method: Object, there: bool) -> None:
    asked = session["_asked"]
    data = asked.get("payment_intent_data", {})
    if asked.get("invoice_creation", {}).get("enabled"):
        _buy_with_invoice(world, session, customer, method, there)
        return
    made = payments.new_intent(world, session["amount_total"], session["currency"], customer["id"])
    apply(made, data, "description", "setup_future_usage")
    payments.charge(world, made, method, there=there)
    _require_success(made)
    session["payment_intent"] = made["id"]
    if made["setup_future_usage"]:
        _keep(world, customer, method)


def _buy_with_invoice(world: World, session: Object, customer: Object, method: Object, there: bool) -> None:
    data = session["_asked"]["invoice_creation"].get("invoice_data", {})
    tax = invoices.no_tax(session["automatic_tax"]["enabled"])
    invoice = invoices.new_draft(
        world, customer, session["currency"], "manual", auto_advance=False, automatic_tax=tax
    )
    invoice["metadata"] = merged({}, data.get("metadata") or {})
    invoice["description"] = data.get("description")
    for item in session["_line_items"]:
        made = lines.new_item(
            world, customer["id"], session["currency"], item["amount_subtotal"], description=item["description"],
            quantity=item["quantity"], price=item["price"],
        )  # fmt: skip
        lines.put(world, invoice, made)
    lines.total(world, invoice)
    world.emit("invoice.created", invoice)
    collecting.finalise(world, invoice)
    if invoice["status"] == "open" and (refusal := collecting.attempt(world, invoice, method, there=there)):
        collecting.void(world, {}, invoice["id"])
        raise refusal
    session |= {
        "invoice": invoice["id"],
        "payment_intent": invoice["_intent"],
        "amount_total": invoice["total"],
    }
    future = session["_asked"].get("payment_intent_data", {}).get("setup_future_usage")
    if future:
        _keep(world, customer, method)


def _require_success(intent: Object) -> None:
    if intent["status"] == "requires_action":
        raise cards.refuse_card("authentication_required")
    if intent["status"] != "succeeded":
        raise cards.refuse_card(intent["last_payment_error"]["decline_code"])


def _save(world: World, session: Object, customer: Object, method: Object, there: bool) -> None:
    intent = world.objects[session["setup_intent"]]
    intent["customer"] = customer["id"]
    setups.confirm(world, {"payment_method": method["id"]}, intent["id"], there=there)
    if intent["status"] != "succeeded":
        raise cards.refuse_card("authentication_required")


def expire(world: World, params: Object, session: str) -> Object:
    """POST /v1/checkout/sessions/{session}/expire."""
    found = world.get("checkout.session", session)
    if found["status"] != "open":
        raise Refusal(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This is {found["status"]}.'
        )
    found |= {"status": "expired", "url": None}
    world.emit("checkout.session.expired", found)
    return found


def update(world: World, params: Object, session: str) -> Object:
    """POST /v1/checkout/sessions/{session}."""
    found = world.get("checkout.session", session)
    apply(found, params)
    return found


def retrieve(world: World, params: Object, session: str) -> Object:
    """GET /v1/checkout/sessions/{session}."""
    return world.get("checkout.session", session)


def every(world: World, params: Object) -> Object:
    """GET /v1/checkout/sessions."""
    names = ("customer", "subscription", "payment_intent", "status")
    where = {key: params[key] for key in names if key in params}
    return listing(world, "/v1/checkout/sessions", world.every("checkout.session", **where), params)


def line_items(world: World, params: Object, session: str) -> Object:
    """GET /v1/checkout/sessions/{session}/line_items."""
    found = world.get("checkout.session", session)
    return page(f"/v1/checkout/sessions/{session}/line_items", found["_line_items"])
