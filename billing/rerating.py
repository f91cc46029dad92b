"""Re-rating: what an account's usage of a period would have cost at other prices, and the corrections for it.

Events keep their price and their statement. What differs is corrected by new rows only: a credit note where
an issued statement charged too much, else an adjustment on the next statement. The difference is against
what stands today, corrections among it, so running again after writing finds nothing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from accounts.models import Account
from billing.credit_notes import PayBack, credit_statement
from billing.creditable import left_to_credit
from billing.models import (
    Adjustment,
    CreditNote,
    Statement,
    StatementLine,
    UnitPrice,
    UsageAllocation,
    UsageEvent,
)
from billing.money import to_minor
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricebook import PriceBook
from billing.pricing import Rates, Unit, charge

# What a provider has no price for costs what the router does: `gateway/catalog.py` asks the same way.
THROUGH = "hf-router"
EVENTS_AT_ONCE = 2000

Group = tuple[str, str, int | None]  # (model, unit, price version) as a statement line names them
_REST: Group = ("", "", None)


@dataclass(slots=True)
class Row:
    """One model, unit and price version of the period: what stands, and what it should be, in minor units."""

    group: Group
    standing_minor: int = 0
    target_minor: int = 0
    # What may be credited: {line: what is left of it}, of issued statements only.
    creditable: dict[StatementLine, int] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Above zero: too little was charged."""
        return self.target_minor - self.standing_minor


@dataclass(frozen=True, slots=True)
class Written:
    """What a correction wrote."""

    credit_notes: list[CreditNote]
    adjustments: list[Adjustment]


def compare(account: Account, period: BillingPeriod, book: PriceBook) -> list[Row]:
    """Return what differs at the prices of `book`, by line, dearest model first. Only looks."""
    rows: dict[Group, Row] = {}
    for (line, group), (old, new) in _sums(account, period, book).items():
        row = rows.setdefault(group, Row(group))
        row.target_minor += to_minor(new, account.currency)
        if line is None:
            row.standing_minor += to_minor(old, account.currency)
            continue
        left = left_to_credit(line.statement)[line]
        row.standing_minor += left
        if line.statement.number:
            row.creditable[line] = left
    for group, row in rows.items():
        row.standing_minor += _adjusted(account, period, group)
    return sorted((row for row in rows.values() if row.difference), key=lambda row: row.difference)


def correct(account: Account, period: BillingPeriod, book: PriceBook, *, by: str = "") -> Written:
    """Write what `compare` finds: credit notes where it was billed and became cheaper, adjustments for the rest.

    One transaction, under the account's lock: if we die before its commit, nothing is written.
    """
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        credited: dict[UUID, dict[UUID, int]] = {}
        adjustments = []
        for row in compare(account, period, book):
            rest = row.difference
            for line, left in row.creditable.items():
                if (minor := min(left, -rest)) > 0:
                    credited.setdefault(line.statement_id, {})[line.pk] = minor
                    rest += minor
            if rest:
                adjustments.append(_adjust(account, period, row.group, rest, by))
        return Written([_credit(pk, amounts, by) for pk, amounts in credited.items()], adjustments)


def _sums(
    account: Account, period: BillingPeriod, book: PriceBook
) -> dict[tuple[StatementLine | None, Group], tuple[int, int]]:
    """Return {(line or None where nothing bills it, group): (nano as charged, nano at the other prices)}."""
    lines = _lines(account, period)
    old_rates = _PinnedRates()
    sums: dict[tuple[StatementLine | None, Group], tuple[int, int]] = {}
    for event, statement in _events(account, period):
        if statement is not None and statement not in lines:
            continue  # void: nobody owes it
        for unit, (old, new) in _prices(event, book, old_rates).items():
            group: Group = (event.model, unit, event.price_version_id)
            line = None
            if statement is not None:
                line = lines[statement].get(group) or lines[statement].get(_REST)
                group = group if line is None or line.model else _REST
            before = sums.get((line, group), (0, 0))
            sums[line, group] = (before[0] + old, before[1] + new)
    return sums


