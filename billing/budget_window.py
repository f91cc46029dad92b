"""The stretch of time that a budget counts: a day, a week, a month in somebody's time zone, or for ever.

Calendar-aligned: a day begins at midnight on the account's wall clock, so it has 23 or 25 hours when the
clocks change; a week begins on Monday, a month on the 1st. Plain Python, no clock inside.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


class Window(StrEnum):
    """How long a budget counts before it starts again."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True, order=True)
class BudgetWindow:
    """One stretch, from its first moment to the first after it. Both in UTC."""

    start: datetime
    end: datetime
    window: Window

    @classmethod
    def containing(cls, moment: datetime, window: Window, time_zone: str) -> "BudgetWindow":
        """Return the stretch that `moment` falls in. ValueError without a time zone on `moment`.

        ZoneInfoNotFoundError for a zone that does not exist.
        """
        if moment.tzinfo is None:
            raise ValueError("A moment needs a time zone to fall into a window.")
        if window is Window.LIFETIME:
            return cls(_BEGINNING, _END, window)
        zone = ZoneInfo(time_zone)
        first = _first_day(moment.astimezone(zone).date(), window)
        return cls(_midnight(first, zone), _midnight(_next_first_day(first, window), zone), window)

    @property
    def key(self) -> str:
        """The stretch as counters are named: "day:1764547200". Equal stretches of two zones are one."""
        return f"{self.window}:{int(self.start.timestamp())}"

    @property
    def resets_at(self) -> datetime | None:
        """When counting starts again; None for a lifetime, which never does."""
        return None if self.window is Window.LIFETIME else self.end

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def _first_day(day: date, window: Window) -> date:
    match window:
        case Window.WEEK:
            return day - timedelta(days=day.weekday())
        case Window.MONTH:
            return day.replace(day=1)
        case _:
            return day


def _next_first_day(first: date, window: Window) -> date:
    match window:
        case Window.WEEK:
            return first + timedelta(days=7)
        case Window.MONTH:
            return (first + timedelta(days=31)).replace(day=1)
        case _:
            return first + timedelta(days=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day. Where the clocks skip midnight, the moment at which they skip it.

    fold=0 takes a time that does not exist by the offset before the change, which is that very moment, and
    of a midnight that comes twice the first.
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
