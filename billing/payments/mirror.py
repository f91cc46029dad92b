"""An invoice as Stripe has it, written into our rows: always fetched, never taken from a webhook.

The statements that it carries follow: issued, paid, given up, void. The fee that Stripe charges in advance
becomes a statement of its own here, so that every invoice equals the sum of its statements.
"""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Account
from billing import journal, letters
from billing.models import BillingAlarm, Statement, StripeCustomer, StripeInvoice
from billing.payments import fees, states
from billing.payments.alarms import raise_alarm
from billing.payments.stripe import Found, Refused, api, is_live
from billing.period import BillingPeriod

_EXPAND = ["payments.data.payment.payment_intent"]
State = Statement.State


def sync_invoice(invoice_id: str) -> StripeInvoice | None:
    """Fetch an invoice and bring its row and its statements in line. None for a customer that is not ours.

    One transaction, under the account's lock: if we die before its commit, the next fetch does it all.
    ProviderAway, Refused.
    """
    try:
        found = api().get(f"/v1/invoices/{invoice_id}", expand=_EXPAND)
    except Refused as refusal:
        if not refusal.is_missing:
            raise
        return _gone(invoice_id)
    customer = StripeCustomer.objects.filter(pk=id_of(found.get("customer"))).first()
    if customer is None:
        return None
    lines = list(api().pages(f"/v1/invoices/{invoice_id}/lines"))
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=customer.account_id)
        invoice = _write(account, found, lines)
        if invoice.status in ("open", "paid", "uncollectible"):
            fees.mirror_fee(invoice, lines)
        _move_statements(invoice)
    return invoice


def _write(account: Account, found: Found, lines: list[Found]) -> StripeInvoice:
    before = StripeInvoice.objects.filter(pk=found["id"]).first()
    moments = found.get("status_transitions") or {}
    issued = moment(moments.get("finalized_at"))
    status = found.get("status") or "draft"
    intent = payment_intent_of(found)
    failed = status in ("open", "uncollectible") and _has_failed(found)
    facts: dict[str, Any] = {
        "account": account,
        "livemode": bool(found.get("livemode", is_live())),
        "subscription_id": subscription_of(found),
        "reason": found.get("billing_reason") or "",
        "status": status,
        "usage_period": _usage_period(found, lines),
        "is_charged": found.get("collection_method") != "send_invoice",
        "currency": str(found["currency"]).upper(),
        "subtotal_minor": found["subtotal"],
        "tax_minor": sum(tax["amount"] for tax in found.get("total_taxes") or []),
        "total_minor": found["total"],
        "due_minor": found.get("amount_remaining") or 0,
        "number": found.get("number") or "",
        "hosted_url": found.get("hosted_invoice_url") or "",
        "pdf_url": found.get("invoice_pdf") or "",
        "payment_intent": intent.get("id", ""),
        "created_at": moment(found["created"]),
        "finalized_at": issued,
        "due_at": moment(found.get("due_date")) or issued,
        "paid_at": moment(moments.get("paid_at")),
        "failed_at": ((before and before.failed_at) or timezone.now()) if failed else None,
        "failure": _failure(intent) if failed else "",
        "next_attempt_at": moment(found.get("next_payment_attempt")),
        "finalization_error": _finalization_error(found),
        "synced_at": timezone.now(),
    }
    if status == "draft" and found.get("auto_advance") is False:
        facts["held_at"] = (before and before.held_at) or timezone.now()
    invoice, _ = StripeInvoice.objects.update_or_create(pk=found["id"], defaults=facts)
    if invoice.finalization_error:
        detail = f"{invoice.account}: {invoice.finalization_error} It stays a draft until this is mended."
        raise_alarm(BillingAlarm.Kind.NOT_FINALIZED, invoice.pk, detail, account)
        if before is None or not before.finalization_error:
            letters.write_tax_problem(account)
    return invoice


