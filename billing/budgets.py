"""Setting, changing and ending budgets, and what is used of one. The rows: `billing/models/budgets.py`.

A change ends the row in force and adds another, so that what applied at any moment can be read later. Rows
are saved one by one: a signal tells every gateway process, which counts by the new limit within a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Account, ApiKey, Membership, User
from billing.budget_window import BudgetWindow, Window
from billing.ledger import counted_nano
from billing.models import AlertMark, Budget, PlanVersion
from billing.models.budgets import DEFAULT_THRESHOLDS


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What the totals say of a budget in one window. They trail the meter by a second or two."""

    budget: Budget
    window: BudgetWindow
    used_nano: int

    @property
    def left_nano(self) -> int:
        """What may still be spent; 0 where more is spent already."""
        return max(self.budget.limit_nano - self.used_nano, 0)

    @property
    def percent(self) -> int:
        """Whole percents used, rounded down: 100 is reached only at the limit. A limit of 0 is always used up."""
        limit = self.budget.limit_nano
        return self.used_nano * 100 // limit if limit else 100


def set_budget(
    account: Account,
    window: Window,
    limit_nano: int,
    *,
    member: Membership | None = None,
    key: ApiKey | None = None,
    hard_stop: bool = True,
    thresholds: Sequence[int] = DEFAULT_THRESHOLDS,
    by: User | None = None,
) -> Budget:
    """Write the budget of a key, a member or else the account for a window; it replaces the one in force.

    Setting what holds already changes nothing. ValidationError for a member or key of another account.
    """
    scope = Budget.Scope.KEY if key else Budget.Scope.MEMBER if member else Budget.Scope.ACCOUNT
    wanted = Budget(
        account=account, scope=scope, member=member, key=key, window=window.value, limit_nano=limit_nano,
        hard_stop=hard_stop, thresholds=list(thresholds), created_by=by,
    )  # fmt: skip
    wanted.full_clean(validate_constraints=False)
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)  # one change at a time
        current = _same_place(wanted)
        if current and _says(current) == _says(wanted):
            return current
        wanted.created_at = timezone.now()
        if current:
            _end(current, wanted.created_at)
        wanted.save()
        AlertMark.objects.create(account_id=account.pk)  # usage may be past a threshold already
    return wanted


def end_budget(budget: Budget) -> Budget:
    """End a budget now. Ending it twice keeps the first moment."""
    if budget.ended_at is None:
        _end(budget, timezone.now())
    return budget


def budget_use(budget: Budget, at: datetime | None = None) -> BudgetUse:
    """Look up what is used of a budget in the window that `at` (now, if not given) falls in. One query to three."""
    window = budget.window_at(at or timezone.now())
    return BudgetUse(budget, window, counted_nano(str(budget.account_id), window, keys_of(budget)))


def keys_of(budget: Budget) -> list[str] | None:
    """Return the ids of the keys whose calls count, revoked ones too. None: every call of the account."""
    return keys_counted(str(budget.account_id), budget.scope, budget.subject_id)


def keys_counted(account_id: str, scope: str, subject_id: str) -> list[str] | None:
    """The same, by a budget's scope and the id of what it counts."""
    match scope:
        case Budget.Scope.KEY:
            return [subject_id]
        case Budget.Scope.MEMBER if not subject_id:  # the member has left
            return []
        case Budget.Scope.MEMBER:
            made = ApiKey.objects.filter(
                account_id=UUID(account_id), created_by__memberships=UUID(subject_id)
            )
            return [str(pk) for pk in made.values_list("pk", flat=True)]
        case _:
            return None


# --- The cap on pay as you go --------------------------------------------------------------------
# The billing screen asks for a cap on what is paid past the included credit. It is the account's monthly
# budget, seen from there: limit = credit + cap. ADR 0015.


def pay_as_you_go_cap(account: Account, version: PlanVersion) -> int | None:
    """Return how much past the credit the account's monthly budget lets through; None without one that stops."""
    open_ones = Budget.objects.in_force().filter(account=account, scope=Budget.Scope.ACCOUNT)
    limits = open_ones.filter(window=Window.MONTH.value, hard_stop=True).values_list("limit_nano", flat=True)
    limit = limits.first()
    return None if limit is None else max(limit - version.included_credit_nano, 0)


def set_pay_as_you_go_cap(
    account: Account, version: PlanVersion, cap_nano: int | None, *, by: User | None = None
) -> None:
    """Write the account's monthly budget from a cap on what is paid past the credit, or end it (None)."""
    if cap_nano is not None:
        set_budget(account, Window.MONTH, version.included_credit_nano + cap_nano, by=by)
        return
    monthly = Budget.objects.in_force().filter(account=account, scope="account", window=Window.MONTH.value)
    for budget in monthly:
        end_budget(budget)


def _same_place(wanted: Budget) -> Budget | None:
    """Return the budget in force for the same account, member or key, and window."""
    subject = {"scope": wanted.scope, "member": wanted.member, "key": wanted.key}
    return Budget.objects.in_force().filter(account=wanted.account, window=wanted.window, **subject).first()


def _says(budget: Budget) -> tuple[int, bool, list[int]]:
    return budget.limit_nano, budget.hard_stop, budget.thresholds


def _end(budget: Budget, at: datetime) -> None:
    budget.ended_at = max(at, budget.created_at)
    budget.save(update_fields=["ended_at"])
