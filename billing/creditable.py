"""What can be taken back of a statement, and what that comes to. Only looks.

Credit covers a period's usage and never more than it, so credit that covered what is taken back becomes free
again: a note comes to what the customer would not have owed without the credited usage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum
from django.utils.translation import gettext

from billing.models import Adjustment, CreditNote, CreditSource, Statement, StatementLine
from billing.money import minor_digits

_USED = (StatementLine.Kind.USAGE, StatementLine.Kind.ADJUSTMENT)
# Credit that was burned last is free first.
_FREED_FIRST = [
    CreditSource.PREPAID,
    CreditSource.GRANTED,
    CreditSource.PROMOTIONAL,
    CreditSource.INCLUDED,
    "",
]


class CreditNoteError(ValueError):
    """It cannot be credited; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a credit note would say: minor units by line (credit lines below zero), and what they come to."""

    amounts: Mapping[UUID, int]
    total_minor: int


def left_to_credit(statement: Statement) -> dict[StatementLine, int]:
    """Return what no credit note took back yet of each line, in minor units with the line's sign."""
    lines = statement.lines.annotate(taken=Sum("credited__amount_minor", default=0)).order_by("position")
    return {line: line.amount_minor - line.taken for line in lines}


def preview(statement: Statement, asked: Mapping[UUID, int] | None = None) -> Preview:
    """Work out a credit note: of lines and amounts above zero, or, without any, of all that is left.

    CreditNoteError for a line that is not the statement's, has not so much left, or is credit by itself.
    """
    left = left_to_credit(statement)
    if asked is None:
        amounts = {line.pk: minor for line, minor in left.items() if minor}
        return Preview(amounts, sum(amounts.values()))
    by_id = {line.pk: line for line in left}
    for pk, minor in asked.items():
        line = by_id.get(pk)
        if line is None or not 0 < minor <= left[line]:
            raise CreditNoteError(
                gettext("Line %(line)s has %(left)s left to credit, in minor units. Write from 1 to that.")
                % {"line": line.position if line else pk, "left": max(left[line], 0) if line else 0}
            )
    amounts = dict(asked)
    for period in {by_id[pk].period for pk in asked if by_id[pk].kind in _USED}:
        amounts |= _freed(left, amounts, period)
    return Preview(amounts, sum(amounts.values()))


def read_lines(statement: Statement, text: str) -> dict[UUID, int] | None:
    """Read "1=4.00, 3=0.25" (position = amount in whole units) into what `credit_statement` takes. "" is None.

    CreditNoteError for anything else.
    """
    if not text.strip():
        return None
    lines = {str(line.position): line.pk for line in statement.lines.all()}
    asked = {}
    for part in text.replace(";", ",").split(","):
        position, _, amount = (piece.strip() for piece in part.partition("="))
        try:
            exact = Decimal(amount).scaleb(minor_digits(statement.currency))
            if position not in lines or exact != int(exact):
                raise ValueError(part)
        except (ValueError, ArithmeticError):
            message = gettext("Write position=amount, such as 1=4.00, not %(part)s.")
            raise CreditNoteError(message % {"part": part.strip()}) from None
        asked[lines[position]] = int(exact)
    return asked


def net_lines(note: CreditNote) -> Sequence[tuple[StatementLine, int]]:
    """Return (line, minor units above zero) that add up to the note: freed credit is taken off its usage lines.

    Providers credit lines in positive amounts only.
    """
    rows = list(note.lines.select_related("statement_line"))
    freed = -sum(row.amount_minor for row in rows if row.amount_minor < 0)
    net = []
    for row in sorted(rows, key=lambda row: row.statement_line.kind not in _USED):
        if row.amount_minor > 0:
            off = min(freed, row.amount_minor)
            freed -= off
            net.append((row.statement_line, row.amount_minor - off))
    return [(line, minor) for line, minor in net if minor]


def _freed(left: Mapping[StatementLine, int], amounts: Mapping[UUID, int], period: str) -> dict[UUID, int]:
    """Return what of a period's credit lines becomes free: what they cover beyond the usage that stays."""
    used = sum(
        minor - amounts.get(line.pk, 0)
        for line, minor in left.items()
        if line.period == period and line.kind in _USED and not _is_balance(line)
    )
    given = [line for line in left if line.period == period and line.kind == StatementLine.Kind.CREDIT]
    excess = max(-sum(left[line] for line in given) - max(used, 0), 0)
    freed = {}
    for line in sorted(given, key=lambda line: _FREED_FIRST.index(line.credit_source)):
        if minor := min(-left[line], excess):
            freed[line.pk] = -minor
            excess -= minor
    return freed


def _is_balance(line: StatementLine) -> bool:
    return line.adjustment is not None and line.adjustment.kind == Adjustment.Kind.BALANCE
