"""What one call costs: price x quantity, rounded once, and the parts add up to the whole."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import to_nano
from billing.pricing import SCALE, Charge, Unit, billable, charge, cost_fine, fine

PER_MILLION = Decimal("1e-6")

units = st.sampled_from(list(Unit))
rates = st.dictionaries(units, st.decimals(0, 100, places=15, allow_nan=False, allow_infinity=False))
quantities = st.dictionaries(units, st.integers(0, 10**10))


@pytest.mark.parametrize(
    ("used", "prices", "nano"),
    [
        ({}, {Unit.INPUT_TOKEN: "0.02e-6"}, 0),
        ({Unit.INPUT_TOKEN: 12}, {}, 0),  # no price, no charge
        ({Unit.INPUT_TOKEN: 0}, {Unit.INPUT_TOKEN: "0.02e-6"}, 0),  # an explicit 0 is 0
        (
            {Unit.INPUT_TOKEN: 12, Unit.OUTPUT_TOKEN: 8},
            {Unit.INPUT_TOKEN: "0.02e-6", Unit.OUTPUT_TOKEN: "0.04e-6"},
            560,
        ),
        (
            {Unit.COMPUTE_SECOND: 10_000_000},
            {Unit.COMPUTE_SECOND: "0.00012"},
            1_200_000,
        ),  # 10 s, as HF's own example
        ({Unit.AUDIO_SECOND: 1_500_000}, {Unit.AUDIO_SECOND: "0.00003"}, 45_000),
        ({Unit.IMAGE: 3}, {Unit.IMAGE: "0.025"}, 75_000_000),
        # A third of a nano each: the whole is rounded once (to 1), not each part (to 0).
        (
            {Unit.INPUT_TOKEN: 1, Unit.OUTPUT_TOKEN: 1},
            {Unit.INPUT_TOKEN: "0.3e-9", Unit.OUTPUT_TOKEN: "0.3e-9"},
            1,
        ),
    ],
)
def test_a_call_costs(used: dict[Unit, int], prices: dict[Unit, str], nano: int) -> None:
    assert charge(used, {unit: Decimal(price) for unit, price in prices.items()}).nano == nano


def test_a_negative_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have used -1 of input_token"):
        charge({Unit.INPUT_TOKEN: -1}, {Unit.INPUT_TOKEN: Decimal(1)})


def test_the_largest_remainder_gets_the_rounding() -> None:
    third = Decimal("0.3e-9")
    cost = charge(
        {Unit.INPUT_TOKEN: 1, Unit.OUTPUT_TOKEN: 2}, {Unit.INPUT_TOKEN: third, Unit.OUTPUT_TOKEN: third}
    )
    assert cost == Charge(1, {Unit.INPUT_TOKEN: 0, Unit.OUTPUT_TOKEN: 1})


@given(quantities, rates)
def test_the_parts_add_up_to_the_whole(used: dict[Unit, int], prices: dict[Unit, Decimal]) -> None:
    cost = charge(used, prices)
    assert sum(cost.by_unit.values()) == cost.nano
    assert cost.by_unit.keys() == used.keys()


@given(quantities, rates)
def test_the_whole_is_the_exact_sum_rounded_once(used: dict[Unit, int], prices: dict[Unit, Decimal]) -> None:
    exact = sum(
        (prices.get(unit, Decimal()) * count / SCALE[unit] for unit, count in used.items()), Decimal()
    )
    assert charge(used, prices).nano == cost_fine(used, fine(prices)) == to_nano(exact)


@given(quantities, rates)
def test_no_part_is_off_by_a_whole_nano_and_none_is_charged_for_nothing(
    used: dict[Unit, int], prices: dict[Unit, Decimal]
) -> None:
    for unit, nano in charge(used, prices).by_unit.items():
        exact = prices.get(unit, Decimal()) * used[unit] / SCALE[unit] * 10**9
        assert abs(nano - exact) < 1
        assert nano == 0 or exact > 0


IN, CACHED = Unit.INPUT_TOKEN, Unit.CACHED_INPUT_TOKEN


@pytest.mark.parametrize(
    ("used", "priced", "expected"),
    [
        ({IN: 2, CACHED: 30}, {IN}, {IN: 32}),
        ({CACHED: 30}, {IN}, {IN: 30}),
        ({IN: 2, CACHED: 30}, {IN, CACHED}, {IN: 2, CACHED: 30}),
        ({IN: 2}, {IN}, {IN: 2}),
    ],
)
def test_cached_input_without_a_price_is_input(
    used: dict[Unit, int], priced: set[Unit], expected: dict[Unit, int]
) -> None:
    assert billable(used, dict.fromkeys(priced, PER_MILLION)) == expected
