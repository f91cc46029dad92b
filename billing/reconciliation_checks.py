"""The questions of reconciliation, one function each. They only look, each in one snapshot of the database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from billing import reconciliation_queries as queries
from billing.models import CreditGrant, JournalLine, LedgerAccount, UnitPrice, UsageHour
from billing.money import NANO, nano_per_minor, to_minor
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricing import SCALE, Unit

# An upstream's bill and our records never meet to the last digit: it rounds, and its month has other edges.
BILL_TOLERANCE_PERCENT = 1


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that must be equal and are not."""

    subject: str
    account_id: str | None
    expected: int
    found: int
    unit: str
    detail: str


@dataclass(frozen=True, slots=True)
class Compared:
    """How much a check looked at (0 means that it proves nothing) and what it found."""

    count: int
    differences: Sequence[Difference] = field(default_factory=list)


def rollups(period: BillingPeriod) -> Compared:
    """Ledger = hourly totals = period totals, for each account. One with news that waits is left for later."""
    differences = []
    rows = _rows(queries.ROLLUPS, _bounds(period))
    for account, currency, *sums in rows:
        for name, events, hours, whole in zip(
            ("calls", "nano", "upstream nano"), *_thirds(sums), strict=True
        ):
            for where, found in (("hourly", hours), ("period", whole)):
                if found != events:
                    detail = f"The {where} totals say {found}, the ledger {events}."
                    subject = f"{account} {where} {name}"
                    differences.append(
                        Difference(subject, str(account), events, found, f"{name} {currency}", detail)
                    )
    return Compared(len(rows), differences)


def statements(period: BillingPeriod) -> Compared:
    """What the lines of each statement charge for usage = what the events allocated to it cost."""
    differences = []
    rows = _rows(queries.STATEMENTS, {"period": period.key})
    for statement, account, currency, lines, events, strangers in rows:
        facts = (str(statement), str(account))
        if lines != events:
            detail = f"Its usage lines come to {lines} nano, its calls to {events}."
            differences.append(Difference(facts[0], facts[1], events, lines, f"nano {currency}", detail))
        if strangers:
            detail = "It bills calls of another account."
            differences.append(Difference(f"{facts[0]} calls", facts[1], 0, strangers, "calls", detail))
    return Compared(len(rows), differences + _unbilled(period))


def totals(period: BillingPeriod) -> Compared:
    """A statement's total = the sum of its lines, each within half a minor unit of its exact amount."""
    differences = []
    rows = _rows(queries.TOTALS, {"period": period.key})
    for statement, account, currency, total, lines, amounts in rows:
        if total != lines:
            detail = f"Its lines add up to {lines}, its total says {total}."
            differences.append(
                Difference(str(statement), str(account), lines, total, f"minor {currency}", detail)
            )
            continue
        half = nano_per_minor(currency) // 2
        if max((abs(nano - minor * 2 * half) for nano, minor in json.loads(amounts)), default=0) > half:
            detail = "A line is more than half a minor unit away from its exact amount."
            differences.append(Difference(f"{statement} rounding", str(account), 0, 1, "lines", detail))
    return Compared(len(rows), differences)


def provider(period: BillingPeriod) -> Compared:
    """What statements say = what the provider's invoices say, as it answers now."""
    figures = payment_provider().figures(period)
    return Compared(
        len(figures),
        [
            Difference(
                row.subject,
                row.account_id,
                row.ours_minor,
                row.theirs_minor,
                f"minor {row.currency}",
                f"{row.what}: statements say {row.ours_minor}, the provider {row.theirs_minor}.",
            )
            for row in figures
            if row.ours_minor != row.theirs_minor
        ],
    )


def journal(period: BillingPeriod) -> Compared:
    """Every issued statement is booked with its total, and every paid one with what was paid."""
    differences = []
    rows = _rows(queries.JOURNAL, {"period": period.key})
    for statement, account, currency, kind, expected, found in rows:
        if expected != found:
            detail = f"The journal has {found} for its {kind}; {expected} are due."
            subject = f"{statement} {kind}"
            differences.append(
                Difference(subject, str(account), expected, found, f"minor {currency}", detail)
            )
    return Compared(len(rows), differences)


