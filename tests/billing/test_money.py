"""Money: integers, and two roundings: once a call to nano-units, once a line to minor units."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import MINOR_DIGITS, Money, from_minor, to_minor, to_nano, whole_minor

currencies = st.sampled_from(sorted(MINOR_DIGITS))
nanos = st.integers(min_value=-(10**18), max_value=10**18)


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        ("0", 0),
        ("0.00000015", 150),  # one token at $0.15 per million
        ("0.0000000005", 1),  # half a nano goes up
        ("0.00000000049999", 0),
        ("-0.0000000005", -1),  # away from zero, so that a credit cancels its charge
        ("9", 9_000_000_000),
        ("123456789.123456789", 123_456_789_123_456_789),
    ],
)
def test_an_amount_becomes_nano_units_half_up(amount: str, nano: int) -> None:
    assert to_nano(Decimal(amount)) == nano


@pytest.mark.parametrize(
    ("nano", "currency", "minor"),
    [
        (0, "USD", 0),
        (4_999_999, "USD", 0),
        (5_000_000, "USD", 1),  # half a cent goes up
        (24_691_340, "USD", 2),
        (25_000_000, "USD", 3),
        (-5_000_000, "USD", -1),
        (9_000_000_000, "EUR", 900),
        (499_999_999, "KRW", 0),  # won have no decimals
        (500_000_000, "KRW", 1),
        (1_234_500_000_000, "JPY", 1235),
    ],
)
def test_a_line_is_rounded_half_up_to_the_minor_unit(nano: int, currency: str, minor: int) -> None:
    assert to_minor(nano, currency) == minor


@pytest.mark.parametrize(
    ("nano", "currency", "minor"),
    [(100_000_000, "USD", 10), (109_999_999, "USD", 10), (1_999_999_999, "KRW", 1), (0, "GBP", 0)],
)
def test_a_credit_is_never_rounded_up(nano: int, currency: str, minor: int) -> None:
    assert whole_minor(nano, currency) == minor


@given(nanos, currencies)
def test_rounding_moves_an_amount_by_at_most_half_a_minor_unit(nano: int, currency: str) -> None:
    moved = abs(from_minor(to_minor(nano, currency), currency) - nano)
    assert 2 * moved <= from_minor(1, currency)


@given(nanos, currencies)
def test_rounding_a_credit_mirrors_rounding_its_charge(nano: int, currency: str) -> None:
    assert to_minor(-nano, currency) == -to_minor(nano, currency)


@given(st.integers(min_value=-(10**9), max_value=10**9), currencies)
def test_minor_units_survive_the_way_to_nano_and_back(minor: int, currency: str) -> None:
    assert to_minor(from_minor(minor, currency), currency) == minor


def test_an_unknown_currency_says_which_ones_there_are() -> None:
    with pytest.raises(ValueError, match=r"CHF is not one of USD, EUR, GBP, JPY, KRW\."):
        to_minor(1, "CHF")


def test_money_of_one_currency_adds_up() -> None:
    assert Money.of("0.10") + Money.of_minor(5) - Money.of(1) == Money(-850_000_000)
    assert -Money.of("0.10") == Money.of("-0.10")
    assert str(Money.of("9.00")) == "9 USD"
    assert Money.of("0.125").minor == 13
    assert Money.of("0.125").amount == Decimal("0.125")


def test_dollars_and_won_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="Cannot combine USD with KRW"):
        Money.of(1) + Money.of(1, "KRW")
