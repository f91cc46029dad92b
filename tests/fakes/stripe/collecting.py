"""From a draft to its money: finalise, charge, try again, give up; void, uncollectible, paid by other means.

Between finalisation and payment an invoice is `open`; one that advances by itself has `next_payment_attempt`,
which the agenda (`agenda.py`) looks at.
"""

from tests.fakes.stripe import cards, customers, lines, payments, pending, taxes
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import DAY, Object, World


def subscription_id(invoice: Object) -> str | None:
    """Return the id of the subscription that an invoice belongs to."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return details["subscription"] if details else None


def finalize(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/finalize."""
    found = world.get("invoice", invoice)
    if found["status"] != "draft":
        raise Refusal(
            "This invoice is already finalized, you can't re-finalize it.", code="invoice_not_editable"
        )
    found["auto_advance"] = params.get("auto_advance", found["auto_advance"])
    lines.total(world, found)
    if not taxes.is_placed(world, found):
        raise _not_placed(world, found)
    finalise(world, found)
    return found


def _not_placed(world: World, invoice: Object) -> Refusal:
    refusal = Refusal(
        "The customer's location isn't recognized. Set a valid customer address in order to automatically "
        "calculate tax.",
        code="customer_tax_location_invalid",
    )
    invoice["last_finalization_error"] = refusal.error
    world.emit("invoice.finalization_failed", invoice)
    return refusal


def finalise_when_due(world: World, invoice: Object) -> None:
    """The agenda's finalisation: one whose tax cannot be placed stays a draft and advances no more."""
    lines.total(world, invoice)
    invoice["automatically_finalizes_at"] = None
    if not taxes.is_placed(world, invoice):
        _not_placed(world, invoice)
        invoice["auto_advance"] = False
        return
    finalise(world, invoice)
    subscription = world.objects.get(subscription_id(invoice) or "")
    pause = (subscription or {}).get("pause_collection")
    if pause and pause["behavior"] == "void":
        void(world, {}, invoice["id"])
    elif pause and pause["behavior"] == "mark_uncollectible":
        mark_uncollectible(world, {}, invoice["id"])


def finalise(world: World, invoice: Object) -> None:
    """Number a draft, settle it against the customer's balance, and open it. Nothing to pay is paid at once."""
    customer = world.objects[invoice["customer"]]
    now = world.time_of(invoice)
    invoice["number"] = (
        invoice["number"] or f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    )
    customer["next_invoice_sequence"] += 1
    invoice["amount_due"] = invoice["amount_remaining"] = lines.due(world, invoice)
    ending = 0 if invoice["amount_due"] else invoice["total"] + invoice["starting_balance"]
    invoice |= {
        "ending_balance": ending,
        "status": "open",
        "effective_at": now,
        "automatically_finalizes_at": None,
    }
    if moved := ending - invoice["starting_balance"]:
        customers.add_to_balance(
            world,
            customer,
            moved,
            kind="applied_to_invoice",
            currency=invoice["currency"],
            invoice=invoice["id"],
        )
    invoice["status_transitions"]["finalized_at"] = now
    invoice["hosted_invoice_url"] = f"{world.settings.get('url', '')}/_fake/invoice/{invoice['id']}"
    invoice["invoice_pdf"] = f"{invoice['hosted_invoice_url']}/pdf"
    world.emit("invoice.finalized", invoice)
    if not invoice["amount_due"]:
        settle(world, invoice)
        return
    _ask_for_payment(world, invoice)
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = now
    elif invoice["auto_advance"]:
        world.emit("invoice.sent", invoice)


def _ask_for_payment(world: World, invoice: Object) -> None:
    intent = payments.new_intent(world, invoice["amount_due"], invoice["currency"], invoice["customer"])
    invoice["_intent"] = intent["id"]
    world.new(
        "invoice_payment", "inpay", invoice=invoice["id"], amount_requested=invoice["amount_due"], is_default=True,
        currency=invoice["currency"], payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open", created=world.time_of(invoice),
    )  # fmt: skip


def settle(world: World, invoice: Object) -> None:
    """An invoice is paid: so it says, and its subscription lives again."""
    now = world.time_of(invoice)
    invoice |= {
        "status": "paid",
        "amount_paid": invoice["amount_due"] - invoice["pre_payment_credit_notes_amount"],
    }
    invoice |= {"amount_remaining": 0, "next_payment_attempt": None, "attempted": True}
    invoice["status_transitions"]["paid_at"] = now
    for payment in world.every("invoice_payment", invoice=invoice["id"], status="open"):
        payment |= {"status": "paid", "amount_paid": invoice["amount_paid"]}
        payment["status_transitions"]["paid_at"] = now
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    _revive(world, invoice)


def _revive(world: World, invoice: Object) -> None:
    others = [
        one for one in world.every("invoice", customer=invoice["customer"], status="open") if one["attempted"]
    ]
    world.objects[invoice["customer"]]["delinquent"] = bool(others)
    subscription = world.objects.get(subscription_id(invoice) or "")
    owing = any(subscription_id(one) == subscription_id(invoice) for one in others)
    if subscription and (subscription.get("_pending") or {}).get("invoice") == invoice["id"]:
        pending.paid(world, subscription)
    if subscription and subscription["status"] in ("incomplete", "past_due", "unpaid") and not owing:
        before = world.render(subscription)
        subscription["status"] = "active"
        customers.changed(world, "customer.subscription.updated", subscription, before)


