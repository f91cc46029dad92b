"""Credit notes: what is taken back from a finalised invoice.

Before payment a note lowers what is due. After it, refund_amount + credit_amount + out_of_band_amount must equal
what the note takes back of the amount paid.
"""

from decimal import Decimal

from tests.fakes.stripe import collecting, customers, payments, specification, taxes
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply, merged


def create(world: World, params: Object) -> Object:
    """POST /v1/credit_notes."""
    invoice = world.get("invoice", params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise Refusal(
            f"You can only create a credit note for a finalized invoice. This one is {invoice['status']}."
        )
    made = _draw_up(world, invoice, params)
    _keep(world, invoice, made)
    customer = world.objects[invoice["customer"]]
    _apply(world, invoice, customer, made, params)
    world.emit("credit_note.created", made)
    return made


def preview(world: World, params: Object) -> Object:
    """GET /v1/credit_notes/preview: what create would answer, and nothing happens."""
    shadow = world.copy()
    made = create(shadow, {key: value for key, value in params.items() if key != "expand"})
    return shadow.render(made)


def _draw_up(world: World, invoice: Object, params: Object) -> Object:
    """Compute the note's amounts and refuse what does not add up."""
    shown = [_line(world, invoice, given) for given in _asked_lines(invoice, params)]
    subtotal = sum(line["amount"] for line in shown)
    found = taxes.added([tax for line in shown for tax in line["taxes"]])
    total = subtotal + taxes.exclusive(found)
    already = sum(
        note["total"] for note in world.every("credit_note", invoice=invoice["id"], status="issued")
    )
    if total <= 0 or already + total > invoice["total"]:
        raise Refusal(
            f"The sum of credit amount, refund amount and out of band amount ({total}) must be positive and, with "
            f"the notes before ({already}), not more than the invoice's total ({invoice['total']}).",
            param="amount",
        )
    pre = min(total, invoice["amount_remaining"]) if invoice["status"] != "paid" else 0
    post = total - pre
    _require_identity(params, post)
    return {
        "lines": shown, "subtotal": subtotal, "total": total, "taxes": found, "pre": pre, "post": post,
        "type": {0: "pre_payment", total: "post_payment"}.get(post, "mixed"),
    }  # fmt: skip


def _require_identity(params: Object, post: int) -> None:
    refunded = sum(one.get("amount_refunded", 0) for one in params.get("refunds", []))
    parts = ("refund_amount", "credit_amount", "out_of_band_amount")
    given = refunded + sum(params.get(key, 0) for key in parts)
    if given != post:
        raise Refusal(
            f"The sum of credit_amount, refund_amount and out_of_band_amount ({given}) must equal the post payment "
            f"amount of the credit note ({post})."
        )


def _asked_lines(invoice: Object, params: Object) -> list[Object]:
    if "lines" in params:
        return list(params["lines"])
    amount = params.get("amount") or sum(
        params.get(key, 0) for key in ("refund_amount", "credit_amount", "out_of_band_amount")
    )
    return [{"type": "custom_line_item", "unit_amount": amount, "quantity": 1, "description": "Credit"}]


def _line(world: World, invoice: Object, given: Object) -> Object:
    made = specification.blank("credit_note_line_item")
    made |= {
        "id": world.new_id("cnli"),
        "type": given["type"],
        "taxes": [],
        "metadata": given.get("metadata", {}),
    }
    made["quantity"] = given.get("quantity")
    if given["type"] == "custom_line_item":
        unit = Decimal(given.get("unit_amount_decimal") or given.get("unit_amount") or 0)
        made["amount"] = taxes.rounded(unit * given.get("quantity", 1))
        made |= {"unit_amount": given.get("unit_amount"), "description": given.get("description")}
        return made
    if given.get("invoice_line_item") not in invoice["_lines"]:
        raise Refusal(
            f"No such invoice line item: '{given.get('invoice_line_item')}'",
            code="resource_missing",
            param="lines",
        )
    line = world.objects[given["invoice_line_item"]]
    amount = given.get("amount")
    if amount is None:
        amount = taxes.rounded(Decimal(line["amount"]) * given["quantity"] / line["quantity"])
    _require_left(world, line, amount)
    made |= {"amount": amount, "invoice_line_item": line["id"], "description": line["description"]}
    made["taxes"] = [_share(tax, amount, line["amount"]) for tax in line["taxes"]]
    return made


def _require_left(world: World, line: Object, amount: int) -> None:
    credited = sum(
        world.objects[key]["amount"]
        for note in world.every("credit_note", invoice=line["invoice"], status="issued")
        for key in note["_lines"]
        if world.objects[key].get("invoice_line_item") == line["id"]
    )
    if abs(credited + amount) > abs(line["amount"]):
        raise Refusal(
            f"The line has {line['amount']}, of which {credited} is credited already: {amount} is too much.",
            param="lines",
        )


def _share(tax: Object, amount: int, whole: int) -> Object:
    part = Decimal(amount) / whole if whole else Decimal(0)
    return tax | {"amount": taxes.rounded(tax["amount"] * part), "taxable_amount": amount}


def _keep(world: World, invoice: Object, made: Object) -> None:
    """Turn the draft of a note into a kept one."""
    drawn = dict(made)
    for line in drawn["lines"]:
        world.objects[line["id"]] = line
        world.order.setdefault("credit_note_line_item", []).append(line["id"])
    notes = sum(1 for _ in world.every("credit_note", invoice=invoice["id"]))
    made.clear()
    made |= world.new(
        "credit_note", "cn", customer=invoice["customer"], invoice=invoice["id"], currency=invoice["currency"],
        amount=drawn["total"], total=drawn["total"], subtotal=drawn["subtotal"], total_taxes=drawn["taxes"],
        subtotal_excluding_tax=drawn["subtotal"], total_excluding_tax=drawn["subtotal"], status="issued", refunds=[],
        pre_payment_amount=drawn["pre"], post_payment_amount=drawn["post"], type=drawn["type"], metadata={},
        number=f"{invoice['number']}-CN-{notes + 1:02d}", created=world.time_of(invoice),
        pdf=f"{invoice['hosted_invoice_url']}/credit-note", _lines=[line["id"] for line in drawn["lines"]],
    )  # fmt: skip
    world.objects[made["id"]] = made


def _apply(world: World, invoice: Object, customer: Object, made: Object, params: Object) -> None:
    apply(made, params, "memo", "reason", "out_of_band_amount", "effective_at")
    made["metadata"] = merged({}, params.get("metadata") or {})
    invoice["pre_payment_credit_notes_amount"] += made["pre_payment_amount"]
    invoice["post_payment_credit_notes_amount"] += made["post_payment_amount"]
    invoice["amount_remaining"] -= made["pre_payment_amount"]
    if amount := params.get("credit_amount"):
        moved = customers.add_to_balance(
            world, customer, -amount, kind="credit_note", credit_note=made["id"], invoice=invoice["id"]
        )
        made["customer_balance_transaction"] = moved["id"]
    if amount := params.get("refund_amount"):
        refund = payments.create_refund(world, {"payment_intent": invoice["_intent"] or "", "amount": amount})
        _link(made, refund["id"], amount)
    for given in params.get("refunds", []):
        refund = world.get("refund", given["refund"], "refunds[refund]")
        _link(made, refund["id"], given.get("amount_refunded", refund["amount"]))
    if made["pre_payment_amount"] and not invoice["amount_remaining"]:
        collecting.settle(world, invoice)


def _link(made: Object, refund: str, amount: int) -> None:
    link = {"amount_refunded": amount, "payment_record_refund": None, "refund": refund, "type": "refund"}
    made["refunds"].append(link)


def void(world: World, params: Object, note: str) -> Object:
    """POST /v1/credit_notes/{id}/void: only while its invoice is open."""
    found = world.get("credit_note", note)
    invoice = world.objects[found["invoice"]]
    if invoice["status"] != "open" or found["status"] != "issued":
        raise Refusal("You can only void an issued credit note of an open invoice.")
    found |= {"status": "void", "voided_at": world.time_of(found)}
    invoice["pre_payment_credit_notes_amount"] -= found["pre_payment_amount"]
    invoice["amount_remaining"] += found["pre_payment_amount"]
    world.emit("credit_note.voided", found)
    return found


def update(world: World, params: Object, note: str) -> Object:
    """POST /v1/credit_notes/{id}."""
    found = world.get("credit_note", note)
    apply(found, params, "memo")
    world.emit("credit_note.updated", found)
    return found


def retrieve(world: World, params: Object, note: str) -> Object:
    """GET /v1/credit_notes/{id}."""
    return world.get("credit_note", note)


def every(world: World, params: Object) -> Object:
    """GET /v1/credit_notes."""
    where = {key: params[key] for key in ("customer", "invoice") if key in params}
    return listing(world, "/v1/credit_notes", world.every("credit_note", **where), params)


def lines(world: World, params: Object, note: str) -> Object:
    """GET /v1/credit_notes/{credit_note}/lines."""
    found = [world.objects[key] for key in world.get("credit_note", note)["_lines"]]
    return listing(world, f"/v1/credit_notes/{note}/lines", found, params, newest_first=False)
