"""The catalog as its screens show it: each model with its state, what it costs and which plans may call it.

The prices are those that calls are charged with: found in the same price book, by the same rule.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from django.db.models import Q
from django.utils import timezone

from accounts.currencies import DEFAULT_CURRENCY
from accounts.models import Account
from billing.entitlements import entitlements_of
from billing.models import PlanVersion
from billing.money import NANO
from billing.pricebook import PriceBook, PricePin, load_price_book
from billing.pricing import Unit
from gateway.catalog import Listed, Way, load_shown_models
from gateway.models import CatalogModel, Dialect

_MILLION = 1_000_000
_SNAPSHOT = re.compile(r"snapshot (\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8]))")
_TOKENS = (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN)


class State(StrEnum):
    """Whether a model, or a way to it, can be called. The first that one of its ways has is the model's."""

    LIVE = "live"
    NEEDS_TOKEN = "needs-token"  # noqa: S105 - served by the router, for which there is no token here
    AWAY = "away"  # fails at the moment, or is not running here
    UNPRICED = "unpriced"  # has no price, and so is not sold
    DEPRECATED = "deprecated"


_BEST_FIRST = list(State)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a plan reaches: models of up to so much per million tokens; None reaches all."""

    slug: str
    name: str
    ceiling_nano: int | None
    mine: bool = False  # the plan of the account that looks

    def allows(self, pin: PricePin) -> bool:
        """Tell whether a call at these prices is part of the plan: the rule of gateway/ways.py."""
        return self.ceiling_nano is None or pin.price_per_million_output_nano <= self.ceiling_nano


@dataclass(frozen=True, slots=True)
class PricedWay:
    """A way to a model with its price and state. `pin` None: it has no price and is not sold."""

    way: Way
    pin: PricePin | None
    state: State

    @property
    def way_key(self) -> tuple[str, str, str]:
        """What tells it from the model's other ways: upstream, provider, task."""
        return self.way.server.slug, self.way.provider, self.way.task

    @property
    def rates(self) -> Mapping[Unit, Decimal]:
        """What one unit costs, in currency units."""
        return self.pin.rates if self.pin else {}

    @property
    def input_nano(self) -> Decimal | None:
        """A million input tokens, in nano-units."""
        return self._per_million(Unit.INPUT_TOKEN)

    @property
    def output_nano(self) -> Decimal | None:
        """A million output tokens, in nano-units."""
        return self._per_million(Unit.OUTPUT_TOKEN)

    @property
    def other_prices(self) -> list[tuple[str, Decimal]]:
        """The prices of an image, a second, …: (unit, currency units for one)."""
        return [(unit.value, rate) for unit, rate in self.rates.items() if unit not in _TOKENS]

    def _per_million(self, unit: Unit) -> Decimal | None:
        rate = self.rates.get(unit)
        return None if rate is None else rate * _MILLION * NANO


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the catalog."""

    listed: Listed
    ways: tuple[PricedWay, ...]  # what can be called first, then the cheaper ones
    plans: tuple[Reach, ...]  # those that may call it
    state: State
    deprecated_at: datetime | None = None

    @property
    def cheapest(self) -> PricedWay | None:
        """The cheapest way that can be called; where none can, the cheapest that has a price."""
        return self.ways[0] if self.ways and self.ways[0].pin else None

    @property
    def providers(self) -> list[str]:
        """Who serves it, each once, the cheapest first."""
        return list(dict.fromkeys(priced.way.name for priced in self.ways))

    @property
    def snapshot_day(self) -> date | None:
        """The day of the shipped snapshot, where the model is known from one."""
        found = _SNAPSHOT.fullmatch(self.listed.source)
        return date.fromisoformat(found[1]) if found else None

    @property
    def is_mine(self) -> bool:
        """Tell whether the plan of the account that looks may call it."""
        return any(reach.mine for reach in self.plans)


def load_rows(currency: str, reaches: Sequence[Reach], prices: PriceBook, only: Q | None = None) -> list[Row]:
    """Return every model that is shown, deprecated ones too. `only` narrows it to some rows of CatalogModel."""
    rows = [_row(listed, currency, reaches, prices) for listed in load_shown_models(only)]
    gone = CatalogModel.objects.filter(only or Q(), deprecated_at__lte=timezone.now())
    return rows + [Row(_bare(row), (), (), State.DEPRECATED, row.deprecated_at) for row in gone]


def load_prices() -> PriceBook:
    """Return the prices in force now."""
    return load_price_book(timezone.now())


def load_reaches(account: Account | None) -> list[Reach]:
    """Return how far each plan on the price list reaches; the account's own plan as it is for that account."""
    currency = account.currency if account else DEFAULT_CURRENCY
    versions = PlanVersion.objects.current(currency=currency)
    reaches = [Reach(row.plan.slug, row.plan.name, row.price_ceiling_nano) for row in versions]
    if account is None:
        return reaches
    mine = entitlements_of(account)
    return [
        Reach(reach.slug, reach.name, mine.price_ceiling_nano, mine=True)
        if reach.slug == mine.plan
        else reach
        for reach in reaches
    ]


def _row(listed: Listed, currency: str, reaches: Sequence[Reach], prices: PriceBook) -> Row:
    ways = sorted((_priced(listed, way, currency, prices) for way in listed.ways), key=_cheapest_first)
    best = ways[0]
    plans = tuple(reach for reach in reaches if best.pin and reach.allows(best.pin))
    return Row(listed, tuple(ways), plans, best.state)


def _priced(listed: Listed, way: Way, currency: str, prices: PriceBook) -> PricedWay:
    pin = prices.find(listed.model_id, way.name, currency, through=way.server.slug)
    return PricedWay(way, pin, _state(way, pin))


def _state(way: Way, pin: PricePin | None) -> State:
    if pin is None:
        return State.UNPRICED
    if way.live:
        return State.LIVE
    has_token = way.server.dialect != Dialect.HF_ROUTER or way.server.secret
    return State.AWAY if has_token else State.NEEDS_TOKEN


def _cheapest_first(priced: PricedWay) -> tuple[int, int, Decimal, int, str]:
    """Sort key: what can be called, then as `:cheapest` does, then by all prices (images, seconds), then the name."""
    dearest_token = priced.pin.price_per_million_output_nano if priced.pin else 0
    every_price = sum(priced.rates.values(), Decimal())
    way = priced.way
    return _BEST_FIRST.index(priced.state), dearest_token, every_price, way.server.position, way.name


def _bare(row: CatalogModel) -> Listed:
    """A model without ways: nobody serves it any more."""
    return Listed(
        row.model_id, tuple(row.tasks), row.context_length, row.licence, row.source, row.created_at, ()
    )


def snapshot_day(rows: Iterable[Row]) -> date | None:
    """Return the day of the shipped snapshot where some of these rows come from one."""
    days = (row.snapshot_day for row in rows if row.state != State.DEPRECATED)
    return max((day for day in days if day), default=None)
