"""The billing period: a calendar month in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.period import BillingPeriod

periods = st.builds(BillingPeriod, st.integers(2000, 2100), st.integers(1, 12))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["2026-5", "2026-00", "2026-13", "26-05", "2026/05", "2026-05-01", " 2026-05", ""]
)
def test_anything_but_a_year_and_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as YYYY-MM"):
        BillingPeriod.parse(text)


def test_december_is_followed_by_january() -> None:
    december = BillingPeriod.parse("2026-12")
    assert december.next == BillingPeriod(2027, 1)
    assert december.next.previous == december
    assert december.end == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_call_in_seoul_on_new_years_morning_belongs_to_december() -> None:
    seoul = timezone(timedelta(hours=9))
    assert BillingPeriod.containing(datetime(2027, 1, 1, 8, 59, tzinfo=seoul)).key == "2026-12"
    assert BillingPeriod.containing(datetime(2027, 1, 1, 9, 0, tzinfo=seoul)).key == "2027-01"


def test_a_moment_without_a_time_zone_belongs_nowhere() -> None:
    with pytest.raises(ValueError, match="time zone"):
        BillingPeriod.containing(datetime(2026, 11, 1))  # noqa: DTZ001


@given(periods)
def test_the_key_reads_back_and_the_months_touch(period: BillingPeriod) -> None:
    assert BillingPeriod.parse(str(period)) == period
    assert period.end == period.next.start
    assert period.next.previous == period


@given(moments)
def test_every_moment_is_in_exactly_its_period(moment: datetime) -> None:
    period = BillingPeriod.containing(moment)
    assert moment in period
    assert moment not in period.next
    assert moment not in period.previous


@given(st.lists(periods))
def test_periods_sort_as_their_keys_do(some: list[BillingPeriod]) -> None:
    assert [period.key for period in sorted(some)] == sorted(period.key for period in some)
