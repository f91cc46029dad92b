"""Prices in the other currencies: worked out from those in USD by the operator's table, as versions of their own.

`data/conversion.json` is dated and edited by hand. A converted price says what it was made from; one that
somebody chose in its currency is never replaced. Nothing is converted when a call is priced: a call pins a
price version in its account's currency, and the table may change behind it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from billing.models import PriceVersion, UnitPrice
from billing.money import minor_digits

TABLE = Path(__file__).parent / "data" / "conversion.json"

Figures = Mapping[str, tuple[Decimal, Decimal]]  # {unit: (price, upstream cost)} for ONE unit


@dataclass(frozen=True, slots=True)
class ConversionTable:
    """How much of each currency is one unit of `base`, as of a date."""

    base: str
    date: str
    rates: Mapping[str, Decimal]

    @classmethod
    def read(cls, file: Path = TABLE) -> "ConversionTable":
        """Read a table. ValueError for a currency that we do not invoice in, or a rate that is not above 0."""
        table = json.loads(file.read_text())
        rates = {currency: Decimal(rate) for currency, rate in table["rates"].items()}
        for currency, rate in rates.items():
            minor_digits(currency)
            if rate <= 0:
                raise ValueError(f"The rate of {currency} is {rate}: it must be above 0.")
        return cls(table["base"], table["date"], rates)

    def source(self, currency: str, made_from: PriceVersion) -> str:
        """Say where a converted price comes from."""
        rate = f"1 {self.base} = {self.rates[currency]} {currency}, {self.date}"
        return f"p{made_from.pk} at {rate}; {made_from.source}"[:300]


def stored(amount: Decimal) -> Decimal:
    """Round to the 15 decimals that a price has, so that what is compared is what is stored."""
    return amount.quantize(Decimal("1e-15"))


@transaction.atomic
def convert_prices(table: ConversionTable | None = None) -> int:
    """Add a version wherever a price in force has no up-to-date counterpart in a currency; return how many.

    Where a currency has none yet, the new one has been in force as long as the one it is made from. Five
    queries, however many prices there are.
    """
    table = table or ConversionTable.read()
    now = timezone.now()
    in_force = _in_force(now)
    figures = _figures([version.pk for version in in_force.values()])
    made = list(_missing(in_force, figures, table, now))
    PriceVersion.objects.bulk_create(version for version, _ in made)
    UnitPrice.objects.bulk_create(
        UnitPrice(version=version, unit=unit, price=price, upstream_cost=cost)
        for version, prices in made
        for unit, (price, cost) in prices.items()
    )
    return len(made)


def _missing(
    in_force: Mapping[tuple[str, str, str], PriceVersion],
    figures: Mapping[int, Figures],
    table: ConversionTable,
    now: datetime,
) -> Iterator[tuple[PriceVersion, Figures]]:
    for (model, upstream, currency), version in in_force.items():
        if currency != table.base:
            continue
        for other, rate in table.rates.items():
            known = in_force.get((model, upstream, other))
            wanted = {
                unit: (stored(price * rate), stored(cost * rate))
                for unit, (price, cost) in figures[version.pk].items()
            }
            if known and (known.converted_from_id is None or figures[known.pk] == wanted):
                continue
            yield (
                PriceVersion(
                    model=model,
                    upstream=upstream,
                    currency=other,
                    effective_from=now if known else version.effective_from,
                    source=table.source(other, version),
                    converted_from=version,
                ),
                wanted,
            )


def _in_force(now: datetime) -> dict[tuple[str, str, str], PriceVersion]:
    """The newest version of each (model, upstream, currency)."""
    where = ("model", "upstream", "currency")
    newest = PriceVersion.objects.filter(effective_from__lte=now).order_by(*where, "-effective_from", "-pk")
    return {(row.model, row.upstream, row.currency): row for row in newest.distinct(*where)}


def _figures(versions: list[int]) -> dict[int, dict[str, tuple[Decimal, Decimal]]]:
    found: dict[int, dict[str, tuple[Decimal, Decimal]]] = {pk: {} for pk in versions}
    for row in UnitPrice.objects.filter(version__in=versions):
        found[row.version_id][row.unit] = (row.price, row.upstream_cost)
    return found
