"""The credit of a statement, line by line: first the included one, then grants. Makes rows; writes none.

Credit covers usage of its period, never the fee, and never more than the usage. A line for each source says
how much; a `CreditBurn` for each grant says whose.
"""

from collections.abc import Iterable
from uuid import UUID

from billing.allocation import allocated_before
from billing.burning import Pot, Stretch, after, burn
from billing.credit_balances import included_left, pots_of
from billing.models import CreditBurn, CreditSource, Statement, StatementLine
from billing.money import from_minor, nano_per_minor, to_minor
from billing.period import BillingPeriod

# Lines whose sum a period's credit covers.
COVERED = (StatementLine.Kind.USAGE, StatementLine.Kind.ADJUSTMENT)


def credit_lines(
    statement: Statement, lines: Iterable[StatementLine]
) -> tuple[list[StatementLine], list[CreditBurn]]:
    """Return the credit for what `lines` use, newest period first, and what it burns of which grant."""
    covered = [line for line in lines if line.kind in COVERED]
    pots = pots_of(statement.account)
    made: list[StatementLine] = []
    burns: list[CreditBurn] = []
    for key in sorted({line.period for line in covered}, reverse=True):
        used = sum(line.amount_minor for line in covered if line.period == key)
        given, pots = _cover(statement, BillingPeriod.parse(key), used, pots)
        for line, burned in given:
            made.append(line)
            burns += [CreditBurn(grant_id=grant, line=line, **_used(nano)) for grant, nano in burned.items()]
    return made, burns


def _cover(
    statement: Statement, period: BillingPeriod, used: int, pots: list[Pot]
) -> tuple[list[tuple[StatementLine, dict[UUID, int]]], list[Pot]]:
    """Cover `used` minor units of a period; return each line with what it burns, and what the pots have left."""
    currency = statement.currency
    own = statement.plan_version if period.key == statement.period else None
    included = min(max(used, 0), included_left(statement.account, period, own))
    lines: list[tuple[StatementLine, dict[UUID, int]]] = []
    if included:
        lines.append((_line(statement, period, CreditSource.INCLUDED, included), {}))
    stretch = Stretch(
        period,
        from_minor(max(used, 0), currency),
        from_minor(included, currency),
        lambda moment: allocated_before(statement, period, moment),
    )
    taken = burn(pots, stretch, nano_per_minor(currency))
    source_of = {pot.grant: pot.source for pot in pots}
    for source in CreditSource:
        burned = {grant: nano for grant, nano in taken.items() if source_of[grant] == source}
        if burned:
            minor = to_minor(sum(burned.values()), currency)
            lines.append((_line(statement, period, source, minor), burned))
    return lines, after(pots, taken)


def _line(statement: Statement, period: BillingPeriod, source: CreditSource, minor: int) -> StatementLine:
    return StatementLine(
        statement=statement,
        kind=StatementLine.Kind.CREDIT,
        credit_source=source,
        period=period.key,
        nano_amount=-from_minor(minor, statement.currency),
        amount_minor=-minor,
    )


def _used(nano: int) -> dict[str, object]:
    return {"reason": CreditBurn.Reason.USED, "nano_amount": nano}
