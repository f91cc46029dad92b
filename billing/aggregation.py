"""Step 6 of a call: events become hourly totals, and hours become period totals.

Always absolute totals of whole hours, never "add what is new": running again gives the same rows, and a
roll-up that dies half-way leaves nothing behind (one transaction) but the marks that it will take again.

What the totals mean, in `UsageHour` and `UsagePeriod` alike:
- calls: calls that began in the hour; a call recorded as abandoned and then late is one call.
- charged_calls: events answered with 2xx. failures: events with status 400 or above, or abandoned.
- quantities, nano_cost, upstream_nano_cost: sums over all events.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from accounts.models import Account
from billing.models import AlertMark, RollupMark
from billing.period import BillingPeriod
from billing.pricing import Unit

# Of one transaction: few enough that the hours of an account with ten million calls a month end long before a task's
# time limit, which would undo them all.
HOURS_AT_ONCE = 200

_LOCK = 0x7475_726E_726F_6C6C  # "turnroll": one roll-up at a time, whoever rings


@transaction.atomic
def roll_up() -> int:
    """Recompute the totals of every hour with news; return how many hours that were, 0 if another one runs.

    1. Take the marks. Those of events that are not committed yet are not visible and stay for the next run;
       a mark is committed with its events, so whoever sees the mark sees the events.
    2. Recompute their hours from the events, then their periods from the hours.
    If we die anywhere before the commit, the marks are back and the totals are as they were.
    At most HOURS_AT_ONCE hours, each with all its marks; `catch_up` goes on.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(_TAKE_MARKS, [HOURS_AT_ONCE])
        touched: set[tuple[UUID, datetime]] = set(cursor.fetchall())
        if touched:
            _write_periods(cursor, _write_hours(cursor, touched))
            _mark_for_alerts({account for account, _ in touched})
    return len(touched)


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
        key = [str(account.pk), period.key]
        cursor.execute("DELETE FROM billing_usagehour WHERE account_id = %s AND period = %s", key)
        cursor.execute("DELETE FROM billing_usageperiod WHERE account_id = %s AND period = %s", key)
        cursor.execute(_HOURS_OF_PERIOD, key)
        touched = set(cursor.fetchall())
        if touched:
            _write_periods(cursor, _write_hours(cursor, touched))


def _mark_for_alerts(accounts: set[UUID]) -> None:
    """Say whose budgets have news: seen by `billing/alerts.py` as soon as these totals are."""
    AlertMark.objects.bulk_create([AlertMark(account_id=account) for account in accounts])


def _write_hours(cursor: CursorWrapper, touched: set[tuple[UUID, datetime]]) -> set[tuple[UUID, str, str]]:
    """Write the totals of the touched (account, hour); return the touched (account, period, currency)."""
    hours = [hour for _, hour in touched]
    cursor.execute(
        _WRITE_HOURS,
        {
            "accounts": [account for account, _ in touched],
            "hours": hours,
            "first": min(hours),
            "last": max(hours) + timedelta(hours=1),
        },
    )
    return set(cursor.fetchall())


def _write_periods(cursor: CursorWrapper, touched: set[tuple[UUID, str, str]]) -> None:
    """Write the totals of the touched (account, period, currency) from their hours."""
    accounts, periods, currencies = zip(*touched, strict=True)
    cursor.execute(_WRITE_PERIODS, [list(accounts), list(periods), list(currencies)])


_TAKE_MARKS = """
WITH due AS (
    SELECT DISTINCT account_id, hour FROM (SELECT * FROM billing_rollupmark ORDER BY id LIMIT %s) AS oldest
), taken AS (
    DELETE FROM billing_rollupmark AS mark USING due WHERE (mark.account_id, mark.hour) = (due.account_id, due.hour)
)
SELECT account_id, hour FROM due
"""

_HOURS_OF_PERIOD = """
SELECT DISTINCT account_id, date_trunc('hour', occurred_at, 'UTC') FROM billing_usageevent
WHERE account_id = %s AND period = %s
"""

_QUANTITIES = ", ".join(f"'{unit}', sum((units->'{unit}'->>0)::bigint)" for unit in Unit)

# LATERAL makes it one walk along the index (account, time) for each touched hour, grouped there, so that memory does
# not grow with the calls; a plain join compares every event with every hour. `first` and `last` keep it to the
# partitions at hand.
_WRITE_HOURS = f"""
INSERT INTO billing_usagehour AS h (account_id, period, hour, api_key_id, model, task, upstream, currency,
    calls, charged_calls, failures, quantities, nano_cost, upstream_nano_cost)
SELECT t.account_id, e.period, t.hour, e.api_key_id, e.model, e.task, e.upstream, e.currency,
    e.calls, e.charged_calls, e.failures, e.quantities, e.nano_cost, e.upstream_nano_cost
FROM unnest(%(accounts)s::uuid[], %(hours)s::timestamptz[]) AS t (account_id, hour)
CROSS JOIN LATERAL (
    SELECT period, api_key_id, model, task, upstream, currency,
        count(*) FILTER (WHERE seq = 1) AS calls,
        count(*) FILTER (WHERE status BETWEEN 200 AND 299) AS charged_calls,
        count(*) FILTER (WHERE status >= 400 OR kind = 'abandoned') AS failures,
        jsonb_strip_nulls(jsonb_build_object({_QUANTITIES})) AS quantities,
        sum(nano_cost) AS nano_cost, sum(upstream_nano_cost) AS upstream_nano_cost
    FROM billing_usageevent
    WHERE account_id = t.account_id
      AND occurred_at >= t.hour AND occurred_at < t.hour + interval '1 hour'
      AND occurred_at >= %(first)s AND occurred_at < %(last)s
    GROUP BY period, api_key_id, model, task, upstream, currency
) AS e
ON CONFLICT ON CONSTRAINT one_total_per_hour DO UPDATE SET
    calls = excluded.calls, charged_calls = excluded.charged_calls, failures = excluded.failures,
    quantities = excluded.quantities, nano_cost = excluded.nano_cost,
    upstream_nano_cost = excluded.upstream_nano_cost
RETURNING h.account_id, h.period, h.currency
"""  # noqa: S608 - the only splice is the list of our own units

_WRITE_PERIODS = """
INSERT INTO billing_usageperiod AS p (account_id, period, currency,
    calls, charged_calls, failures, nano_cost, upstream_nano_cost)
SELECT h.account_id, h.period, h.currency,
    sum(h.calls), sum(h.charged_calls), sum(h.failures), sum(h.nano_cost), sum(h.upstream_nano_cost)
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS t (account_id, period, currency)
JOIN billing_usagehour h USING (account_id, period, currency)
GROUP BY h.account_id, h.period, h.currency
ON CONFLICT ON CONSTRAINT one_total_per_period DO UPDATE SET
    calls = excluded.calls, charged_calls = excluded.charged_calls, failures = excluded.failures,
    nano_cost = excluded.nano_cost, upstream_nano_cost = excluded.upstream_nano_cost
"""
