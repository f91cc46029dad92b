"""Stripe as payment provider: our finished lines on its invoices, its collecting, our states.

How a statement becomes an invoice is in `attaching.py`, how we ask in `operations.py`, what we see in
`mirror.py`, what goes back in `crediting.py`. Facts and reasons: docs/adr/0027, 0028.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing.models import Statement, StripeCheckout, StripeInvoice
from billing.payments import crediting, states
from billing.payments.attaching import bring_forward
from billing.payments.customers import customer_of
from billing.payments.figures import figures_of
from billing.payments.finalizing import finalize_invoice
from billing.payments.mirror import payment_intent_of, sync_invoice
from billing.payments.operations import perform
from billing.payments.provider import (
    ChargeReceipt,
    ChargeState,
    CreditedLine,
    CreditNoteReceipt,
    Declined,
    InvoiceFigures,
    PaymentError,
)
from billing.payments.stripe import Refused, api
from billing.period import BillingPeriod

CHECKOUT_OPEN_FOR = timedelta(hours=23)  # Stripe takes 30 minutes to 24 hours


class StripeProvider:
    """Issues statements as Stripe invoices, and lets Stripe collect them."""

    slug = "stripe"
    collects = True

    def issue(self, statement: Statement) -> Statement:
        """Take the statement as far as it goes now: `attaching.bring_forward`."""
        return bring_forward(statement)

    def mark_paid(self, statement: Statement, paid_at: datetime | None = None) -> Statement:
        """Tell Stripe that its invoice was paid elsewhere; the mirror writes it here, with Stripe's date."""
        for invoice in _owed(statement):
            path, body = f"/v1/invoices/{invoice.pk}/pay", {"paid_out_of_band": True}
            perform(f"in:{invoice.pk}:paid_elsewhere", path, body, account=statement.account)
            sync_invoice(invoice.pk)
        return _again(statement, states.settle)

    def void(self, statement: Statement) -> Statement:
        """Void its invoice at Stripe; the mirror writes it here. PaymentError where another statement is on it."""
        if (
            Statement.objects.filter(stripe_invoice=statement.stripe_invoice_id)
            .exclude(pk=statement.pk)
            .exists()
        ):
            message = gettext("Its invoice carries another statement as well. Credit the lines instead.")
            raise PaymentError(message)
        for invoice in _owed(statement):
            perform(f"in:{invoice.pk}:void", f"/v1/invoices/{invoice.pk}/void", {}, account=statement.account)
            sync_invoice(invoice.pk)
        return _again(statement, states.take_back)

    def credit_note(
        self,
        statement: Statement,
        lines: Sequence[CreditedLine],
        *,
        key: str,
        memo: str,
        refund_minor: int = 0,
    ) -> CreditNoteReceipt:
        """A credit note on each invoice that carries some of the lines: `crediting.py`."""
        return crediting.credit(statement, lines, key=key, memo=memo, refund_minor=refund_minor)

    def refund(self, payment: str, amount_minor: int, *, account: Account, key: str) -> str:
        """Give back part of a payment."""
        return crediting.refund(payment, amount_minor, account=account, key=key)

    def top_up_page(
        self, account: Account, amount_minor: int, *, key: str, description: str, back_url: str
    ) -> str:
        """A Checkout page for one payment, which keeps the card for automatic top-ups."""
        price = {
            "currency": account.currency.lower(),
            "unit_amount": amount_minor,
            "product_data": {"name": description},
        }
        body = {
            "mode": "payment",
            "customer": customer_of(account),
            "line_items": [{"quantity": 1, "price_data": price}],
            "payment_intent_data": {"setup_future_usage": "off_session"},
            "metadata": {"turnpike_account": str(account.pk), "turnpike_key": key},
        }
        return open_checkout(account, StripeCheckout.Purpose.TOP_UP, body, key=key, back_url=back_url)

    def figures(self, period: BillingPeriod) -> Sequence[InvoiceFigures]:
        """Each invoice that carries statements of the period, and what was credited of it: `figures.py`."""
        return figures_of(period)

    def charge(self, account: Account, amount_minor: int, *, key: str, description: str) -> ChargeReceipt:
        """An invoice of one line, charged at once. Its state is whatever Stripe says now."""
        customer = customer_of(account)
        body = {
            "customer": customer,
            "currency": account.currency.lower(),
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "collection_method": "charge_automatically",
            "description": description,
            "metadata": {"turnpike_key": key},
        }
        reference = perform(f"ch:{key}:create", "/v1/invoices", body, account=account)
        line = {"amount": amount_minor, "description": description, "metadata": {"turnpike_charge": key}}
        path = f"/v1/invoices/{reference}/add_lines"
        perform(f"ch:{key}:line", path, {"lines": [line]}, account=account)
        invoice = sync_invoice(reference)
        if invoice and invoice.status == "draft" and invoice.subtotal_minor == amount_minor:
            finalize_invoice(invoice)
        return _charge_receipt(reference, self._pay(reference, account, key))

    def _pay(self, reference: str, account: Account, key: str) -> str:
        """Ask for the money now. Return why it was refused, "" if it was not."""
        if api().get(f"/v1/invoices/{reference}")["status"] != "open":
            return ""
        try:
            perform(f"ch:{key}:pay", f"/v1/invoices/{reference}/pay", {}, account=account)
        except Refused as refusal:
            return str(refusal)
        return ""


def open_checkout(
    account: Account, purpose: StripeCheckout.Purpose, body: dict[str, Any], *, key: str, back_url: str
) -> str:
    """Make a Checkout page and return its address. `back_url` gets `?session=` on the way back.

    The row is what the poll goes by: if we die before it is written, the customer has not seen the page.
    """
    expires = timezone.now() + CHECKOUT_OPEN_FOR
    body |= {
        "success_url": f"{back_url}?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{back_url}?left=1",
        "expires_at": int(expires.timestamp()),
    }
    reference = perform(f"cs:{key}", "/v1/checkout/sessions", body, account=account)
    found = api().get(f"/v1/checkout/sessions/{reference}")
    facts = {"account": account, "purpose": purpose, "details": {"key": key}, "expires_at": expires}
    StripeCheckout.objects.update_or_create(pk=reference, defaults=facts | {"url": found.get("url") or ""})
    if not found.get("url"):
        raise Declined(gettext("This page is used already. Go back and start again."))
    return str(found["url"])


def _owed(statement: Statement) -> list[StripeInvoice]:
    invoices = StripeInvoice.objects.filter(
        our_lines__line__statement=statement, status__in=("open", "uncollectible")
    )
    return list(invoices.distinct())


def _again(statement: Statement, move: Any) -> Statement:
    """Read it as the mirror left it; without an invoice (a total of 0) move it here."""
    statement = Statement.objects.get(pk=statement.pk)
    moved: Statement = move(statement)
    return moved


def _charge_receipt(reference: str, refusal: str) -> ChargeReceipt:
    found = api().get(f"/v1/invoices/{reference}", expand=["payments.data.payment.payment_intent"])
    payment = str(payment_intent_of(found).get("id", ""))
    if found["status"] == "paid":
        return ChargeReceipt(reference, ChargeState.PAID, payment)
    if found["status"] in ("void", "uncollectible") or refusal:
        return ChargeReceipt(reference, ChargeState.FAILED, payment, refusal)
    return ChargeReceipt(reference, ChargeState.PENDING, payment)