def credit() -> Compared:
    """What is left of all grants = the journal's customers' credit, in each currency. Of all periods."""
    grants = CreditGrant.objects.annotate(burned=Coalesce(Sum("burns__nano_amount"), 0))
    left: dict[str, int] = {}
    for currency, amount, burned in grants.values_list("currency", F("nano_amount"), "burned"):
        left[currency] = left.get(currency, 0) + amount - burned
    booked = {
        row["currency"]: row["credit"] - row["debit"]
        for row in JournalLine.objects.filter(ledger_account=LedgerAccount.CREDIT)
        .values("currency")
        .annotate(debit=Sum("debit_minor"), credit=Sum("credit_minor"))
    }
    differences = []
    for currency in sorted(left.keys() | booked.keys()):
        expected, found = to_minor(left.get(currency, 0), currency), booked.get(currency, 0)
        if expected != found:
            detail = f"Grants have {expected} left, the journal owes {found}."
            differences.append(
                Difference(f"all {currency}", None, expected, found, f"minor {currency}", detail)
            )
    return Compared(len(left.keys() | booked.keys()), differences)


def upstream(period: BillingPeriod, bills: Mapping[str, int]) -> Compared:
    """Recorded upstream cost = quantities x pinned rates, within a rounding a call; and = what upstreams billed.

    `bills`: {upstream: nano USD}, as somebody read them off the upstream's invoice.
    """
    differences = []
    rates = {
        (row.version_id, row.unit): row.upstream_cost
        for row in UnitPrice.objects.filter(version__in=_versions(period))
    }
    rows = _rows(queries.UPSTREAM, _bounds(period))
    for version, currency, calls, recorded, quantities in rows:
        exact = sum(
            (
                rates.get((version, unit), Decimal()) * quantity / SCALE[Unit(unit)]
                for unit, quantity in json.loads(quantities).items()
            ),
            Decimal(),
        )
        expected = int(exact * NANO)
        if abs(recorded - expected) > calls:
            detail = f"Price version p{version}: {calls} calls cost {recorded} nano, by its rates {expected}."
            differences.append(
                Difference(f"p{version}", None, expected, recorded, f"nano {currency}", detail)
            )
    return Compared(len(rows) + len(bills), differences + _bills(period, bills))


def _bills(period: BillingPeriod, bills: Mapping[str, int]) -> list[Difference]:
    differences = []
    for name, billed in bills.items():
        hours = UsageHour.objects.filter(period=period.key, currency="USD", upstream=name)
        recorded = hours.aggregate(nano=Coalesce(Sum("upstream_nano_cost"), 0))["nano"]
        if abs(recorded - billed) * 100 > billed * BILL_TOLERANCE_PERCENT:
            detail = f"{name} billed {billed} nano USD, our records say {recorded}."
            differences.append(Difference(f"bill of {name}", None, billed, recorded, "nano USD", detail))
    return differences


def _unbilled(period: BillingPeriod) -> list[Difference]:
    """Usage that was in the ledger when its account's period was closed, and that no statement has."""
    return [
        Difference(
            f"{account} unbilled",
            str(account),
            0,
            nano,
            f"nano {currency}",
            f"{calls} calls were in the ledger when the period was closed, and no statement bills them.",
        )
        for account, currency, calls, nano in _rows(queries.UNBILLED, _bounds(period))
    ]


def _versions(period: BillingPeriod) -> list[int]:
    return [row[0] for row in _rows(queries.UPSTREAM, _bounds(period)) if row[0] is not None]


def _bounds(period: BillingPeriod) -> dict[str, Any]:
    """A call held against a period began at most a day outside of it: that keeps the planner to partitions."""
    day = timedelta(days=1)
    return {"period": period.key, "since": period.start - day, "until": period.end + day}


def _thirds(sums: Sequence[int]) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    return sums[0:3], sums[3:6], sums[6:9]


def _rows(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())
