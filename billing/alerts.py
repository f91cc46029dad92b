"""Alerts: who has reached which threshold, told once, by mail and by webhook.

The roll-up writes a mark for each account with new usage, and a change of budget does too; a tick takes the
marks. Whether a threshold was told of is decided by unique constraints in PostgreSQL, in the transaction that
writes the mail and the webhook message: two workers at once, a death half-way, and usage that jumps over
several thresholds all end with each told once.

After a change of limit the new one's thresholds are told of when they are reached, even if the old one's were.
One that was told already and that usage is past under the new limit too, at the moment of the change, is not
told again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts import mails
from accounts.models import Account
from accounts.webhooks.events import publish
from billing import alert_words
from billing.budget_window import Window
from billing.budgets import budget_use, keys_of
from billing.ledger import counted_nano
from billing.models import AlertFired, AlertMark, Budget
from billing.standing import standing_of

PLAN_THRESHOLDS = (80, 100)
ACCOUNTS_AT_ONCE = 200
Measure = AlertFired.Measure


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one limit is used in the window that runs. Units as in `AlertFired`."""

    measure: str
    budget: Budget | None
    window_start: datetime
    resets_at: datetime | None
    used: int
    limit: int
    thresholds: Sequence[int]
    stops: bool  # whether calls are refused at the limit

    def reached(self) -> list[int]:
        """The thresholds that usage has reached. A limit of 0 is used up from the start, and only that is told."""
        if not self.limit:
            return [percent for percent in self.thresholds if percent == 100]
        return [percent for percent in self.thresholds if self.used * 100 >= percent * self.limit]


def mark(account_id: UUID) -> None:
    """Have the account looked at by the next tick. Call it in the transaction that makes the change."""
    AlertMark.objects.create(account_id=account_id)


def check_due() -> int:
    """Look at every account with a mark; return how many alerts were told."""
    marked = AlertMark.objects.values_list("account_id", flat=True).distinct()[:ACCOUNTS_AT_ONCE]
    return sum(len(check(account_id)) for account_id in list(marked))


@transaction.atomic
def check(account_id: UUID) -> list[AlertFired]:
    """Tell an account what it has not been told yet; return what was told.

    1. Take its marks. Another worker that wants them waits, and then finds none.
    2. For each threshold reached: write its row, and with it the mail and the message.
    If we die anywhere before the commit, the marks are back and nobody was told anything.
    """
    if not AlertMark.objects.filter(account_id=account_id).delete()[0]:
        return []
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        return []
    now = timezone.now()
    return [alert for reading in readings_of(account, now) for alert in _fire(account, reading)]


def readings_of(account: Account, now: datetime) -> Iterator[Reading]:
    """Yield how far each budget in force, and what the plan includes, is used. Reads the ledger."""
    for budget in Budget.objects.in_force().filter(account=account).select_related("member__user", "key"):
        budget.account = account
        use = budget_use(budget, now)
        yield Reading(
            Measure.BUDGET, budget, use.window.start, use.window.resets_at, use.used_nano, budget.limit_nano,
            budget.thresholds, budget.hard_stop,
        )  # fmt: skip
    standing = standing_of(account, now)
    start, end, stops = standing.period.start, standing.period.end, not standing.version.overage
    if standing.version.calls_per_period:
        included = standing.version.calls_per_period
        yield Reading(Measure.PLAN_CALLS, None, start, end, standing.calls, included, PLAN_THRESHOLDS, stops)
    if credit := standing.version.included_credit_nano:
        yield Reading(Measure.PLAN_CREDIT, None, start, end, standing.nano, credit, PLAN_THRESHOLDS, stops)


def _fire(account: Account, reading: Reading) -> list[AlertFired]:
    """Tell of each threshold that is reached and was not told of in this window."""
    known = AlertFired.objects.filter(account=account, measure=reading.measure, budget=reading.budget)
    known = known.filter(window_start=reading.window_start)
    if reading.budget is None:
        known = known.filter(limit=reading.limit)
    told = set(known.values_list("threshold", flat=True))
    fresh = [percent for percent in reading.reached() if percent not in told]
    carried = _carried(reading) if fresh and reading.budget else set()
    return [alert for percent in fresh if (alert := _tell(account, reading, percent, percent in carried))]


def _tell(account: Account, reading: Reading, percent: int, carried: bool) -> AlertFired | None:
    """Write the alert with its mail and message. None if it was told by somebody else, or before a change."""
    place = {"account": account, "measure": reading.measure, "budget": reading.budget, "threshold": percent}
    facts = {"used": reading.used, "carried": carried}
    if reading.budget is None:
        place["limit"] = reading.limit
    else:
        facts["limit"] = reading.limit
    alert, made = AlertFired.objects.get_or_create(window_start=reading.window_start, **place, defaults=facts)
    if not made or carried:
        return None
    mails.write(_readers(account, reading), lambda: alert_words.letter(alert, reading), account)
    event = "budget.threshold_reached" if reading.budget else "plan.threshold_reached"
    publish(account, event, alert_words.message(alert, reading))
    return alert


def _carried(reading: Reading) -> set[int]:
    """The thresholds that were told under the limit before, and were past under this one when it was set."""
    budget = reading.budget
    assert budget is not None
    before = Budget.objects.filter(
        account=budget.account_id, scope=budget.scope, member=budget.member_id, key=budget.key_id,
        window=budget.window, ended_at=budget.created_at,
    ).exclude(pk=budget.pk).first()  # fmt: skip
    if before is None:
        return set()
    told = AlertFired.objects.filter(budget=before, window_start=reading.window_start)
    # Up to the change. Window.DAY: `counted_nano` looks at the ends of any window but a lifetime.
    until = replace(budget.window_at(budget.created_at), end=budget.created_at, window=Window.DAY)
    then = replace(reading, used=counted_nano(str(budget.account_id), until, keys_of(budget))).reached()
    return set(told.values_list("threshold", flat=True)) & set(then)


def _readers(account: Account, reading: Reading) -> list[mails.Reader]:
    """Owners, billing people and the billing address; and whose budget it is."""
    readers = mails.readers_of(account)
    whose = _whose(reading.budget) if reading.budget else None
    known = {reader.email.lower() for reader in readers}
    if whose and whose.email.lower() not in known:
        readers.append(whose)
    return readers


def _whose(budget: Budget) -> mails.Reader | None:
    user = budget.member.user if budget.member else budget.key.created_by if budget.key else None
    here = user and user.is_active and user.memberships.filter(account=budget.account_id).exists()
    return mails.Reader(user.email, user.language) if user and here else None
