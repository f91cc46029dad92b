"""Step 7 of a call: what an account owes for a period is frozen into a statement, once.

What the lines say is in `billing/lines.py`, which usage they bill in `billing/allocation.py`, and which
accounts are due in `billing/due.py`.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone, translation

from accounts.ids import uuid7
from accounts.models import Account
from billing import adjustments, journal
from billing.allocation import UsageGroup, allocate, allocated_nano
from billing.credit_lines import credit_lines
from billing.due import accounts_to_close, billed_periods
from billing.lines import plan_lines, usage_lines
from billing.models import CreditBurn, Statement, StatementLine
from billing.period import BillingPeriod
from billing.plan_in_force import plan_version_of
from billing.wording import describe

_AT_ONCE = 500  # accounts read at once
log = logging.getLogger(__name__)


class StatementError(Exception):
    """A statement that would be wrong. Nothing of it is written; somebody has to look."""


def close_period(account: Account, period: BillingPeriod, until: datetime | None = None) -> Statement | None:
    """Freeze what `account` owes for `period` into a statement and return it. Safe to run again.

    Bills the period's usage, and late usage of the periods before that no statement has yet. `until` closes
    the first part of a running period (an interim statement); the next part goes on from there.

    Returns the statement that there is if the stretch is closed already. None where there is nothing to
    bill: no call and no fee. (Calls that cost nothing do get a statement, of 0.) ValueError if the stretch is
    not over, StatementError if the statement would be wrong.

    One transaction. If we die before it commits, no usage is allocated and there is no statement; after it,
    both are there, and the next run returns that statement.
    1. Lock the account. A second closer waits here, then finds the statement in step 2.
    2. Is the stretch closed already?
    3. Allocate the usage.
    4. Write the statement with its lines, and what they burn of the account's credit.
    5. Compare the lines with the ledger, both read back.
    """
    until = _end_of_stretch(period, until)
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        parts = list(Statement.objects.filter(account=account, period=period.key).order_by("sequence"))
        if parts and parts[-1].ends_at >= until:
            return parts[-1]
        statement = _next_part(account, period, until, parts)
        groups = allocate(statement, until)
        _refuse_other_currencies(statement, groups)
        lines, burns = _lines(statement, groups)
        if not lines and not groups:
            return parts[-1] if parts else None
        _write(statement, lines)
        CreditBurn.objects.bulk_create(burns)
        journal.credit_used(statement, burns)
        _compare_with_ledger(statement)
    return statement


def close_due_periods(now: datetime | None = None) -> list[UUID]:
    """Close, for every account that needs it, the periods that ended longer ago than CLOSE_GRACE_SECONDS.

    Return the statements' ids; accounts are read as they are needed, so ten thousand need no more memory than ten.

    Oldest first, so that usage is billed by its own period's statement where there is none yet. An account
    that fails is logged and tried again at the next tick; the others do not notice.
    """
    moment = (now or timezone.now()) - timedelta(seconds=settings.CLOSE_GRACE_SECONDS)
    closed: list[UUID] = []
    for period in reversed(billed_periods(BillingPeriod.containing(moment).previous)):
        for account in accounts_to_close(period).iterator(_AT_ONCE):
            try:
                statement = close_period(account, period)
            except Exception:
                log.exception("close_period_failed", extra={"account": str(account.pk), "period": period.key})
            else:
                closed += [statement.pk] if statement else []
    return closed


def _end_of_stretch(period: BillingPeriod, until: datetime | None) -> datetime:
    """Return the moment up to which to bill. ValueError if it is still to come or outside the period."""
    until = until or period.end
    if until > timezone.now():
        raise ValueError(
            f"{period} is not over until {until:%Y-%m-%d %H:%M} UTC. Close it then, or say until when."
        )
    if not period.start < until <= period.end:
        raise ValueError(f"{until:%Y-%m-%d %H:%M} UTC is not in {period}.")
    return until


def _next_part(
    account: Account, period: BillingPeriod, until: datetime, parts: Sequence[Statement]
) -> Statement:
    """Make the statement that follows `parts`. Its id is known, its row is not written yet."""
    version, _ = plan_version_of(account, until - timedelta(microseconds=1))
    if version.currency != account.currency and (version.price_minor or version.included_credit_nano):
        raise StatementError(
            f"{account} is billed in {account.currency} and {version} is priced in {version.currency}. "
            f"Put the account on a plan version in {account.currency}."
        )
    return Statement(
        id=uuid7(),
        account=account,
        period=period.key,
        sequence=len(parts) + 1,
        plan_version=version,
        currency=account.currency,
        starts_at=parts[-1].ends_at if parts else period.start,
        ends_at=until,
    )


def _lines(
    statement: Statement, groups: Sequence[UsageGroup]
) -> tuple[list[StatementLine], list[CreditBurn]]:
    """Return the statement's lines in their order, and what they burn of the account's credit."""
    waiting = adjustments.waiting(statement.account)
    lines = [*plan_lines(statement), *usage_lines(statement, groups)]
    lines += adjustments.usage_corrections(statement, lines, waiting)
    credit, burns = credit_lines(statement, lines)
    lines += credit
    return lines + adjustments.deductions(statement, lines, waiting), burns


def _refuse_other_currencies(statement: Statement, groups: Sequence[UsageGroup]) -> None:
    """An account has one currency (`Account.currency`); adding up two would be wrong."""
    others = {group.currency for group in groups} - {statement.currency}
    if others:
        raise StatementError(
            f"{statement.account} is billed in {statement.currency}"
            f" and has usage in {', '.join(sorted(others))}."
        )


def _write(statement: Statement, lines: Sequence[StatementLine]) -> None:
    """Write the statement with its total, and its lines with their places and descriptions (in English)."""
    statement.total_minor = sum(line.amount_minor for line in lines)
    statement.save(force_insert=True)
    with translation.override("en"):
        for position, line in enumerate(lines, start=1):
            line.position = position
            line.description = describe(line, statement.currency, statement.period)
    StatementLine.objects.bulk_create(lines)


def _compare_with_ledger(statement: Statement) -> None:
    """Raise StatementError, and so roll back, unless lines, total and ledger agree to the nano-unit."""
    usage = Q(kind=StatementLine.Kind.USAGE)
    sums = StatementLine.objects.filter(statement=statement).aggregate(
        nano=Sum("nano_amount", filter=usage, default=0), minor=Sum("amount_minor", default=0)
    )
    used = allocated_nano(statement)
    if sums["nano"] != used or sums["minor"] != statement.total_minor:
        raise StatementError(
            f"{statement}: the lines add up to {sums['nano']} nano and {sums['minor']} minor units, "
            f"the ledger to {used} nano, the total to {statement.total_minor} minor units."
        )
