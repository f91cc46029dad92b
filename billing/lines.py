"""What a statement says, line by line: the fee and the usage. Makes rows; writes none.

The rules, in their order:
1. The fee of a period is charged whole, once, by the first part with a fee: the price of the plan in force
   at the last moment covered. A dearer plan starts at once and a cheaper one with the next period
   (`billing/subscriptions.py`), so that is the dearest plan of the period.
2. A usage line is one (period, model, unit, price version): the exact sum of its events, rounded once.
3. Credit comes after them: `billing/credit_lines.py`.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

from billing.allocation import UsageGroup
from billing.models import Statement, StatementLine, UnitPrice
from billing.money import from_minor, minor_digits, to_minor
from billing.plan_in_force import stay_of
from billing.pricing import Unit

# Past so many usage lines, the cheapest ones of a period share a line. (Stripe takes 250 items an invoice.)
MAX_USAGE_LINES = 100

_UNIT_ORDER = {unit.value: position for position, unit in enumerate(Unit)}


def plan_lines(statement: Statement) -> Iterator[StatementLine]:
    """Yield the period's fee, unless the plan has none or an earlier part charged it (void or not).

    None for a stay that Stripe collects: its fee is charged in advance (`billing/payments/fees.py`).
    """
    fee = statement.plan_version.price_minor
    stay = stay_of(statement.account, statement.ends_at - timedelta(microseconds=1))
    if stay and stay.stripe_subscription_id:
        return
    charged = StatementLine.objects.filter(
        statement__account=statement.account, period=statement.period, kind=StatementLine.Kind.PLAN
    )
    if fee and not charged.exists():
        yield StatementLine(
            statement=statement,
            kind=StatementLine.Kind.PLAN,
            period=statement.period,
            unit_price=Decimal(fee).scaleb(-minor_digits(statement.currency)),
            nano_amount=from_minor(fee, statement.currency),
            amount_minor=fee,
        )


def usage_lines(statement: Statement, groups: Iterable[UsageGroup]) -> list[StatementLine]:
    """Return a line per group that has a price, by model and unit, late ones last; the rest in one."""
    prices = _unit_prices(groups)
    priced = [group for group in groups if group.nano or (group.quantity and prices.get(_price_key(group)))]
    dearest = sorted(priced, key=lambda group: -group.nano)
    shown = sorted(dearest[:MAX_USAGE_LINES], key=_order)
    shown.sort(key=lambda group: group.period, reverse=True)
    lines = [
        _usage_line(
            statement,
            group.period,
            group.nano,
            model=group.model,
            unit=group.unit or "",
            price_version_id=group.price_version,
            quantity=group.quantity,
            unit_price=prices.get(_price_key(group)),
        )
        for group in shown
    ]
    return lines + list(_lines_of_the_rest(statement, dearest[MAX_USAGE_LINES:]))


def _usage_line(statement: Statement, period: str, nano: int, **facts: object) -> StatementLine:
    """Make a usage line: here, once, nano-units are rounded to minor units."""
    return StatementLine(
        statement=statement,
        kind=StatementLine.Kind.USAGE,
        period=period,
        nano_amount=nano,
        amount_minor=to_minor(nano, statement.currency),
        **facts,
    )


def _lines_of_the_rest(statement: Statement, rest: list[UsageGroup]) -> Iterator[StatementLine]:
    for period in sorted({group.period for group in rest}):
        nanos = [group.nano for group in rest if group.period == period]
        yield _usage_line(statement, period, sum(nanos), quantity=len(nanos))


def _unit_prices(groups: Iterable[UsageGroup]) -> dict[tuple[int | None, str | None], Decimal]:
    versions = {group.price_version for group in groups if group.price_version}
    rows = UnitPrice.objects.filter(version__in=versions)
    return {(row.version_id, row.unit): row.price for row in rows}


def _price_key(group: UsageGroup) -> tuple[int | None, str | None]:
    return group.price_version, group.unit


def _order(group: UsageGroup) -> tuple[str, int, int]:
    return group.model, _UNIT_ORDER.get(group.unit or "", 0), group.price_version or 0
