"""Somebody does not pay: days of grace, then calls answer 402 `payment_overdue`, then the account is suspended.

The plan's version says how many days (`grace_days`, `suspend_days`; None: never by itself). Overdue is a
charge that failed, from then on, or an invoice that was sent and is past its date. A payment ends it all: a
statement that becomes paid is reviewed after its commit, and the gateway is told at once.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.db.models.signals import post_save
from django.utils import timezone

from accounts.models import Account
from accounts.suspension import reactivate_account, suspend_account
from billing import letters
from billing.models import Dunning, DunningStep, Statement, StripeInvoice, StripeSubscription
from billing.plan_in_force import plan_version_of

log = logging.getLogger(__name__)

Step = DunningStep.Step
OWED = (Statement.State.FINALIZED, Statement.State.UNCOLLECTIBLE)
SUSPENSION = "A payment is overdue."


def overdue_since(account: Account, now: datetime) -> datetime | None:
    """Return since when something of the account is overdue, None if nothing is. Only looks."""
    failed = _failed().filter(account=account).aggregate(first=Min("failed_at"))["first"]
    late = _late(now).filter(account=account).aggregate(first=Min("due_at"))["first"]
    moments: list[datetime] = [moment for moment in (failed, late) if moment]
    return min(moments, default=None)


def _failed() -> QuerySet[StripeInvoice]:
    """Invoices that could not be charged. One whose plan waits for it is no debt: nothing was given for it yet."""
    waiting = StripeSubscription.objects.exclude(pending_invoice="").values("pending_invoice")
    failed = StripeInvoice.objects.filter(status__in=("open", "uncollectible"), failed_at__isnull=False)
    return failed.exclude(pk__in=waiting)


def review(account: Account, now: datetime | None = None) -> Dunning | None:
    """Take every step that is due for an account, or end its dunning; return the open one. Safe to run again.

    One transaction under the account's lock, the mails among its rows: if we die before its commit, no step was
    taken and nothing is mailed.
    """
    now = now or timezone.now()
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        since = overdue_since(account, now)
        dunning = (
            Dunning.objects.filter(account=account, ended_at=None).select_related("plan_version").first()
        )
        if since is None:
            if dunning:
                _end(account, dunning, now)
            dunning = None
        else:
            dunning = dunning or _begin(account, since)
            _go_on(account, dunning, now)
    return dunning


def review_all(now: datetime | None = None) -> int:
    """Review every account that is in dunning or has something overdue; return how many. One that fails is logged."""
    now = now or timezone.now()
    accounts = Account.objects.filter(
        Q(pk__in=_failed().order_by().values("account"))
        | Q(pk__in=_late(now).order_by().values("account"))
        | Q(pk__in=Dunning.objects.filter(ended_at=None).order_by().values("account"))
    )
    for account in accounts:
        try:
            review(account, now)
        except Exception:
            log.exception("dunning_failed", extra={"account": str(account.pk)})
    return len(accounts)


def _late(now: datetime) -> QuerySet[Statement]:
    """Statements that were sent, not charged, and are past their date."""
    sent = Q(stripe_invoice=None) | Q(stripe_invoice__is_charged=False)
    return Statement.objects.filter(sent, state__in=OWED, due_at__lt=now, total_minor__gt=0)


def _begin(account: Account, since: datetime) -> Dunning:
    version, _ = plan_version_of(account, since)
    dunning = Dunning.objects.create(account=account, plan_version=version, began_at=since)
    _take(dunning, Step.FAILED)
    return dunning


def _go_on(account: Account, dunning: Dunning, now: datetime) -> None:
    """Take the next steps, as far as the days have gone."""
    version = dunning.plan_version
    if dunning.limited_at is None and _is_over(dunning.began_at, version.grace_days, now):
        dunning.limited_at = now
        dunning.save(update_fields=["limited_at"])  # save(), not update(): the gateway listens to the signal
        _take(dunning, Step.LIMITED)
    if (
        dunning.limited_at
        and dunning.suspended_at is None
        and account.suspended_at is None
        and _is_over(dunning.limited_at, version.suspend_days, now)
    ):
        suspend_account(account, SUSPENSION)
        dunning.suspended_at = now
        dunning.save(update_fields=["suspended_at"])
        _take(dunning, Step.SUSPENDED)


def _end(account: Account, dunning: Dunning, now: datetime) -> None:
    if dunning.suspended_at and account.suspension_reason == SUSPENSION:
        reactivate_account(account)  # a suspension by staff, for another reason, stays
    dunning.ended_at = now
    dunning.save(update_fields=["ended_at"])
    _take(dunning, Step.SETTLED)


def _take(dunning: Dunning, step: DunningStep.Step) -> None:
    """Write the step and its mail; the unique row is why both happen once."""
    taken, is_new = DunningStep.objects.get_or_create(dunning=dunning, step=step)
    if is_new:
        letters.write_dunning(taken)


def _is_over(since: datetime, days: int | None, now: datetime) -> bool:
    return days is not None and now >= since + timedelta(days=days)


def connect_signals() -> None:
    """Called once, when Django is ready."""
    post_save.connect(_statement_moved, sender=Statement, dispatch_uid="dunning-follows-statements")


def _statement_moved(instance: Statement, **_: Any) -> None:
    """A statement that is no longer owed may end the account's dunning: after the commit, not a tick later."""
    if instance.state not in (Statement.State.PAID, Statement.State.VOID):
        return
    if Dunning.objects.filter(account=instance.account_id, ended_at=None).exists():
        transaction.on_commit(lambda: review(instance.account), robust=True)
