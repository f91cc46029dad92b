"""Where an account stands in the running period: what is used of what, the forecast, the next statement.

Only reads. Amounts are integer nano-units of the account's currency.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, Sum

from accounts.models import Account
from billing.budgets import pay_as_you_go_cap
from billing.credit_balances import grants_cover_nano
from billing.models import PlanVersion, Statement, Subscription, UsagePeriod
from billing.money import from_minor
from billing.period import BillingPeriod
from billing.plan_in_force import included_credit_nano, plan_version_of

# A forecast from less than this would multiply the first minutes by thousands.
SHORTEST_PACE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The period's end at the pace so far: used x whole stretch / elapsed stretch, both from `since`."""

    since: datetime
    calls: int
    nano: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One account in one period. `calls` are answered calls: the ones that count against the plan."""

    account: Account
    version: PlanVersion
    subscription: Subscription | None
    period: BillingPeriod
    calls: int
    nano: int
    included_nano: int  # the credit of this period
    prepaid_nano: int  # how much usage past it grants cover, what they covered already among it
    billed_nano: int  # on statements of this period already (an interim one)
    budget_nano: int | None  # the customer's own cap on usage past the credit; None without one
    forecast: Forecast

    @property
    def credit_used_nano(self) -> int:
        """How much of the included credit is used."""
        return min(self.nano, self.included_nano)

    @property
    def credit_line_nano(self) -> int:
        """The credit as a line of the statement: what it takes off."""
        return -self.credit_used_nano

    @property
    def billed_line_nano(self) -> int:
        """What is billed already, as a line of the estimate: what it takes off."""
        return -self.billed_nano

    @property
    def beyond_credit_nano(self) -> int:
        """Usage past the included credit: what the customer's cap on pay as you go counts."""
        return self.nano - self.credit_used_nano

    @property
    def prepaid_used_nano(self) -> int:
        """Usage past the included credit that grants cover: paid in advance, or given."""
        return min(self.beyond_credit_nano, self.prepaid_nano)

    @property
    def prepaid_line_nano(self) -> int:
        """That as a line of the estimate: what it takes off."""
        return -self.prepaid_used_nano

    @property
    def credit_end_nano(self) -> int:
        """The usage at which calls stop where nothing past credit may be charged."""
        return self.included_nano + self.prepaid_nano

    @property
    def charged_nano(self) -> int:
        """Usage that no credit covers: what is paid for it."""
        return self.beyond_credit_nano - self.prepaid_used_nano

    @property
    def plan_nano(self) -> int:
        """The plan's own price on the next statement; 0 where it is negotiated or ends.

        Where Stripe charges it, that is the coming month's, in advance; else this month's.
        """
        if self.subscription and self.subscription.stripe_subscription_id and self.subscription.ended_at:
            return 0
        return from_minor(self.version.price_minor or 0, self.version.currency)

    @property
    def estimate_nano(self) -> int:
        """The next statement if nothing more is called: plan + usage - credit - what is billed already."""
        return self.plan_nano + self.charged_nano - self.billed_nano

    @property
    def forecast_estimate_nano(self) -> int:
        """The next statement at the pace so far. Never beyond what a hard stop or a budget lets through."""
        beyond = max(self.forecast.nano - self.included_nano, 0)
        cap = self.budget_nano if self.version.overage else 0
        charged = beyond if cap is None else max(min(beyond, cap), self.beyond_credit_nano)
        return self.plan_nano + max(charged - self.prepaid_nano, 0) - self.billed_nano

    @property
    def calls_left(self) -> int | None:
        """Calls until they stop (or cost, with pay as you go); None without limit."""
        included = self.version.calls_per_period
        return None if included is None else max(included - self.calls, 0)


@dataclass(frozen=True, slots=True)
class ComingChange:
    """A change of plan that is agreed but has not begun."""

    at: datetime
    version: PlanVersion


def coming_change(account: Account, now: datetime) -> ComingChange | None:
    """Return the next change of plan after `now`, if one is on its way. At most three queries."""
    stays = Subscription.objects.filter(account=account)
    ends = stays.filter(started_at__lte=now, ended_at__gt=now).values_list("ended_at", flat=True)
    # A stay that was taken back before it began has no length.
    begins = stays.filter(Q(started_at__gt=now) & (Q(ended_at=None) | Q(ended_at__gt=F("started_at"))))
    moments = [moment for moment in ends if moment] + list(begins.values_list("started_at", flat=True))
    if not moments:
        return None
    at = min(moments)
    return ComingChange(at, plan_version_of(account, at)[0])


def standing_of(account: Account, now: datetime) -> Standing:
    """Work out where `account` stands at `now`. Six queries, and some more where it has grants."""
    version, subscription = plan_version_of(account, now)
    period = BillingPeriod.containing(now)
    used = UsagePeriod.objects.filter(account=account, period=period.key, currency=account.currency).first()
    calls, nano = (used.charged_calls, used.nano_cost) if used else (0, 0)
    pace = forecast(calls, nano, period, max(period.start, account.created_at), now)
    billed, cap = _billed(account, period), pay_as_you_go_cap(account, version)
    included = included_credit_nano(version, subscription, period)
    prepaid = grants_cover_nano(account, now)
    return Standing(account, version, subscription, period, calls, nano, included, prepaid, billed, cap, pace)


def _billed(account: Account, period: BillingPeriod) -> int:
    """What statements of the period say already, in nano-units. Fees in advance are not part of the next one."""
    statements = Statement.objects.filter(account=account, period=period.key, kind=Statement.Kind.USAGE)
    total: int = statements.aggregate(total=Sum("total_minor", default=0))["total"]
    return from_minor(total, account.currency)


def forecast(calls: int, nano: int, period: BillingPeriod, since: datetime, now: datetime) -> Forecast:
    """Continue the pace since `since` to the period's end, linearly. The pace is taken over a day at least."""
    elapsed = max(now - since, SHORTEST_PACE)
    whole = max(period.end - since, elapsed)
    second = timedelta(seconds=1)
    stretch, gone = whole // second, elapsed // second
    return Forecast(since, -(-calls * stretch // gone), -(-nano * stretch // gone))
