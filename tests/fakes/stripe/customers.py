"""Customers, their tax ids, and their balance: what they have too much, or still owe."""

from tests.fakes.stripe import cards
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing, search
from tests.fakes.stripe.world import Object, World, apply, merged

_FIELDS = ("name", "email", "phone", "description", "preferred_locales", "tax_exempt", "invoice_prefix")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_INVOICE_SETTINGS = ("custom_fields", "default_payment_method", "footer", "rendering_options")


def create(world: World, params: Object) -> Object:
    """POST /v1/customers."""
    if clock := params.get("test_clock"):
        world.get("test_helpers.test_clock", clock, "test_clock")
    made = world.new(
        "customer", "cus", balance=0, delinquent=False, metadata={}, test_clock=clock, tax_exempt="none",
        preferred_locales=[], next_invoice_sequence=1,
    )  # fmt: skip
    made["invoice_prefix"] = made["id"][-8:].upper()
    made["invoice_settings"] = dict.fromkeys(_INVOICE_SETTINGS)
    _write(world, made, params)
    for given in params.get("tax_id_data", []):
        add_tax_id(world, given, made["id"])
    world.emit("customer.created", made)
    return made


def update(world: World, params: Object, customer: str) -> Object:
    """POST /v1/customers/{customer}."""
    found = world.get("customer", customer)
    before = world.render(found)
    _write(world, found, params)
    changed(world, "customer.updated", found, before)
    return found


def _write(world: World, made: Object, params: Object) -> None:
    apply(made, params, *_FIELDS)
    if "address" in params:
        made["address"] = address(params["address"])
    if "shipping" in params:
        given = params["shipping"] or None
        made["shipping"] = given and {
            "name": given["name"], "phone": given.get("phone"), "address": address(given["address"]),
            "carrier": None, "tracking_number": None,
        }  # fmt: skip
    if "payment_method" in params:
        cards.attach(world, {"customer": made["id"]}, params["payment_method"])
    settings = dict(params.get("invoice_settings", {}))
    if (method := settings.get("default_payment_method")) and method != "":
        settings["default_payment_method"] = cards.of_customer(world, method, made["id"])["id"]
    made["invoice_settings"] |= {key: value or None for key, value in settings.items()}
    if "balance" in params and params["balance"] != made["balance"]:
        add_to_balance(world, made, params["balance"] - made["balance"], kind="adjustment")
    if params.get("tax", {}).get("validate_location") == "immediately":
        require_location(world, made)


def address(given: Object | str) -> Object | None:
    """Return an address with all its fields."""
    return {field: given.get(field) or None for field in _ADDRESS} if isinstance(given, dict) else None


def require_location(world: World, customer: Object) -> None:
    """Refuse a customer whose address Stripe Tax cannot place."""
    if (customer["address"] or {}).get("country") not in world.settings["tax_percent"]:
        raise Refusal(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically "
            "calculate tax.",
            code="customer_tax_location_invalid",
        )


def changed(world: World, kind: str, given: Object, before: Object) -> None:
    """Emit an `.updated` event with what is different from `before`, if anything is."""
    after = world.render(given)
    previous = {key: value for key, value in before.items() if after.get(key) != value}
    if previous:
        world.emit(kind, given, previous)


def retrieve(world: World, params: Object, customer: str) -> Object:
    """GET /v1/customers/{customer}: a deleted one says so."""
    found = world.objects.get(customer, {})
    if found.get("object") == "customer" and found.get("deleted"):
        return {"id": customer, "object": "customer", "deleted": True}
    return world.get("customer", customer)


def every(world: World, params: Object) -> Object:
    """GET /v1/customers."""
    where = {"email": params["email"]} if "email" in params else {}
    if "test_clock" in params:
        where["test_clock"] = params["test_clock"]
    return listing(world, "/v1/customers", world.every("customer", **where), params)


