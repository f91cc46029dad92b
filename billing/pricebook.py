"""The price book as one frozen value in memory: what a call is priced with, found without a query.

The gateway keeps one and loads it again every few seconds. What a call was priced with is pinned by the
version's id, so an older or newer book elsewhere never changes what somebody pays for a call.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from billing.models import PriceVersion, UnitPrice
from billing.money import to_nano
from billing.pricing import Charge, FineRates, Quantities, Unit, charge_fine, cost_fine, fine

ANY = "*"


@dataclass(frozen=True)
class PricePin:
    """One price version: the rates the customer pays and those that we pay, both for ONE unit."""

    version_id: int
    rates: Mapping[Unit, Decimal]
    upstream_rates: Mapping[Unit, Decimal]

    @cached_property
    def _fine(self) -> FineRates:
        return fine(self.rates)

    @cached_property
    def _fine_upstream(self) -> FineRates:
        return fine(self.upstream_rates)

    def charge(self, quantities: Quantities) -> Charge:
        """Price what a call used: see `billing.pricing.charge`."""
        return charge_fine(quantities, self._fine)

    def cost_of(self, quantities: Quantities) -> int:
        """Return what the customer pays for so much, in nano-units."""
        return cost_fine(quantities, self._fine)

    def upstream_cost_of(self, quantities: Quantities) -> int:
        """Return what we pay for so much, in nano-units."""
        return cost_fine(quantities, self._fine_upstream)

    @cached_property
    def price_per_million_output_nano(self) -> int:
        """The dearest token of the model, in nano-units per million: what a plan's price ceiling looks at.

        Output tokens for chat, input tokens for embeddings. 0 where the model is not priced in tokens:
        such calls are bounded by the plan's credit alone.
        """
        tokens = (self.rates.get(unit, Decimal()) for unit in (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN))
        return to_nano(max(tokens) * 1_000_000)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The prices in force at one moment."""

    # (model or pattern, upstream or `*`, currency) -> pin
    pins: Mapping[tuple[str, str, str], PricePin]
    # The keys of `pins` that are patterns, longest first, with what they match.
    patterns: tuple[tuple[str, re.Pattern[str]], ...]

    def find(self, model: str, upstream: str, currency: str, *, through: str = "") -> PricePin | None:
        """Return the pin for a model at an upstream, or None: then it has no price and must not be called.

        The exact id wins over any pattern, a longer pattern over a shorter; within the same id or pattern
        the row of this upstream wins, then that of the upstream `through` which it is reached (a provider
        without a price of its own costs what the router costs), then the one for any upstream.
        """
        for name in self._names(model):
            for where in (upstream, through, ANY):
                if pin := self.pins.get((name, where, currency)):
                    return pin
        return None

    def _names(self, model: str) -> Iterable[str]:
        yield model
        for name, pattern in self.patterns:
            if pattern.fullmatch(model):
                yield name


def load_price_book(at: datetime) -> PriceBook:
    """Read the versions in force at `at`: the newest of each (model, upstream, currency). Two queries."""
    versions = (
        PriceVersion.objects.filter(effective_from__lte=at)
        .order_by("model", "upstream", "currency", "-effective_from", "-pk")
        .distinct("model", "upstream", "currency")
    )
    keys = {version.pk: (version.model, version.upstream, version.currency) for version in versions}
    prices: dict[int, list[UnitPrice]] = {pk: [] for pk in keys}
    for price in UnitPrice.objects.filter(version__in=keys):
        prices[price.version_id].append(price)
    return price_book_of({keys[pk]: _pin(pk, rows) for pk, rows in prices.items()})


def price_book_of(pins: Mapping[tuple[str, str, str], PricePin]) -> PriceBook:
    """Make a book of {(model or pattern, upstream, currency): pin}."""
    patterns = sorted({model for model, _, _ in pins if ANY in model}, key=lambda name: (-len(name), name))
    return PriceBook(pins, tuple((name, _compiled(name)) for name in patterns))


def _pin(version_id: int, prices: Iterable[UnitPrice]) -> PricePin:
    rows = list(prices)
    return PricePin(
        version_id,
        rates={Unit(row.unit): row.price for row in rows},
        upstream_rates={Unit(row.unit): row.upstream_cost for row in rows},
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    """`*` stands for any run of characters; nothing else is special."""
    return re.compile(".*".join(map(re.escape, pattern.split(ANY))), re.DOTALL)
