"""The stretch that a budget counts: days, weeks and months by the account's wall clock, or for good."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budget_window import BudgetWindow, Window

ZONES = ["UTC", "Asia/Seoul", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kathmandu"]
moments = st.datetimes(datetime(2015, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("moment", "window", "zone", "start", "end"),
    [
        # Seoul is nine hours ahead: its Tuesday begins on our Monday.
        ("2026-11-23T15:00", "day", "Asia/Seoul", "2026-11-23T15:00", "2026-11-24T15:00"),
        ("2026-11-23T14:59", "day", "Asia/Seoul", "2026-11-22T15:00", "2026-11-23T15:00"),
        ("2026-11-25T12:00", "day", "UTC", "2026-11-25T00:00", "2026-11-26T00:00"),
        # Weeks begin on Monday, also when the year does not.
        ("2026-11-25T12:00", "week", "UTC", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("2027-01-01T12:00", "week", "UTC", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("2026-11-29T15:30", "week", "Asia/Seoul", "2026-11-29T15:00", "2026-12-06T15:00"),
        ("2026-12-31T23:59", "month", "UTC", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-12-31T15:00", "month", "Asia/Seoul", "2026-12-31T15:00", "2027-01-31T15:00"),
        ("2028-02-29T12:00", "month", "UTC", "2028-02-01T00:00", "2028-03-01T00:00"),
        # New York's clocks: a day of 23 hours in March, one of 25 in November; the month is an hour longer.
        ("2026-03-08T12:00", "day", "America/New_York", "2026-03-08T05:00", "2026-03-09T04:00"),
        ("2026-11-01T12:00", "day", "America/New_York", "2026-11-01T04:00", "2026-11-02T05:00"),
        ("2026-11-15T12:00", "month", "America/New_York", "2026-11-01T04:00", "2026-12-01T05:00"),
        # Cairo skips midnight: the day begins at the moment of the change, which its clocks call one o'clock.
        ("2023-04-28T12:00", "day", "Africa/Cairo", "2023-04-27T22:00", "2023-04-28T21:00"),
        # Havana has midnight twice: the day begins with the first.
        ("2026-11-01T12:00", "day", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        # Samoa had no 30 December 2011.
        ("2011-12-30T09:59", "day", "Pacific/Apia", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("2011-12-30T10:00", "day", "Pacific/Apia", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_moment_falls_into_a_stretch(moment: str, window: str, zone: str, start: str, end: str) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    found = BudgetWindow.containing(at, Window(window), zone)
    assert [f"{edge:%Y-%m-%dT%H:%M}" for edge in (found.start, found.end)] == [start, end]
    assert found.resets_at == found.end


def test_a_lifetime_never_starts_again_wherever_one_lives() -> None:
    windows = {BudgetWindow.containing(datetime(2026, 11, 25, tzinfo=UTC), Window.LIFETIME, z) for z in ZONES}
    assert len(windows) == 1
    assert windows.pop().resets_at is None


def test_a_moment_without_a_time_zone_falls_nowhere() -> None:
    with pytest.raises(ValueError, match="time zone"):
        BudgetWindow.containing(datetime(2026, 11, 25), Window.DAY, "UTC")  # noqa: DTZ001


def test_a_zone_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        BudgetWindow.containing(datetime(2026, 11, 25, tzinfo=UTC), Window.DAY, "Asia/Atlantis")


def test_equal_stretches_have_one_name_and_different_ones_two() -> None:
    at = datetime(2026, 11, 25, 3, tzinfo=UTC)
    seoul, tokyo, utc = (
        BudgetWindow.containing(at, Window.DAY, z) for z in ("Asia/Seoul", "Asia/Tokyo", "UTC")
    )
    assert seoul.key == tokyo.key == "day:1795532400"
    assert utc.key != seoul.key
    assert BudgetWindow.containing(at, Window.MONTH, "UTC").key.startswith("month:")


@given(moments, st.sampled_from(list(Window)), st.sampled_from(ZONES))
def test_every_moment_is_in_its_stretch_and_the_stretches_touch(
    at: datetime, window: Window, zone: str
) -> None:
    found = BudgetWindow.containing(at, window, zone)
    assert at in found
    if window is not Window.LIFETIME:
        following = BudgetWindow.containing(found.end, window, zone)
        assert following.start == found.end
        assert BudgetWindow.containing(found.end - timedelta(microseconds=1), window, zone) == found
        assert found.start.astimezone(ZoneInfo(zone)).hour in (0, 1)  # one where midnight is skipped
