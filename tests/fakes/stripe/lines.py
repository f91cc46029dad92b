"""Invoice lines, and the invoice items that they come from."""

from decimal import Decimal

from tests.fakes.stripe import catalog, customers, taxes
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply, merged

MOST_LINES = 250


def new_line(
    world: World, invoice: Object, *, amount: int, description: str | None, period: Object, parent: Object,
    quantity: int = 1, price: Object | None = None, metadata: Object | None = None,
) -> Object:  # fmt: skip
    """Put a line on an invoice. Its totals are computed by `total`."""
    if len(invoice["_lines"]) >= MOST_LINES:
        raise Refusal(
            f"An invoice can have at most {MOST_LINES} invoice items.", code="invoice_too_many_items"
        )
    line = world.new(
        "line_item", "il", amount=amount, subtotal=amount, currency=invoice["currency"], invoice=invoice["id"],
        description=description, period=period, parent=parent, quantity=quantity, metadata=metadata or {},
        discountable=True, discount_amounts=[], pretax_credit_amounts=[], taxes=[], pricing=pricing(price),
        quantity_decimal=str(quantity), subscription=None,
    )  # fmt: skip
    line["_tax_behavior"] = (price or {}).get("tax_behavior")
    invoice["_lines"].append(line["id"])
    return line


def pricing(price: Object | None) -> Object | None:
    """Return what a line says about its price."""
    return price and {
        "type": "price_details", "unit_amount_decimal": price["unit_amount_decimal"],
        "price_details": {"price": price["id"], "product": price["product"]},
    }  # fmt: skip


def item_parent(item: Object) -> Object:
    """Return the parent of a line that comes from an invoice item."""
    details = {
        "invoice_item": item["id"], "proration": item["proration"], "proration_details": {"credited_items": None},
        "subscription": item["_subscription"],
    }  # fmt: skip
    return {
        "type": "invoice_item_details",
        "invoice_item_details": details,
        "subscription_item_details": None,
    }


def total(world: World, invoice: Object) -> None:
    """Compute an invoice's amounts from its lines; a draft's with the balance that the customer has now."""
    lines = of(world, invoice)
    taxes.compute(world, invoice, lines)
    invoice["subtotal"] = sum(line["amount"] for line in lines)
    invoice["total"] = invoice["subtotal"] + taxes.exclusive(invoice["total_taxes"])
    without = invoice["subtotal"] - taxes.inclusive(invoice["total_taxes"])
    invoice |= {"subtotal_excluding_tax": without, "total_excluding_tax": without}
    if invoice["status"] == "draft":
        invoice["starting_balance"] = world.objects[invoice["customer"]]["balance"]
        invoice["amount_due"] = due(world, invoice)
        invoice["amount_remaining"] = invoice["amount_due"]


def due(world: World, invoice: Object) -> int:
    """Return what is to be charged: nothing below the smallest charge; that goes to the balance."""
    owed: int = invoice["total"] + invoice["starting_balance"]
    smallest = world.settings["minimum"].get(invoice["currency"], 50)
    if owed <= 0 or (owed < smallest and invoice["collection_method"] == "charge_automatically"):
        return 0
    return owed


def of(world: World, invoice: Object) -> list[Object]:
    """Return the lines of an invoice in their order."""
    return [world.objects[key] for key in invoice["_lines"]]


# --- invoice items ------------------------------------------------------------------------------------------


def new_item(
    world: World, customer: str, currency: str, amount: int, *, description: str | None, period: Object | None = None,
    quantity: int = 1, price: Object | None = None, metadata: Object | None = None, proration: bool = False,
    subscription: str | None = None, invoice: str | None = None,
) -> Object:  # fmt: skip
    """Make an invoice item; without an invoice it waits for the customer's next one."""
    found = world.objects[customer]
    customers.require_currency(world, found, currency)
    now = world.time_of(found)
    item = world.new(
        "invoiceitem", "ii", customer=customer, currency=currency, amount=amount, net_amount=amount, date=now,
        description=description, discountable=not proration, discounts=[], invoice=invoice, metadata=metadata or {},
        period=period or {"start": now, "end": now}, pricing=pricing(price), proration=proration, quantity=quantity,
        quantity_decimal=str(quantity), tax_rates=[], test_clock=found["test_clock"], _subscription=subscription,
        _price=price and price["id"],
    )  # fmt: skip
    if subscription:
        details = {"subscription": subscription, "subscription_item": None}
        item["parent"] = {"type": "subscription_details", "subscription_details": details}
    return item


