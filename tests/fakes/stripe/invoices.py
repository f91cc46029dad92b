"""Invoices: from draft to open to paid, void or uncollectible. Collecting is in `collecting.py`."""

from tests.fakes.stripe import collecting, customers, lines
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing, search
from tests.fakes.stripe.world import DAY, Object, World, apply, require

_FIELDS = (
    "description",
    "footer",
    "custom_fields",
    "statement_descriptor",
    "default_payment_method",
    "number",
)


def new_draft(world: World, customer: Object, currency: str, reason: str, **fields: object) -> Object:
    """Make an empty draft."""
    customers.require_currency(world, customer, currency)
    now = world.time_of(customer)
    made = world.new(
        "invoice", "in", customer=customer["id"], currency=currency, status="draft", billing_reason=reason,
        test_clock=customer["test_clock"], period_start=now, period_end=now, metadata={}, _lines=[], _intent=None,
        account_country="US", account_name="Fake Stripe", default_tax_rates=[], discounts=[], payment_settings={
        "default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        total_discount_amounts=[], total_pretax_credit_amounts=[], collection_method="charge_automatically",
        automatic_tax=no_tax(), created=now,
    )  # fmt: skip
    _copy_customer(made, customer)
    made |= fields
    if made["auto_advance"]:
        _plan_finalisation(world, made)
    return made


def no_tax(enabled: bool = False) -> Object:
    """Return `automatic_tax` as an object has it before anything is computed."""
    liability = {"type": "self"} if enabled else None
    provider = "stripe" if enabled else None
    return {
        "enabled": enabled, "liability": liability, "status": None, "disabled_reason": None, "provider": provider,
    }  # fmt: skip


def _copy_customer(invoice: Object, customer: Object) -> None:
    invoice |= {f"customer_{key}": customer[key] for key in ("address", "email", "name", "phone", "shipping")}
    invoice["customer_tax_exempt"] = customer["tax_exempt"]
    invoice["customer_tax_ids"] = []


def _plan_finalisation(world: World, invoice: Object) -> None:
    """A draft that advances is finalised an hour after invoice.created got its 2xx; without one, after 72 hours."""
    key = "draft_seconds"
    if any(world.every("webhook_endpoint", status="enabled")) and not invoice["webhooks_delivered_at"]:
        key = "draft_seconds_without_webhook"
    base = invoice["webhooks_delivered_at"] or world.time_of(invoice)
    invoice["automatically_finalizes_at"] = base + world.settings[key]


def heard(world: World, invoice: Object) -> None:
    """Somebody answered 2xx to invoice.created."""
    invoice["webhooks_delivered_at"] = world.time_of(invoice)
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        _plan_finalisation(world, invoice)


def take_pending(world: World, invoice: Object, subscription: str | None = None) -> None:
    """Put the customer's waiting invoice items onto a draft."""
    for item in world.every(
        "invoiceitem", customer=invoice["customer"], invoice=None, currency=invoice["currency"]
    ):
        if item["_subscription"] in (None, subscription):
            lines.put(world, invoice, item)


def create(world: World, params: Object) -> Object:
    """POST /v1/invoices."""
    require(params, "customer")
    customer = world.get("customer", params["customer"], "customer")
    currency = params.get("currency") or customer["currency"] or "usd"
    collection = params.get("collection_method", "charge_automatically")
    made = new_draft(
        world, customer, currency, "manual", auto_advance=params.get("auto_advance", False),
        collection_method=collection, automatic_tax=no_tax(params.get("automatic_tax", {}).get("enabled", False)),
    )  # fmt: skip
    _write(world, made, params)
    if collection == "send_invoice":
        _write_due(made, params)
    if params.get("pending_invoice_items_behavior", "exclude") == "include":
        take_pending(world, made, params.get("subscription"))
    lines.total(world, made)
    world.emit("invoice.created", made)
    return made


def _write_due(invoice: Object, params: Object) -> None:
    if "due_date" not in params and "days_until_due" not in params:
        raise Refusal(
            "If invoice is set to send_invoice collection method, either due_date or days_until_due must be "
            "specified.",
            param="days_until_due",
        )
    invoice["due_date"] = params.get("due_date") or invoice["created"] + params["days_until_due"] * DAY


def _write(world: World, invoice: Object, params: Object) -> None:
    apply(invoice, params, *_FIELDS)
    if "automatic_tax" in params:
        invoice["automatic_tax"] = no_tax(params["automatic_tax"]["enabled"])
    if params.get("auto_advance") is not None:
        invoice["auto_advance"] = params["auto_advance"]
        invoice["automatically_finalizes_at"] = None
        if invoice["auto_advance"] and invoice["status"] == "draft":
            _plan_finalisation(world, invoice)
    if "automatically_finalizes_at" in params:
        invoice["automatically_finalizes_at"] = params["automatically_finalizes_at"]


def update(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}: a finalised one keeps everything but a few fields."""
    found = world.get("invoice", invoice)
    if found["status"] != "draft" and set(params) - {"metadata", "auto_advance", "description", "expand"}:
        lines.require_draft(found)
    before = world.render(found)
    _write(world, found, params)
    if found["status"] == "draft":
        _copy_customer(found, world.objects[found["customer"]])
        lines.total(world, found)
    elif params.get("auto_advance") and found["status"] == "open":
        found["next_payment_attempt"] = world.time_of(found)
    elif params.get("auto_advance") is False:
        found["next_payment_attempt"] = None
    customers.changed(world, "invoice.updated", found, before)
    return found


def delete(world: World, params: Object, invoice: str) -> Object:
    """DELETE /v1/invoices/{invoice}: drafts that belong to no subscription."""
    found = world.get("invoice", invoice)
    if found["status"] != "draft" or found["parent"]:
        raise Refusal("You can only delete draft invoices that are not part of a subscription.")
    for item in world.every("invoiceitem", invoice=invoice):
        world.remove(item)
    world.emit("invoice.deleted", found)
    return world.remove(found)


def add_lines(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/add_lines: all of them or none."""
    found = world.get("invoice", invoice)
    lines.require_draft(found)
    if len(found["_lines"]) + len(params["lines"]) > lines.MOST_LINES:
        raise Refusal(
            f"An invoice can have at most {lines.MOST_LINES} invoice items.", code="invoice_too_many_items"
        )
    before = world.render(found)
    made = []
    for given in params["lines"]:
        if "invoice_item" in given:
            made.append(world.get("invoiceitem", given["invoice_item"], "lines[invoice_item]"))
        else:
            made.append(lines.from_params(world, found["customer"], found["currency"], given, None))
    for item in made:
        lines.put(world, found, item)
    apply(found, {"metadata": params["invoice_metadata"]} if "invoice_metadata" in params else {})
    lines.total(world, found)
    customers.changed(world, "invoice.updated", found, before)
    return found


def update_line(world: World, params: Object, invoice: str, line: str) -> Object:
    """POST /v1/invoices/{invoice}/lines/{line_item_id}."""
    found = world.get("invoice", invoice)
    lines.require_draft(found)
    changed = _line(world, found, line)
    apply(changed, params, "amount", "description", "period", "quantity")
    changed["subtotal"] = changed["amount"]
    lines.total(world, found)
    return changed


def update_lines(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/update_lines."""
    for given in params["lines"]:
        update_line(world, {key: value for key, value in given.items() if key != "id"}, invoice, given["id"])
    return world.get("invoice", invoice)


def remove_lines(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/remove_lines."""
    found = world.get("invoice", invoice)
    lines.require_draft(found)
    for given in [(_line(world, found, one["id"]), one["behavior"]) for one in params["lines"]]:
        line, behaviour = given
        item = world.objects.get((line["parent"]["invoice_item_details"] or {}).get("invoice_item", ""))
        lines.drop(world, found, line)
        if item and behaviour == "delete":
            world.remove(item)
        elif item:
            item["invoice"] = None
    lines.total(world, found)
    return found


def _line(world: World, invoice: Object, line: str) -> Object:
    if line not in invoice["_lines"]:
        raise Refusal(f"No such invoice line item: '{line}'", 404, code="resource_missing")
    return world.objects[line]


def lines_of(world: World, params: Object, invoice: str) -> Object:
    """GET /v1/invoices/{invoice}/lines."""
    found = lines.of(world, world.get("invoice", invoice))
    return listing(world, f"/v1/invoices/{invoice}/lines", found, params, newest_first=False)


def retrieve(world: World, params: Object, invoice: str) -> Object:
    """GET /v1/invoices/{invoice}."""
    return world.get("invoice", invoice)


def every(world: World, params: Object) -> Object:
    """GET /v1/invoices."""
    where = {key: params[key] for key in ("customer", "status", "collection_method") if key in params}
    wanted = params.get("subscription")
    found = [
        one
        for one in world.every("invoice", **where)
        if wanted is None or collecting.subscription_id(one) == wanted
    ]
    return listing(world, "/v1/invoices", found, params)


def find(world: World, params: Object) -> Object:
    """GET /v1/invoices/search."""
    return search(world, "/v1/invoices/search", "invoice", params)


def payments(world: World, params: Object) -> Object:
    """GET /v1/invoice_payments."""
    where = {key: params[key] for key in ("invoice", "status") if key in params}
    wanted = params.get("payment", {})
    found = [
        one
        for one in world.every("invoice_payment", **where)
        if wanted.get("payment_intent") in (None, one["payment"].get("payment_intent"))
    ]
    return listing(world, "/v1/invoice_payments", found, params)


def payment(world: World, params: Object, given: str) -> Object:
    """GET /v1/invoice_payments/{invoice_payment}."""
    return world.get("invoice_payment", given)
