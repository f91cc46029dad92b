"""Money goes back at Stripe: credit notes on its invoices, refunds of payments. Each happens once for its key."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils.translation import gettext

from accounts.models import Account
from billing.models import Statement, StripeInvoice, StripeLine
from billing.payments.mirror import sync_invoice
from billing.payments.operations import perform
from billing.payments.provider import CreditedLine, CreditNoteReceipt, PaymentError
from billing.payments.stripe import api


def credit(
    statement: Statement, lines: Sequence[CreditedLine], *, key: str, memo: str, refund_minor: int
) -> CreditNoteReceipt:
    """Make a credit note on each invoice that carries some of the lines; one invoice is the rule.

    `refund_minor`: how much of it goes back to the card where an invoice is paid; the rest goes to the balance.
    Refused, PaymentError, ProviderAway.
    """
    left, made = refund_minor, []
    for invoice_id, credited in _by_invoice(lines).items():
        net = sum(amount for _, amount in credited)
        refunded, left = min(left, net), max(left - net, 0)
        made.append(_credit(statement, invoice_id, credited, key=key, memo=memo, refund_minor=refunded))
    return replace(_note_receipt(made[0]), reference=", ".join(made)[:120])


def refund(payment: str, amount_minor: int, *, account: Account, key: str) -> str:
    """Give back part of a payment; return the refund's id. Refused where so much is not left; ProviderAway."""

    def find() -> str | None:
        for found in api().pages("/v1/refunds", payment_intent=payment):
            if (found.get("metadata") or {}).get("turnpike_key") == key:
                return str(found["id"])
        return None

    body = {"payment_intent": payment, "amount": amount_minor, "metadata": {"turnpike_key": key}}
    return perform(f"re:{key}", "/v1/refunds", body, account=account, find=find)


def _by_invoice(lines: Sequence[CreditedLine]) -> dict[str, list[tuple[str, int]]]:
    """Return {invoice: [(Stripe's line, minor units)]}. PaymentError for a line that stands on none."""
    standing = StripeLine.objects.in_bulk([credit.line.pk for credit in lines])
    if len(standing) != len(lines):
        raise PaymentError(gettext("A line of it is on no invoice at Stripe yet. It is sent when it is."))
    found: dict[str, list[tuple[str, int]]] = {}
    for credit in lines:
        row = standing[credit.line.pk]
        found.setdefault(row.invoice_id, []).append((row.stripe_id, credit.amount_minor))
    return found


def _credit(
    statement: Statement,
    invoice_id: str,
    credited: list[tuple[str, int]],
    *,
    key: str,
    memo: str,
    refund_minor: int,
) -> str:
    """Make the credit note of one invoice, once; return its id. Refused, PaymentError, ProviderAway."""
    invoice = sync_invoice(invoice_id)
    if invoice is None or invoice.status not in ("open", "paid"):
        raise PaymentError(gettext("Stripe credits only invoices that are open or paid."))
    body: dict[str, Any] = {
        "invoice": invoice.pk,
        "lines": [
            {"type": "invoice_line_item", "invoice_line_item": line, "amount": minor}
            for line, minor in credited
        ],
        "memo": memo,
        "metadata": {"turnpike_key": key},
    }
    if invoice.status == "paid":
        body |= _where_it_goes(body, sum(minor for _, minor in credited), refund_minor)
    reference = perform(
        f"cn:{key}:{invoice.pk}",
        "/v1/credit_notes",
        body,
        account=statement.account,
        find=lambda: _find_note(invoice, key),
    )
    sync_invoice(invoice.pk)
    return reference


def _where_it_goes(body: dict[str, Any], net_minor: int, refund_minor: int) -> dict[str, int]:
    """Split what is given back of a paid invoice between card and balance, with the tax on it."""
    gross = net_minor
    if settings.STRIPE_TAX:
        gross = api().get("/v1/credit_notes/preview", invoice=body["invoice"], lines=body["lines"])["total"]
    refund = gross if refund_minor >= net_minor else refund_minor
    split = {"refund_amount": refund, "credit_amount": gross - refund}
    return {name: amount for name, amount in split.items() if amount}


def _find_note(invoice: StripeInvoice, key: str) -> str | None:
    for found in api().pages("/v1/credit_notes", invoice=invoice.pk):
        if (found.get("metadata") or {}).get("turnpike_key") == key:
            return str(found["id"])
    return None


def _note_receipt(reference: str) -> CreditNoteReceipt:
    found = api().get(f"/v1/credit_notes/{reference}")
    refunds = [entry.get("refund") for entry in found.get("refunds") or []]
    refund = refunds[0] if refunds else ""
    return CreditNoteReceipt(
        reference=reference,
        number=found.get("number") or "",
        pdf_url=found.get("pdf") or "",
        refund_reference=refund["id"] if isinstance(refund, dict) else refund or "",
    )
