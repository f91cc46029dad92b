"""Drafts are issued: those that were compared, and renewals that carry no usage."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from billing.due import accounts_to_close
from billing.models import Statement, StripeInvoice
from billing.payments.comparing import compare
from billing.payments.drafts import RENEWAL_WITHIN
from billing.payments.mirror import sync_invoice
from billing.payments.operations import perform
from billing.payments.provider import PaymentError
from billing.payments.stripe import Refused, api, is_live
from billing.period import BillingPeriod

# After the grace the closing runs every 5 minutes; a draft waits for it a little longer.
CLOSE_WITHIN = timedelta(minutes=15)

log = logging.getLogger(__name__)


def finalize_invoice(invoice: StripeInvoice) -> None:
    """Issue a draft and let Stripe collect it. Refused, ProviderAway; done already is fine."""

    def issued() -> str | None:
        found = api().get(f"/v1/invoices/{invoice.pk}")
        return None if found["status"] == "draft" else str(found["id"])

    path = f"/v1/invoices/{invoice.pk}/finalize"
    perform(f"in:{invoice.pk}:finalize", path, {"auto_advance": True}, account=invoice.account, find=issued)


def issue_draft(invoice: StripeInvoice) -> None:
    """Finalise a checked draft and mirror it. One that Stripe cannot finalise (tax) stays, with an alarm."""
    try:
        finalize_invoice(invoice)
    except Refused:
        fresh = sync_invoice(invoice.pk)
        if fresh is None or not fresh.finalization_error:
            raise
    else:
        sync_invoice(invoice.pk)


def release_drafts() -> list[StripeInvoice]:
    """Finalise held renewals that carry no usage: their period is closed, and nothing waits to be attached."""
    released = []
    held = StripeInvoice.objects.filter(status="draft", livemode=is_live()).exclude(usage_period="")
    for invoice in held.exclude(held_at=None).select_related("account"):
        closed_at = BillingPeriod.parse(invoice.usage_period).end + timedelta(
            seconds=settings.CLOSE_GRACE_SECONDS
        )
        waiting = Statement.objects.filter(
            account=invoice.account, period=invoice.usage_period, state__in=Statement.UNISSUED
        )
        if timezone.now() < closed_at + CLOSE_WITHIN or waiting.exists() or not _is_closed(invoice):
            continue
        released += _released(invoice)
    return released


def _released(invoice: StripeInvoice) -> list[StripeInvoice]:
    fresh = sync_invoice(invoice.pk)
    if fresh is None or fresh.status != "draft":
        return []
    try:
        compare(fresh, list(api().pages(f"/v1/invoices/{fresh.pk}/lines")))
        issue_draft(fresh)
    except PaymentError:  # a mismatch has its alarm; a refusal is asked again in an hour
        log.exception("release_failed", extra={"invoice": fresh.pk})
        return []
    return [fresh]


def _is_closed(invoice: StripeInvoice) -> bool:
    """Whether the usage that the invoice may carry is on a statement, or there is none; or nobody closes it."""
    period = BillingPeriod.parse(invoice.usage_period)
    if timezone.now() > period.end + RENEWAL_WITHIN:
        return True
    return not accounts_to_close(period).filter(pk=invoice.account_id).exists()
