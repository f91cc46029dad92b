"""Raising what must not go on by itself. Only raises: closing is a person's (`billing/admin/stripe.py`)."""

import logging

from django.utils import timezone

from accounts.models import Account
from billing.models import BillingAlarm

log = logging.getLogger(__name__)


def raise_alarm(kind: BillingAlarm.Kind, subject: str, detail: str, account: Account | None = None) -> None:
    """Write an alarm, or note on the open one of the same kind and subject that it was seen again."""
    now = timezone.now()
    alarm, is_new = BillingAlarm.objects.get_or_create(
        kind=kind, subject=subject, closed_at=None, defaults={"detail": detail, "account": account}
    )
    if is_new:
        log.error("billing_alarm", extra={"kind": kind, "subject": subject, "detail": detail})
    else:
        BillingAlarm.objects.filter(pk=alarm.pk).update(last_seen_at=now, detail=detail)
