"""Billing periods: months counted from an anchor, so that the 31st becomes the 28th and then the 31st again."""

import calendar
from datetime import UTC, datetime, timedelta

from tests.fakes.stripe.world import Object

_MONTHS = {"month": 1, "year": 12}


def add(anchor: int, recurring: Object, times: int) -> int:
    """Return the anchor plus `times` intervals, in Unix seconds."""
    start = datetime.fromtimestamp(anchor, UTC)
    count = recurring["interval_count"] * times
    if recurring["interval"] in ("day", "week"):
        days = count * (7 if recurring["interval"] == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())
    month = start.month - 1 + count * _MONTHS[recurring["interval"]]
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def next_end(anchor: int, recurring: Object, after: int) -> int:
    """Return the first end of a period that is later than `after`; the anchor itself may be one."""
    times = 0
    if anchor <= after:
        longest = {"day": 86_400, "week": 7 * 86_400, "month": 31 * 86_400, "year": 366 * 86_400}
        times = (after - anchor) // (longest[recurring["interval"]] * recurring["interval_count"])
    while add(anchor, recurring, times) <= after:
        times += 1
    return add(anchor, recurring, times)


def anchor_from_config(now: int, config: Object) -> int:
    """Return the first moment after now that `billing_cycle_anchor_config` names."""
    today = datetime.fromtimestamp(now, UTC)
    clock = {
        "hour": config.get("hour", today.hour), "minute": config.get("minute", today.minute),
        "second": config.get("second", today.second),
    }  # fmt: skip
    year, month = today.year, today.month
    while True:
        day = min(config["day_of_month"], calendar.monthrange(year, month)[1])
        found = datetime(year, month, day, **clock, tzinfo=UTC)
        if found > today:
            return int(found.timestamp())
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def day(when: int) -> str:
    """Return a day as Stripe writes it on lines: 15 Jan 2026."""
    found = datetime.fromtimestamp(when, UTC)
    return f"{found.day} {found:%b %Y}"
