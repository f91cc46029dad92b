"""Adjustments on a statement: what waits for the account's next one. Makes lines; writes none.

1. Usage that became dearer is added; usage that became cheaper takes off this statement's usage of the same
   period. Both before credit, which covers what is left of that usage.
2. After credit, everything else below zero takes off what is left of the statement, and never more: the rest
   waits for the statement after it.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from accounts.models import Account
from billing.models import Adjustment, Statement, StatementLine
from billing.money import from_minor

_TAKEN = Sum("lines__amount_minor", filter=~Q(lines__statement__state=Statement.State.VOID))


def waiting(account: Account) -> list[tuple[Adjustment, int]]:
    """Return the account's adjustments with what no statement took of them, in minor units, oldest first."""
    rows = Adjustment.objects.filter(account=account).annotate(taken=Coalesce(_TAKEN, 0))
    return [
        (row, row.amount_minor - row.taken)
        for row in rows.order_by("created_at")
        if row.amount_minor != row.taken
    ]


def accounts_with_more_to_bill() -> list[UUID]:
    """Return the ids of accounts for which adjustments add more than they take off."""
    rows = Adjustment.objects.annotate(taken=Coalesce(_TAKEN, 0)).values_list(
        "account_id", "amount_minor", "taken"
    )
    left: dict[UUID, int] = {}
    for account, amount, taken in rows:
        left[account] = left.get(account, 0) + amount - taken
    return [account for account, minor in left.items() if minor > 0]


def usage_corrections(
    statement: Statement, lines: Iterable[StatementLine], rows: Sequence[tuple[Adjustment, int]]
) -> list[StatementLine]:
    """Return the lines of rule 1."""
    used: dict[str, int] = {}
    for line in lines:
        if line.kind == StatementLine.Kind.USAGE:
            used[line.period] = used.get(line.period, 0) + line.amount_minor
    made = []
    for row, left in rows:
        if row.kind != Adjustment.Kind.RERATING:
            continue
        minor = left if left > 0 else max(left, -max(used.get(row.period, 0), 0))
        if minor:
            used[row.period] = used.get(row.period, 0) + minor
            made.append(_line(statement, row, minor))
    return made


def deductions(
    statement: Statement, lines: Sequence[StatementLine], rows: Sequence[tuple[Adjustment, int]]
) -> list[StatementLine]:
    """Return the lines of rule 2: `lines` are all that the statement has so far."""
    open_minor = sum(line.amount_minor for line in lines)
    taken = {line.adjustment_id: line.amount_minor for line in lines if line.adjustment_id}
    made = []
    for row, left in rows:
        minor = max(left - taken.get(row.pk, 0), -max(open_minor, 0)) if left < 0 else 0
        if minor:
            open_minor += minor
            made.append(_line(statement, row, minor))
    return made


def _line(statement: Statement, row: Adjustment, minor: int) -> StatementLine:
    return StatementLine(
        statement=statement,
        kind=StatementLine.Kind.ADJUSTMENT,
        adjustment=row,
        period=row.period,
        model=row.model,
        unit=row.unit,
        price_version_id=row.price_version_id,
        nano_amount=from_minor(minor, statement.currency),
        amount_minor=minor,
    )