def put(world: World, invoice: Object, item: Object) -> Object:
    """Move an invoice item onto a draft."""
    item["invoice"] = invoice["id"]
    price = world.objects.get(item["_price"] or "")
    return new_line(
        world, invoice, amount=item["amount"], description=item["description"], period=item["period"],
        parent=item_parent(item), quantity=item["quantity"], metadata=item["metadata"], price=price,
    )  # fmt: skip


def from_params(world: World, customer: str, currency: str, params: Object, invoice: str | None) -> Object:
    """Make the invoice item that a request describes: by `amount`, or by a price and a quantity."""
    quantity = params.get("quantity", 1)
    price = None
    if "amount" in params:
        amount = params["amount"]
    elif "pricing" in params or "price_data" in params:
        given = params.get("pricing") or {"price_data": params["price_data"]}
        price = catalog.price_of(world, given)
        if price["currency"] != currency:
            raise Refusal(
                f"The price's currency is {price['currency']}, the invoice's {currency}.", param="currency"
            )
        amount = taxes.rounded(Decimal(price["unit_amount_decimal"]) * quantity)
    else:
        raise Refusal("Pass one of amount, pricing and price_data.", code="parameter_missing", param="amount")
    return new_item(
        world, customer, currency, amount, description=params.get("description"), period=params.get("period"),
        quantity=quantity, price=price, metadata=merged({}, params.get("metadata") or {}), invoice=invoice,
        subscription=params.get("subscription"),
    )  # fmt: skip


def create_item(world: World, params: Object) -> Object:
    """POST /v1/invoiceitems."""
    customer = world.get("customer", params.get("customer", ""), "customer")
    invoice = None
    if "invoice" in params:
        invoice = world.get("invoice", params["invoice"], "invoice")
        require_draft(invoice)
    fallback = invoice["currency"] if invoice else customer["currency"] or "usd"
    currency = str(params.get("currency", fallback))
    item = from_params(world, customer["id"], currency, params, None)
    if invoice:
        put(world, invoice, item)
        total(world, invoice)
    world.emit("invoiceitem.created", item)
    return item


def update_item(world: World, params: Object, item: str) -> Object:
    """POST /v1/invoiceitems/{invoiceitem}: only while it waits or its invoice is a draft."""
    found = world.get("invoiceitem", item)
    line = _line_of(world, found)
    apply(found, params, "amount", "description", "period", "quantity")
    if line:
        invoice = world.objects[line["invoice"]]
        require_draft(invoice)
        line |= {key: found[key] for key in ("amount", "description", "period", "quantity", "metadata")}
        line["subtotal"] = line["amount"]
        total(world, invoice)
    return found


def delete_item(world: World, params: Object, item: str) -> Object:
    """DELETE /v1/invoiceitems/{invoiceitem}."""
    found = world.get("invoiceitem", item)
    if line := _line_of(world, found):
        invoice = world.objects[line["invoice"]]
        require_draft(invoice)
        drop(world, invoice, line)
        total(world, invoice)
    world.emit("invoiceitem.deleted", found)
    return world.remove(found)


def drop(world: World, invoice: Object, line: Object) -> None:
    """Take a line off a draft."""
    invoice["_lines"].remove(line["id"])
    world.remove(line)


def _line_of(world: World, item: Object) -> Object | None:
    for line in of(world, world.objects[item["invoice"]]) if item["invoice"] else ():
        details = line["parent"]["invoice_item_details"]
        if details and details["invoice_item"] == item["id"]:
            return line
    return None


def require_draft(invoice: Object) -> None:
    """Refuse to change an invoice that is not a draft any more."""
    if invoice["status"] != "draft":
        raise Refusal(
            f"This invoice ({invoice['id']}) is no longer editable: its status is {invoice['status']}.",
            code="invoice_not_editable",
        )


def item(world: World, params: Object, given: str) -> Object:
    """GET /v1/invoiceitems/{invoiceitem}."""
    return world.get("invoiceitem", given)


def items(world: World, params: Object) -> Object:
    """GET /v1/invoiceitems."""
    where = {key: params[key] for key in ("customer", "invoice") if key in params}
    found = [
        one
        for one in world.every("invoiceitem", **where)
        if params.get("pending") in (None, one["invoice"] is None)
    ]
    return listing(world, "/v1/invoiceitems", found, params)
