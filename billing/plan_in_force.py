"""Which plan version an account is on at a moment. Only looks."""

from datetime import datetime, timedelta

from accounts.models import Account
from billing.models import PlanVersion, Subscription
from billing.period import BillingPeriod


def plan_version_of(account: Account, at: datetime) -> tuple[PlanVersion, Subscription | None]:
    """Return the plan version in force, with its subscription. Without one it is the default plan's."""
    subscription = stay_of(account, at)
    if subscription:
        return subscription.plan_version, subscription
    return PlanVersion.objects.default(at, account.currency), None


def stay_of(account: Account, at: datetime) -> Subscription | None:
    """Return the subscription in force at a moment, if there is one."""
    return Subscription.objects.in_force(at).filter(account=account).first()


def included_credit_nano(version: PlanVersion, stay: Subscription | None, period: BillingPeriod) -> int:
    """Return the credit that a plan includes in a period, in nano-units.

    Whole; but where Stripe charges the fee from a moment within the period on, the same share of the credit
    as of the fee, or a day's fee would buy a month's credit.
    """
    if stay is None or stay.paid_from is None or stay.paid_from not in period:
        return version.included_credit_nano
    second = timedelta(seconds=1)
    covered, whole = (period.end - stay.paid_from) // second, (period.end - period.start) // second
    return version.included_credit_nano * covered // whole
