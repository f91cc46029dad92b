"""What an account and a key may do now, as frozen values: plan version + overrides + the organization's own
rules, and what narrows the key: its restrictions, and the budgets that its calls count towards.

Admission reads them on every call, from a cache; this file is the only place that works them out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.models import Account, ApiKey
from accounts.restrictions import Restrictions
from billing.budget_window import BudgetWindow, Window
from billing.credit_balances import prepaid_nano
from billing.models import Budget, CreditGrant, Dunning, EntitlementOverride, PlanVersion, Subscription
from billing.period import BillingPeriod
from billing.plan_in_force import included_credit_nano, plan_version_of

# The longest stretch first, since of two budgets that stop a call the more lasting one is told; then by subject.
_WINDOWS = (Window.LIFETIME, Window.MONTH, Window.WEEK, Window.DAY)
_SCOPES = (Budget.Scope.ACCOUNT, Budget.Scope.MEMBER, Budget.Scope.KEY)


@dataclass(frozen=True, slots=True)
class Entitlements:
    """An account's limits in force. `None` means without limit."""

    plan: str
    plan_version_id: int
    currency: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    calls_per_period: int | None  # past it: 402 quota_exceeded
    spend_limit_nano: int | None  # included and prepaid credit; past it: 402 insufficient_credit
    price_ceiling_nano: int | None  # dearest model allowed, in nano-units per million output tokens
    max_body_bytes: int
    max_output_tokens: int
    fails_closed: bool  # without a limiter: True answers 503, False runs on leases granted beforehand
    drains: bool  # a stream whose client left is read to its end, and charged so
    suspended: bool
    payment_overdue: bool  # the days of grace are over (billing/dunning.py): 402 payment_overdue
    valid_until: datetime | None = None  # the next moment at which they change by themselves


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """A budget in force, as admission needs it."""

    scope: str  # account, member or key
    subject_id: str
    window: Window
    time_zone: str
    limit_nano: int
    hard_stop: bool  # False: it counts, and stops nothing

    def window_at(self, unix_ms: int) -> BudgetWindow:
        """Return the stretch that a moment falls in. Worked out once a minute: the clocks change on whole ones."""
        return _window_in_minute(unix_ms // 60_000, self.window, self.time_zone)

    def counter_name(self, window: BudgetWindow) -> str:
        """Return what its counter in a window is called. The budget's own row does not enter into it."""
        return f"{self.subject_id}:{window.key}"


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a call with one key may do: its account's entitlements, and what narrows them."""

    entitlements: Entitlements
    restrictions: tuple[Restrictions, ...]  # the account's and the key's, where they restrict anything
    budgets: tuple[BudgetLimit, ...]  # in the order in which they are told


def entitlements_of(account: Account, at: datetime | None = None) -> Entitlements:
    """Work out what `account` may do at a moment (now, if not given): plan, overrides, credit."""
    at = at or timezone.now()
    version, stay = plan_version_of(account, at)
    of_plan = Entitlements(
        plan=version.plan.slug,
        plan_version_id=version.pk,
        currency=account.currency,
        requests_per_minute=version.requests_per_minute,
        tokens_per_minute=version.tokens_per_minute,
        concurrency=version.concurrency,
        calls_per_period=None if version.overage else version.calls_per_period,
        spend_limit_nano=_credit(account, version, stay, at),
        price_ceiling_nano=version.price_ceiling_nano,
        max_body_bytes=version.max_body_bytes,
        max_output_tokens=version.max_output_tokens,
        fails_closed=version.fails_closed,
        drains=version.drains,
        suspended=account.suspended_at is not None,
        payment_overdue=Dunning.objects.filter(
            account=account, ended_at=None, limited_at__isnull=False
        ).exists(),
        valid_until=_next_change(account, at),
    )
    overrides = EntitlementOverride.objects.in_force(at).filter(account=account)
    changes: dict[str, Any] = {override.field: override.value for override in overrides}
    return replace(of_plan, **changes)


def rights_of(key: ApiKey, at: datetime | None = None) -> KeyRights:
    """Work out what calls with `key` may do at a moment. About six queries."""
    narrowing = (key.account.restrictions, key.restrictions)
    return KeyRights(
        entitlements_of(key.account, at),
        tuple(restrictions for restrictions in narrowing if not restrictions.is_empty),
        budget_limits(Budget.objects.of_key(key), key.account.time_zone),
    )


def budget_limits(budgets: Iterable[Budget], time_zone: str) -> tuple[BudgetLimit, ...]:
    """Return budgets as admission needs them, the most lasting first."""
    limits = [
        BudgetLimit(row.scope, row.subject_id, Window(row.window), time_zone, row.limit_nano, row.hard_stop)
        for row in budgets
    ]
    order = [scope.value for scope in _SCOPES]
    return tuple(sorted(limits, key=lambda it: (_WINDOWS.index(it.window), order.index(it.scope))))


def _credit(account: Account, version: PlanVersion, stay: Subscription | None, at: datetime) -> int | None:
    """Return how far a plan's usage may go on credit. With pay as you go there is no such end: it is invoiced."""
    if version.overage:
        return None
    included = included_credit_nano(version, stay, BillingPeriod.containing(at))
    return included + prepaid_nano(account, at)


def _next_change(account: Account, at: datetime) -> datetime | None:
    """Return when an override, a stay on a plan or credit next begins or ends by itself, or the period does."""
    edges = [
        (EntitlementOverride, "starts_at", "ends_at"),
        (Subscription, "started_at", "ended_at"),
        (CreditGrant, "starts_at", "expires_at"),
    ]
    moments = [BillingPeriod.containing(at).end]
    for model, start, end in edges:
        ahead = model._default_manager.filter(Q(**{f"{start}__gt": at}) | Q(**{f"{end}__gt": at}))
        for row in ahead.filter(account=account).values_list(start, end):
            moments += [edge for edge in row if edge and edge > at]
    return min(moments)


@lru_cache(maxsize=4_096)
def _window_in_minute(unix_minute: int, window: Window, time_zone: str) -> BudgetWindow:
    moment = datetime.fromtimestamp(unix_minute * 60, tz=UTC)
    return BudgetWindow.containing(moment, window, time_zone)
