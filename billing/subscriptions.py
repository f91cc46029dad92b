"""Who is on which plan, from when: starting, changing and cancelling a stay. Rows only; no payment here.

The rule is in one sentence: **a dearer plan starts at once, a cheaper one with the next period.** A period's
fee is charged whole, once, with its whole included credit (`billing/invoicing.py`), so nobody pays for a
plan that they cannot use, and nobody gets a month's credit for a day's fee. Whoever finds a month's fee too
much for its last days asks for the next period instead (`starts_at`).
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account, User
from billing.models import PlanVersion, Subscription
from billing.period import BillingPeriod
from billing.plan_in_force import plan_version_of


class PlanChangeError(ValueError):
    """The change cannot be made; the message says why and what to do."""


def change_plan(
    account: Account, plan_slug: str, *, starts_at: datetime | None = None, by: User | None = None
) -> Subscription | None:
    """Move `account` to a plan that is sold as it is; return the stay, None on the default plan.

    Starts at `starts_at` if given, else when `starting_moment` says. Choosing the plan that one is on takes
    back a change that has not begun. PlanChangeError for an unknown plan or one sold by agreement.
    """
    version = PlanVersion.objects.current(currency=account.currency).filter(plan__slug=plan_slug).first()
    if version is None:
        message = gettext("There is no plan called %(plan)s. Choose one from the price list.")
        raise PlanChangeError(message % {"plan": plan_slug})
    if version.plan.by_agreement:
        message = gettext("%(plan)s is sold by agreement. Write to us to get it.")
        raise PlanChangeError(message % {"plan": version.plan.name})
    with transaction.atomic():
        _lock(account)
        now = timezone.now()
        current, stay = plan_version_of(account, now)
        if current.plan == version.plan:
            return _keep(account, stay, now)
        begins = starts_at or starting_moment(current, version, now)
        if version.plan.is_default:
            _end_stays(account, begins)
            return None
        return start_subscription(account, version, at=begins, by=by)


def cancel(account: Account) -> Subscription | None:
    """End the stay with the period; the default plan follows. Return it, or None on the default plan."""
    with transaction.atomic():
        _lock(account)
        now = timezone.now()
        _, stay = plan_version_of(account, now)
        if stay:
            _end_stays(account, BillingPeriod.containing(now).end)
            stay.refresh_from_db()
        return stay


def start_subscription(
    account: Account,
    version: PlanVersion,
    *,
    at: datetime | None = None,
    by: User | None = None,
) -> Subscription:
    """Put `account` on a plan version from `at` (now, if not given), ending what would last past then."""
    with transaction.atomic():
        _lock(account)
        at = at or timezone.now()
        _end_stays(account, at)
        return Subscription.objects.create(
            account=account, plan_version=version, started_at=at, created_by=by
        )


def starting_moment(current: PlanVersion, wanted: PlanVersion, now: datetime) -> datetime:
    """Return when a change from one plan to another begins: at once if dearer, else with the next period."""
    if (wanted.price_minor or 0) > (current.price_minor or 0):
        return now
    return BillingPeriod.containing(now).end


def _keep(account: Account, stay: Subscription | None, now: datetime) -> Subscription | None:
    """Take back whatever was to end or follow the present stay."""
    for coming in Subscription.objects.filter(account=account, started_at__gt=now).exclude(
        ended_at=F("started_at")
    ):
        _end(coming, coming.started_at)
    if stay:
        _end(stay, None)
    return stay


def _end_stays(account: Account, at: datetime) -> None:
    """End at `at` every stay that lasts past it. One that was only to begin later gets no length at all."""
    for stay in Subscription.objects.filter(account=account).exclude(ended_at__lte=at):
        _end(stay, max(stay.started_at, at))


def _end(stay: Subscription, at: datetime | None) -> None:
    """Write the end of a stay; None takes it back. save(), not update(): the gateway listens to the signal."""
    stay.ended_at = at
    stay.save(update_fields=["ended_at"])


def _lock(account: Account) -> None:
    """Let one change of an account's plan happen at a time. Held to the end of the transaction."""
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
