"""Step 6 of a call: events become hourly totals, and hours become period totals.

Always absolute totals of whole stretches of time, never "add what is new": running again gives the same rows, and a
roll-up that dies half-way leaves nothing behind (one transaction) but the marks that it will take again.

An hour that still fills is put together of its minutes, so that a second's news costs a minute's calls and not an
hour's, however busy the account is. Later news of an hour counts the whole of it again.

What the totals mean, in `UsageMinute`, `UsageHour` and `UsagePeriod` alike:
- calls: calls that began then; a call recorded as abandoned and then late is one call.
- charged_calls: events answered with 2xx. failures: events with status 400 or above, or abandoned.
- quantities, nano_cost, upstream_nano_cost: sums over all events.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from accounts.models import Account
from billing import aggregation_queries as queries
from billing.models import AlertMark, RollupMark
from billing.period import BillingPeriod
from billing.ranges import HOUR, hour_of

# Of one transaction: few enough that the hours of an account with ten million calls a month end long before a task's
# time limit, which would undo them all.
HOURS_AT_ONCE = 200

MINUTE = timedelta(minutes=1)
# An hour fills until one more is over: calls are recorded within seconds, but some take minutes.
STILL_FILLS = HOUR
# An hour that fills must have all its minutes; so they stay for longer than two clocks could differ.
MINUTES_KEPT = 4 * HOUR

_LOCK = 0x7475_726E_726F_6C6C  # "turnroll": one roll-up at a time, whoever rings

Stretch = tuple[UUID, datetime]  # (an account, the beginning of a minute or an hour)
Touched = tuple[UUID, str, str]  # (an account, a period, a currency)


@transaction.atomic
def roll_up() -> int:
    """Recompute the totals of every hour with news; return how many hours that were, 0 if another one runs.

    1. Take the marks. Those of events that are not committed yet are not visible and stay for the next run;
       a mark is committed with its events, so whoever sees the mark sees the events.
    2. Recompute what they name from the events: minutes, of which hours that fill are made, or whole hours. Then the
       periods from the hours.
    If we die anywhere before the commit, the marks are back and the totals are as they were.
    At most HOURS_AT_ONCE hours, each with all its marks; `catch_up` goes on.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s), clock_timestamp()", [_LOCK])
        is_ours, now = cursor.fetchone()
        if not is_ours:
            return 0
        cursor.execute(queries.TAKE_MARKS, [HOURS_AT_ONCE])
        news: set[Stretch] = set(cursor.fetchall())
        if news:
            _write_totals(cursor, news, now)
            _mark_for_alerts({account for account, _ in news})
    return len(_hours_of(news))


def catch_up() -> int:
    """Roll up until everything that has news now is counted; return how many hours that were.

    What comes meanwhile may wait for the next tick, or this would not end on a busy day. Ends early where another
    roll-up runs: that one has the oldest marks.
    """
    newest, hours = RollupMark.objects.aggregate(id=Max("id"))["id"], 0
    while newest and RollupMark.objects.filter(id__lte=newest).exists():
        counted = roll_up()
        if not counted:
            break
        hours += counted
    return hours


@transaction.atomic
def rebuild(account: Account, period: BillingPeriod) -> None:
    """Compute the totals of an account's period anew from its events. Waits for a roll-up that runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        key = [str(account.pk), period.key]
        cursor.execute("DELETE FROM billing_usageminute WHERE account_id = %s AND period = %s", key)
        cursor.execute("DELETE FROM billing_usagehour WHERE account_id = %s AND period = %s", key)
        cursor.execute("DELETE FROM billing_usageperiod WHERE account_id = %s AND period = %s", key)
        cursor.execute(queries.MINUTES_OF_PERIOD, key)
        _write_totals(cursor, set(cursor.fetchall()), now)


def _mark_for_alerts(accounts: set[UUID]) -> None:
    """Say whose budgets have news: seen by `billing/alerts.py` as soon as these totals are."""
    AlertMark.objects.bulk_create([AlertMark(account_id=account) for account in accounts])


def _write_totals(cursor: CursorWrapper, news: set[Stretch], now: datetime) -> None:
    """Write the totals of the minutes in `news`, of their hours and of their periods; remove minutes that are old."""
    fill_since = hour_of(now) - STILL_FILLS
    minutes = {(account, minute) for account, minute in news if minute >= fill_since}
    _write(cursor, queries.WRITE_MINUTES, minutes, MINUTE)
    touched = _write(cursor, queries.WRITE_HOURS_OF_MINUTES, _hours_of(minutes), HOUR)
    touched |= _write(cursor, queries.WRITE_HOURS, _hours_of(news - minutes), HOUR)
    if touched:
        accounts, periods, currencies = zip(*touched, strict=True)
        cursor.execute(queries.WRITE_PERIODS, [list(accounts), list(periods), list(currencies)])
    cursor.execute("DELETE FROM billing_usageminute WHERE minute < %s", [hour_of(now) - MINUTES_KEPT])


def _write(cursor: CursorWrapper, query: str, stretches: set[Stretch], length: timedelta) -> set[Touched]:
    """Write the totals of stretches of one length; return whose periods that touches."""
    if not stretches:
        return set()
    accounts, starts = zip(*stretches, strict=True)
    bounds = {"first": min(starts), "last": max(starts) + length}
    cursor.execute(query, {"accounts": list(accounts), "starts": list(starts)} | bounds)
    return set(cursor.fetchall())


def _hours_of(minutes: set[Stretch]) -> set[Stretch]:
    return {(account, hour_of(minute)) for account, minute in minutes}
