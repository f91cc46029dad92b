"""What upstreams ask, as they publish it, becomes price versions: ours = theirs x the markup of the price book."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from billing.conversion import convert_prices, stored
from billing.models import PriceVersion, UnitPrice
from billing.pricebook import load_price_book
from billing.pricing import Unit
from billing.seeding import DATA

MILLION = 1_000_000
CURRENCY = "USD"  # what the Hugging Face router's figures are in


@dataclass(frozen=True, slots=True)
class PriceMove:
    """A price that an upstream changed: USD per million of each unit, before (empty: none) and after."""

    model: str
    upstream: str
    before: Mapping[Unit, Decimal]
    after: Mapping[Unit, Decimal]


@transaction.atomic
def follow_list_prices(
    asked: Mapping[tuple[str, str], Mapping[Unit, Decimal]], source: str
) -> list[PriceMove]:
    """Add a price version wherever what an upstream asks differs from the cost in force; return the moves.

    `asked`: {(model, upstream): {unit: USD per million}}. Only costs are compared, so a price that an operator
    set stays in force until the upstream's own changes. Nothing is edited, so what was used stays as it was.
    """
    now = timezone.now()
    pins = load_price_book(now).pins
    moves = []
    for (model, upstream), costs in asked.items():
        pin = pins.get((model, upstream, CURRENCY))
        before = dict(pin.upstream_rates) if pin else {}
        if before != {unit: stored(cost / MILLION) for unit, cost in costs.items()}:
            known = {unit: rate * MILLION for unit, rate in before.items()}
            moves.append(PriceMove(model, upstream, known, costs))
    markup = Decimal(json.loads((DATA / "pricebook.json").read_text())["markup"])
    versions = PriceVersion.objects.bulk_create(
        PriceVersion(
            model=move.model, upstream=move.upstream, currency=CURRENCY, effective_from=now,
            source=f"{source}; price = cost x {markup}"[:300],
        )
        for move in moves
    )  # fmt: skip
    UnitPrice.objects.bulk_create(
        UnitPrice(
            version=version,
            unit=unit,
            upstream_cost=stored(cost / MILLION),
            price=stored(cost * markup / MILLION),
        )
        for version, move in zip(versions, moves, strict=True)
        for unit, cost in move.after.items()
    )
    convert_prices()
    return moves
