"""The prices of a quote: frozen when it is taken, and a price book again when it is redeemed."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from billing.pricebook import PriceBook, PricePin, price_book_of
from billing.pricing import Unit
from gateway.quote_terms import FrozenPrice, Terms
from gateway.routing import Candidate


def freeze(candidates: Iterable[Candidate]) -> list[FrozenPrice]:
    """Return the prices of the ways as they are now."""
    return [
        FrozenPrice(one.way.name, one.pin.version_id, _text(one.pin.rates), _text(one.pin.upstream_rates))
        for one in candidates
    ]


def price_book(terms: Terms) -> PriceBook:
    """Return the prices that were frozen, and no others: a way that came later has none here."""
    return price_book_of(
        {(terms.model, price.provider, terms.currency): _thaw(price) for price in terms.prices}
    )


def _thaw(price: FrozenPrice) -> PricePin:
    return PricePin(price.version, _rates(price.rates), _rates(price.upstream_rates))


def _text(rates: Mapping[Unit, Decimal]) -> dict[str, str]:
    return {unit.value: f"{rate:f}" for unit, rate in rates.items()}


def _rates(texts: Mapping[str, str]) -> dict[Unit, Decimal]:
    return {Unit(unit): Decimal(rate) for unit, rate in texts.items()}
