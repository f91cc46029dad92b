"""Which accounts a period still has to be closed for. Questions only: nothing is written here."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import Account
from billing.adjustments import accounts_with_more_to_bill
from billing.models import Statement, Subscription, UsagePeriod
from billing.period import BillingPeriod

# Usage that arrives late is billed by the statements of this many periods after its own. What comes even
# later is never billed: nobody should be charged for something that long ago. It stays visible as usage.
LATE_PERIODS = 3


def billed_periods(period: BillingPeriod) -> list[BillingPeriod]:
    """The periods whose usage a statement of `period` bills: its own first, then those before it."""
    return list(islice(_back_from(period), LATE_PERIODS + 1))


def accounts_to_close(period: BillingPeriod) -> QuerySet[Account]:
    """Accounts with calls in `period`, a fee for it or late usage from before, not closed up to its end."""
    closed = Statement.objects.filter(period=period.key, ends_at__gte=period.end)
    last_moment = period.end - timedelta(microseconds=1)
    # Where Stripe charges the fee, a period without calls has nothing to close.
    paying = Subscription.objects.in_force(last_moment).filter(
        plan_version__price_minor__gt=0, stripe_subscription_id=""
    )
    calling = UsagePeriod.objects.filter(period=period.key, calls__gt=0)
    return Account.objects.filter(
        Q(pk__in=paying.order_by().values("account"))
        | Q(pk__in=calling.order_by().values("account"))
        | Q(pk__in=_accounts_with_late_usage(period))
        | Q(pk__in=accounts_with_more_to_bill())
    ).exclude(pk__in=closed.order_by().values("account"))


def _accounts_with_late_usage(period: BillingPeriod) -> list[str]:
    """Accounts whose earlier periods cost more than their statements billed for them."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [[earlier.key for earlier in billed_periods(period)[1:]]])
        return [account for (account,) in cursor.fetchall()]


def _back_from(period: BillingPeriod) -> Iterator[BillingPeriod]:
    while True:
        yield period
        period = period.previous


_LATE = """
SELECT used.account_id FROM billing_usageperiod used
LEFT JOIN LATERAL (
    SELECT sum(line.nano_amount) AS nano
    FROM billing_statement statement JOIN billing_statementline line ON line.statement_id = statement.id
    WHERE statement.account_id = used.account_id AND line.period = used.period AND line.kind = 'usage'
) billed ON true
WHERE used.period = ANY(%s) AND used.nano_cost > coalesce(billed.nano, 0)
"""
