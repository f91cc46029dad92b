"""What a call costs: price x quantity, exact, rounded once to nano-units (half up). Plain Python.

A charge is split over its units so that an invoice can have a line per unit; the parts always add up
to the whole, because the whole is rounded once and then shared out (largest remainder).
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from billing.money import NANO


class Unit(StrEnum):
    """What can be counted and priced. Quantities are integers: see `SCALE`."""

    INPUT_TOKEN = "input_token"  # noqa: S105 - a unit, not a secret
    CACHED_INPUT_TOKEN = "cached_input_token"  # noqa: S105
    OUTPUT_TOKEN = "output_token"  # noqa: S105
    REQUEST = "request"
    COMPUTE_SECOND = "compute_second"
    IMAGE = "image"
    AUDIO_SECOND = "audio_second"
    CHARACTER = "character"

    # A member is its text, and is found as quickly: enum's own hash is a call in Python.
    __hash__ = str.__hash__


# How many counted steps make one priced unit: seconds are counted in microseconds, the rest as they are.
SCALE: Mapping[Unit, int] = dict.fromkeys(Unit, 1) | {
    Unit.COMPUTE_SECOND: 1_000_000,
    Unit.AUDIO_SECOND: 1_000_000,
}

# Prices have 15 decimals at most (`UnitPrice.price`), and a step is a millionth of a unit at least: 1e-21 holds all.
_DECIMALS = 21
_FINE: int = 10**_DECIMALS // NANO  # of these in a nano-unit

Quantities = Mapping[Unit, int]
FineRates = Mapping[Unit, int]  # price of one STEP, in 1e-21 currency units: see `fine`
Rates = Mapping[Unit, Decimal]  # price of ONE unit, in whole currency units, such as Decimal("0.00000015")


class Charge(NamedTuple):
    """What one call costs: the whole in nano-units, and how much of it each unit bears."""

    nano: int
    by_unit: Mapping[Unit, int]


def fine(rates: Rates) -> FineRates:
    """Return `rates` as whole numbers, to be worked out once for each price version: the sums of a call are then sums
    of integers, exact at any size, and a third of what they take in decimals. ValueError for more than 15 decimals."""
    found = {}
    for unit, rate in rates.items():
        exact = rate.scaleb(_DECIMALS) / SCALE[unit]
        found[unit] = int(exact)
        if found[unit] != exact:
            raise ValueError(f"{rate} for one {unit} has more than 15 decimals.")
    return found


def charge(quantities: Quantities, rates: Rates) -> Charge:
    """Price `quantities` at `rates`. A unit without a rate costs nothing. ValueError for a negative one.

    Each unit bears its floor; the nanos that are left go to the largest remainders, one each.
    """
    return charge_fine(quantities, fine(rates))


def charge_fine(quantities: Quantities, rates: FineRates) -> Charge:
    """The same as `charge`, at rates that are worked out."""
    total, parts = 0, dict.fromkeys(quantities, 0)
    remainders = []
    for unit, quantity in quantities.items():
        if quantity < 0:
            raise ValueError(f"A call cannot have used {quantity} of {unit}.")
        if rate := rates.get(unit):
            exact = rate * quantity
            total += exact
            parts[unit], remainder = divmod(exact, _FINE)
            if remainder:
                remainders.append((remainder, unit))
    nano = (total + _FINE // 2) // _FINE
    if left := nano - sum(parts.values()):
        for _, unit in sorted(remainders, key=_remainder, reverse=True)[:left]:
            parts[unit] += 1
    return Charge(nano, parts)


def cost_fine(quantities: Quantities, rates: FineRates) -> int:
    """Return what `charge_fine` comes to as a whole, in nano-units, without its parts."""
    total = 0
    for unit, rate in rates.items():
        if quantity := quantities.get(unit):
            total += rate * quantity
    return (total + _FINE // 2) // _FINE


def billable(quantities: Quantities, rates: Rates) -> Quantities:
    """Return the quantities as they are priced: cached input without a price of its own is input like any other."""
    cached = quantities.get(Unit.CACHED_INPUT_TOKEN, 0)
    if not cached or Unit.CACHED_INPUT_TOKEN in rates:
        return quantities
    folded: dict[Unit, int] = {
        unit: quantity for unit, quantity in quantities.items() if unit != Unit.CACHED_INPUT_TOKEN
    }
    folded[Unit.INPUT_TOKEN] = folded.get(Unit.INPUT_TOKEN, 0) + cached
    return folded


def capped(price: Charge, limit: int) -> Charge:
    """Return `price`, or as much of it as fits into `limit` nano-units, taken from its units in turn."""
    if price.nano <= limit:
        return price
    left, by_unit = limit, {}
    for unit, nano in price.by_unit.items():
        by_unit[unit] = min(nano, left)
        left -= by_unit[unit]
    return Charge(limit, by_unit)


def _remainder(of_unit: tuple[int, Unit]) -> int:
    return of_unit[0]