def _prices(event: UsageEvent, book: PriceBook, pinned: "_PinnedRates") -> dict[str, tuple[int, int]]:
    """Return {unit: (nano as charged, nano at the other prices)}. What has no other price stays as it is."""
    charged = {unit: nano for unit, (_, nano) in event.units.items()}
    pin = book.find(event.model, event.upstream, event.currency, through=THROUGH)
    answered = 200 <= event.status < 300 or event.nano_cost
    if pin is None or not answered:
        return {unit: (nano, nano) for unit, nano in charged.items()}
    quantities = {Unit(unit): quantity for unit, (quantity, _) in event.units.items()}
    other = charge(quantities, pin.rates)
    full = charge(quantities, pinned.of(event.price_version_id)).nano
    # A call that was capped at its hold stays capped there.
    most = event.nano_cost if event.nano_cost < full else other.nano
    if other.nano <= most or not other.nano:
        return {unit: (nano, other.by_unit[Unit(unit)]) for unit, nano in charged.items()}
    return {unit: (nano, nano) for unit, nano in charged.items()}


class _PinnedRates:
    """The rates of price versions, each read once."""

    def __init__(self) -> None:
        self._known: dict[int | None, Rates] = {None: {}}

    def of(self, version: int | None) -> Rates:
        """Return what one unit costs at a version."""
        if version not in self._known:
            rows = UnitPrice.objects.filter(version=version)
            self._known[version] = {Unit(row.unit): row.price for row in rows}
        return self._known[version]


def _events(account: Account, period: BillingPeriod) -> Iterator[tuple[UsageEvent, UUID | None]]:
    """Yield the period's events with the statement that bills them, in pages."""
    day, last = timedelta(days=1), 0
    events = UsageEvent.objects.filter(
        account=account,
        period=period.key,
        occurred_at__gte=period.start - day,
        occurred_at__lt=period.end + day,
    ).order_by("pk")
    while page := list(events.filter(pk__gt=last)[:EVENTS_AT_ONCE]):
        billed = dict(
            UsageAllocation.objects.filter(event_id__in=[event.pk for event in page]).values_list(
                "event_id", "statement_id"
            )
        )
        yield from ((event, billed.get(event.pk)) for event in page)
        last = page[-1].pk


def _lines(account: Account, period: BillingPeriod) -> dict[UUID, dict[Group, StatementLine]]:
    """Return {statement: {group: its usage line of the period}}, without void statements."""
    found: dict[UUID, dict[Group, StatementLine]] = {
        pk: {}
        for pk in Statement.objects.filter(account=account)
        .exclude(state=Statement.State.VOID)
        .values_list("pk", flat=True)
    }
    lines = StatementLine.objects.filter(
        statement__in=found, period=period.key, kind=StatementLine.Kind.USAGE
    )
    for line in lines.select_related("statement"):
        found[line.statement_id][line.model, line.unit, line.price_version_id] = line
    return found


def _adjusted(account: Account, period: BillingPeriod, group: Group) -> int:
    return int(_adjustments(account, period, group).aggregate(minor=Sum("amount_minor"))["minor"] or 0)


def _adjustments(account: Account, period: BillingPeriod, group: Group):  # type: ignore[no-untyped-def]
    model, unit, version = group
    return Adjustment.objects.filter(
        account=account,
        kind=Adjustment.Kind.RERATING,
        period=period.key,
        model=model,
        unit=unit,
        price_version=version,
    )


def _adjust(account: Account, period: BillingPeriod, group: Group, minor: int, by: str) -> Adjustment:
    digest = hashlib.sha256(json.dumps(group).encode()).hexdigest()[:16]
    number = _adjustments(account, period, group).count() + 1
    return Adjustment.objects.create(
        account=account,
        kind=Adjustment.Kind.RERATING,
        currency=account.currency,
        amount_minor=minor,
        period=period.key,
        model=group[0],
        unit=group[1],
        price_version_id=group[2],
        reference=f"rerate:{account.pk}:{period}:{digest}:{number}",
        created_by=by,
    )


def _credit(statement_id: UUID, amounts: Mapping[UUID, int], by: str) -> CreditNote:
    statement = Statement.objects.get(pk=statement_id)
    number = statement.credit_notes.filter(reason=CreditNote.Reason.RERATING).count() + 1
    return credit_statement(
        statement,
        amounts,
        reason=CreditNote.Reason.RERATING,
        reference=f"rerate:{statement_id}:{number}",
        pay_back=PayBack.REFUND if payment_provider().collects else PayBack.BALANCE,
        by=by,
    )