def find(world: World, params: Object) -> Object:
    """GET /v1/customers/search."""
    return search(world, "/v1/customers/search", "customer", params)


def delete(world: World, params: Object, customer: str) -> Object:
    """DELETE /v1/customers/{customer}: cancels its subscriptions; what was invoiced stays."""
    from tests.fakes.stripe.subscriptions import end_now

    found = world.get("customer", customer)
    for subscription in list(world.every("subscription", customer=customer)):
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            end_now(world, subscription)
    for method in list(world.every("payment_method", customer=customer)):
        cards.detach(world, {}, method["id"])
    world.emit("customer.deleted", found)
    found["deleted"] = True
    return {"id": customer, "object": "customer", "deleted": True}


# --- tax ids ------------------------------------------------------------------------------------------------


def add_tax_id(world: World, params: Object, customer: str) -> Object:
    """POST /v1/customers/{customer}/tax_ids."""
    world.get("customer", customer)
    owner = {"type": "customer", "customer": customer, "customer_account": None}
    made = world.new(
        "tax_id", "txi", customer=customer, owner=owner, type=params["type"], value=params["value"],
        country=params["value"][:2].upper() if params["type"] == "eu_vat" else params["type"][:2].upper(),
        verification={"status": "pending", "verified_address": None, "verified_name": None},
    )  # fmt: skip
    world.emit("customer.tax_id.created", made)
    return made


def tax_ids(world: World, params: Object, customer: str) -> Object:
    """GET /v1/customers/{customer}/tax_ids."""
    url = f"/v1/customers/{customer}/tax_ids"
    return listing(world, url, world.every("tax_id", customer=world.get("customer", customer)["id"]), params)


def tax_id(world: World, params: Object, customer: str, given: str) -> Object:
    """GET /v1/customers/{customer}/tax_ids/{id}."""
    return world.get("tax_id", given)


def remove_tax_id(world: World, params: Object, customer: str, given: str) -> Object:
    """DELETE /v1/customers/{customer}/tax_ids/{id}."""
    found = world.get("tax_id", given)
    world.emit("customer.tax_id.deleted", found)
    return world.remove(found)


# --- the balance --------------------------------------------------------------------------------------------


def add_to_balance(
    world: World, customer: Object, amount: int, *, kind: str, currency: str = "usd", **fields: object
) -> Object:
    """Add to what a customer owes (negative: what is owed to them); minor units."""
    customer["balance"] += amount
    customer["currency"] = customer["currency"] or currency
    return world.new(
        "customer_balance_transaction", "cbtxn", customer=customer["id"], amount=amount, type=kind,
        currency=customer["currency"], ending_balance=customer["balance"], metadata={},
        created=world.time_of(customer), **fields,
    )  # fmt: skip


def adjust_balance(world: World, params: Object, customer: str) -> Object:
    """POST /v1/customers/{customer}/balance_transactions."""
    found = world.get("customer", customer)
    require_currency(world, found, params["currency"])
    before = world.render(found)
    made = add_to_balance(world, found, params["amount"], kind="adjustment", currency=params["currency"])
    made["description"] = params.get("description")
    made["metadata"] = merged({}, params.get("metadata", {}))
    changed(world, "customer.updated", found, before)
    return made


def balance_history(world: World, params: Object, customer: str) -> Object:
    """GET /v1/customers/{customer}/balance_transactions."""
    found = world.every("customer_balance_transaction", customer=world.get("customer", customer)["id"])
    return listing(world, f"/v1/customers/{customer}/balance_transactions", found, params)


def require_currency(world: World, customer: Object, currency: str) -> None:
    """Refuse a second currency: a customer has one, from the first thing that is billed."""
    if customer["currency"] not in (None, currency):
        raise Refusal(
            "You cannot combine currencies on a single customer. This customer has had a subscription, coupon, "
            f"or invoice item with currency {customer['currency']}."
        )
    customer["currency"] = currency