def _move_statements(invoice: StripeInvoice) -> None:
    """Let the statements follow their invoice. A state never goes back: an older answer changes nothing."""
    if invoice.status not in ("open", "paid", "uncollectible", "void"):
        return
    carried = Statement.objects.filter(Q(stripe_invoice=invoice) | Q(lines__stripe_line__invoice=invoice))
    for statement in carried.distinct():
        if statement.state in (State.FROZEN, State.HELD):
            continue  # not compared yet: billing/payments/attaching.py sees that its draft is gone
        issued = invoice.finalized_at or timezone.now()
        statement = states.finalize(statement, provider="stripe", at=issued, due_at=invoice.due_at or issued)
        _follow(statement, invoice)
    _book_tax(invoice)


def _book_tax(invoice: StripeInvoice) -> None:
    """The tax that Stripe put on it is in no statement; the journal has it from here."""
    facts = (invoice.account, invoice.pk, invoice.tax_minor, invoice.currency)
    if invoice.status != "void":
        journal.tax_invoiced(*facts)
    if invoice.status == "paid":
        journal.tax_paid(*facts)


def _follow(statement: Statement, invoice: StripeInvoice) -> None:
    carrying = StripeInvoice.objects.filter(Q(our_lines__line__statement=statement) | Q(statements=statement))
    if statement.state not in states.OWED:
        return
    if not carrying.exclude(status="paid").exists():
        states.settle(statement, invoice.paid_at)
    elif invoice.status == "uncollectible":
        states.give_up(statement)
    elif not carrying.exclude(status="void").exists():
        states.take_back(statement)


def _gone(invoice_id: str) -> StripeInvoice | None:
    """A draft can be deleted at Stripe. Its statements look for another invoice."""
    with transaction.atomic():
        invoice = StripeInvoice.objects.select_for_update().filter(pk=invoice_id).first()
        if invoice and invoice.status != "deleted":
            invoice.status, invoice.synced_at = "deleted", timezone.now()
            invoice.save(update_fields=["status", "synced_at"])
            invoice.our_lines.all().delete()  # they stand nowhere now, and are sent again
            raise_alarm(
                BillingAlarm.Kind.LOST_INVOICE, invoice_id, "A draft was deleted at Stripe.", invoice.account
            )
    return invoice


def _usage_period(found: Found, lines: list[Found]) -> str:
    """The period whose usage a renewal may carry: the one before the month that its fee is for."""
    if found.get("billing_reason") != "subscription_cycle":
        return ""
    starts = [line["period"]["start"] for line in lines if fees.is_fee(line) and not fees.is_proration(line)]
    at = moment(min(starts, default=found["created"]))
    return BillingPeriod.containing(at).previous.key if at else ""


def _has_failed(found: Found) -> bool:
    charged = found.get("collection_method") == "charge_automatically"
    return charged and bool(found.get("attempted") or found.get("attempt_count"))


def _failure(intent: Found) -> str:
    error = intent.get("last_payment_error") or {}
    if intent.get("status") == "requires_action":
        return "authentication_required"
    return str(error.get("decline_code") or error.get("code") or "payment_failed")[:60]


def _finalization_error(found: Found) -> str:
    error = found.get("last_finalization_error") or {}
    return str(error.get("message") or "")[:300] if found.get("status") == "draft" else ""


def payment_intent_of(found: Found) -> Found:
    """The payment of an invoice, as far as it was expanded: {} where there is none."""
    for payment in (found.get("payments") or {}).get("data") or []:
        intent = (payment.get("payment") or {}).get("payment_intent")
        if intent:
            return intent if isinstance(intent, dict) else {"id": str(intent)}
    return {}


def subscription_of(found: Found) -> str:
    """The subscription of an invoice, "" for a standalone one."""
    details = (found.get("parent") or {}).get("subscription_details") or {}
    return id_of(details.get("subscription"))


def id_of(reference: Any) -> str:
    """The id of something that Stripe gives as an id or, expanded, as the object."""
    return str(reference["id"] if isinstance(reference, dict) else reference or "")


def moment(seconds: int | None) -> datetime | None:
    """A moment from Stripe's Unix seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