def method_of(world: World, invoice: Object) -> Object | None:
    """Return what an invoice is charged to: its own method, its subscription's, its customer's."""
    subscription = world.objects.get(subscription_id(invoice) or "", {})
    customer = world.objects[invoice["customer"]]
    for given in (
        invoice["default_payment_method"],
        subscription.get("default_payment_method"),
        customer["invoice_settings"]["default_payment_method"],
    ):
        if given in world.objects:
            return world.objects[given]
    return None


def attempt(world: World, invoice: Object, method: Object | None, *, there: bool = False) -> Refusal | None:
    """Try to collect an open invoice; return why it did not work. What was tried is written either way."""
    invoice |= {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": None,
    }
    if method is None:
        world.emit("invoice.payment_failed", invoice)
        return Refusal(
            "This customer has no attached payment source or default payment method. Please consider adding a "
            "default payment method.",
            code="resource_missing",
        )
    intent = world.objects[invoice["_intent"]]
    intent["amount"] = invoice["amount_remaining"]
    payments.charge(world, intent, method, there=there)
    if intent["status"] == "succeeded":
        settle(world, invoice)
        return None
    if intent["status"] == "requires_action":
        world.emit("invoice.payment_action_required", invoice)
        world.emit("invoice.payment_failed", invoice)
        return cards.refuse_card("authentication_required", payment_intent=world.render(intent))
    world.emit("invoice.payment_failed", invoice)
    error = intent["last_payment_error"]
    return cards.refuse_card(error["decline_code"])


def attempt_when_due(world: World, invoice: Object) -> None:
    """The agenda's try: after a failure the next is planned, or it is given up."""
    if attempt(world, invoice, method_of(world, invoice)) is None:
        return
    world.objects[invoice["customer"]]["delinquent"] = True
    delays = world.settings["retry_days"]
    subscription = world.objects.get(subscription_id(invoice) or "")
    if invoice["attempt_count"] <= len(delays):
        wait = delays[invoice["attempt_count"] - 1] * DAY
        invoice["next_payment_attempt"] = world.time_of(invoice) + wait
        if subscription:
            _set_status(world, subscription, "past_due", unless=("incomplete", "canceled", "unpaid"))
    else:
        _give_up(world, invoice, subscription)


def _give_up(world: World, invoice: Object, subscription: Object | None) -> None:
    from tests.fakes.stripe import subscriptions

    after = world.settings["after_retries"]
    invoice["auto_advance"] = False
    if after["invoice"] == "uncollectible":
        mark_uncollectible(world, {}, invoice["id"])
    if subscription is None or subscription["status"] == "canceled":
        return
    if after["subscription"] == "cancel":
        subscriptions.end_now(world, subscription, reason="payment_failed")
    else:
        _set_status(world, subscription, after["subscription"])


def _set_status(world: World, subscription: Object, status: str, unless: tuple[str, ...] = ()) -> None:
    if subscription["status"] in unless or subscription["status"] == status:
        return
    before = world.render(subscription)
    subscription["status"] = status
    customers.changed(world, "customer.subscription.updated", subscription, before)


# --- asked for through the API ------------------------------------------------------------------------------


def pay(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/pay: a card that declines answers 402 and leaves the invoice open."""
    found = world.get("invoice", invoice)
    if found["status"] == "draft":
        finalize(world, {}, invoice)
    if found["status"] == "paid":
        raise Refusal("Invoice is already paid", code="invoice_already_paid")
    if found["status"] not in ("open", "uncollectible"):
        raise Refusal(f"Invoices with status {found['status']} cannot be paid.")
    if params.get("paid_out_of_band"):
        settle(world, found)
        return found
    given = params.get("payment_method")
    method = cards.resolve(world, given) if given else method_of(world, found)
    planned = found["next_payment_attempt"]
    if refusal := attempt(world, found, method, there=params.get("off_session") is False):
        now = world.time_of(found)
        found["next_payment_attempt"] = planned if (planned or 0) > now else None
        raise refusal
    return found


def void(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/void: of one that is open or uncollectible."""
    found = _close(world, invoice, "void", ("open", "uncollectible"))
    if moved := (found["ending_balance"] or 0) - found["starting_balance"]:
        customer = world.objects[found["customer"]]
        customers.add_to_balance(world, customer, -moved, kind="unapplied_from_invoice", invoice=invoice)
    world.emit("invoice.voided", found)
    return found


def mark_uncollectible(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/mark_uncollectible."""
    found = _close(world, invoice, "uncollectible", ("open",))
    world.emit("invoice.marked_uncollectible", found)
    return found


def _close(world: World, invoice: str, status: str, allowed: tuple[str, ...]) -> Object:
    found = world.get("invoice", invoice)
    if found["status"] not in allowed:
        raise Refusal(f"You can't set an invoice with status {found['status']} to {status}.")
    found |= {"status": status, "next_payment_attempt": None, "auto_advance": False}
    moment = "voided_at" if status == "void" else "marked_uncollectible_at"
    found["status_transitions"][moment] = world.time_of(found)
    if status == "void":
        found["amount_remaining"] = 0
        intent = world.objects.get(found["_intent"] or "")
        if intent and intent["status"] != "succeeded":
            intent |= {"status": "canceled", "canceled_at": world.time_of(found)}
    return found


def send(world: World, params: Object, invoice: str) -> Object:
    """POST /v1/invoices/{invoice}/send."""
    found = world.get("invoice", invoice)
    if found["collection_method"] != "send_invoice":
        raise Refusal("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if found["status"] == "draft":
        finalize(world, {}, invoice)
    world.emit("invoice.sent", found)
    return found
