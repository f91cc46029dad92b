"""Ranges of time that a screen can look at: presets, the billing period, or days that the reader chose. UTC."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.period import BillingPeriod

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST = timedelta(days=366)
DEFAULT = "7d"
PRESETS: dict[str, str | Promise] = {
    "24h": gettext_lazy("24 hours"),
    "7d": gettext_lazy("7 days"),
    "30d": gettext_lazy("30 days"),
    "period": gettext_lazy("This period"),
    "custom": gettext_lazy("Custom"),
}


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's hour, in UTC: as totals are named."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class RangeError(ValueError):
    """The reader's days make no range; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) in whole hours, drawn in steps of an hour or a day. `period` is set for a billing period."""

    key: str
    start: datetime
    end: datetime
    step: timedelta
    before: tuple[datetime, datetime]
    period: str = ""

    @property
    def buckets(self) -> list[datetime]:
        """The beginnings of the steps, oldest first."""
        count = -((self.start - self.end) // self.step)
        return [self.start + self.step * index for index in range(count)]

    @property
    def last_day(self) -> date:
        """The last day that the range touches."""
        return (self.end - HOUR).date()

    def bucket_of(self, hour: datetime) -> datetime:
        """The step that an hour falls in. Hours outside (a call held across midnight) go to the nearest step."""
        inside = min(max(hour, self.start), self.end - HOUR)
        return self.start + (inside - self.start) // self.step * self.step


def read_range(query: Mapping[str, str], now: datetime) -> Range:
    """Read `?range=` (and `from`, `to` of a custom one). RangeError for days that make no range."""
    chosen = query.get("range", DEFAULT)
    end = hour_of(now) + HOUR
    if chosen == "custom":
        return _custom(query.get("from", ""), query.get("to", ""))
    if chosen == "period":
        return _period(end)
    if chosen == "24h":
        return _ending("24h", end - DAY, end, HOUR)
    days = 30 if chosen == "30d" else 7
    today = end - HOUR
    return _ending("30d" if days == 30 else DEFAULT, today.replace(hour=0) - DAY * (days - 1), end, DAY)


def _ending(key: str, start: datetime, end: datetime, step: timedelta) -> Range:
    return Range(key, start, end, step, before=(start - (end - start), start))


def _period(end: datetime) -> Range:
    """The running billing period until now, beside as much of the period before."""
    period = BillingPeriod.containing(end - HOUR)
    before = period.previous
    until = min(before.start + (end - period.start), before.end)
    return Range("period", period.start, end, DAY, before=(before.start, until), period=period.key)


def _custom(first: str, last: str) -> Range:
    start, end = _day(first), _day(last) + DAY
    if end <= start:
        raise RangeError(_("The first day is after the last. Swap them."))
    if end - start > LONGEST:
        raise RangeError(_("Choose at most 366 days at a time."))
    return _ending("custom", start, end, HOUR if end - start <= 2 * DAY else DAY)


def _day(text: str) -> datetime:
    try:
        day = datetime.combine(date.fromisoformat(text), time.min, tzinfo=UTC)
    except ValueError:
        raise RangeError(_("Choose a first and a last day, written as YYYY-MM-DD.")) from None
    if not 2000 <= day.year <= 2100:
        raise RangeError(_("Choose days between the years 2000 and 2100."))
    return day
