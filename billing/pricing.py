"""What a call costs: price x quantity with Decimal, rounded once to nano-units. Plain Python.

A charge is split over its units so that an invoice can have a line per unit; the parts always add up
to the whole, because the whole is rounded once and then shared out (largest remainder).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

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

_NANO_PER_STEP: Mapping[Unit, int] = {unit: NANO // steps for unit, steps in SCALE.items()}

Quantities = Mapping[Unit, int]
Rates = Mapping[Unit, Decimal]  # price of ONE unit, in whole currency units, such as Decimal("0.00000015")


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call costs: the whole in nano-units, and how much of it each unit bears."""

    nano: int
    by_unit: Mapping[Unit, int]


def charge(quantities: Quantities, rates: Rates) -> Charge:
    """Price `quantities` at `rates`. A unit without a rate costs nothing. ValueError for a negative one.

    Each unit bears its floor; the nanos that are left go to the largest remainders, one each.
    """
    total, parts = Decimal(), dict.fromkeys(quantities, 0)
    remainders = []
    for unit, quantity in quantities.items():
        if quantity < 0:
            raise ValueError(f"A call cannot have used {quantity} of {unit}.")
        if rate := rates.get(unit):
            exact = rate * quantity * _NANO_PER_STEP[unit]
            total += exact
            parts[unit] = int(exact)
            remainders.append((exact - parts[unit], unit))
    nano = int(total.to_integral_value(rounding=ROUND_HALF_UP))
    if left := nano - sum(parts.values()):
        for _, unit in sorted(remainders, key=_remainder, reverse=True)[:left]:
            parts[unit] += 1
    return Charge(nano, parts)


def cost_of(quantities: Quantities, rates: Rates) -> int:
    """Return what `charge` comes to as a whole, in nano-units, without its parts."""
    exact = Decimal()
    for unit, rate in rates.items():
        if quantity := quantities.get(unit):
            exact += rate * quantity * _NANO_PER_STEP[unit]
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))


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


def _remainder(of_unit: tuple[Decimal, Unit]) -> Decimal:
    return of_unit[0]
