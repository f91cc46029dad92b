"""The SQL behind `aggregation.py`: each writes absolute totals, and says whose periods they touch."""

from billing.pricing import Unit

# Each of the oldest hours with all its marks: one that is counted from its events should be so once.
TAKE_MARKS = """
WITH due AS (
    SELECT account_id, date_trunc('hour', minute, 'UTC') AS hour FROM billing_rollupmark
    GROUP BY 1, 2 ORDER BY min(id) LIMIT %s
)
DELETE FROM billing_rollupmark AS mark USING due
WHERE mark.account_id = due.account_id AND date_trunc('hour', mark.minute, 'UTC') = due.hour
RETURNING mark.account_id, mark.minute
"""

MINUTES_OF_PERIOD = """
SELECT DISTINCT account_id, date_trunc('minute', occurred_at, 'UTC') FROM billing_usageevent
WHERE account_id = %s AND period = %s
"""


def _totals(table: str, column: str, span: str, source: str, at: str, sums: str) -> str:
    """Write the totals of stretches of time, (account, start) each, out of the rows of `source`.

    LATERAL makes it one walk along an index of (account, time) for each stretch, grouped there, so that memory does
    not grow with the calls; a plain join compares every event with every stretch. `first` and `last` keep it to the
    partitions at hand.
    """
    group = "period, api_key_id, model, task, upstream, currency"
    counted = "calls, charged_calls, failures, quantities, nano_cost, upstream_nano_cost"
    replaced = ", ".join(f"{name} = excluded.{name}" for name in counted.split(", "))
    return f"""
    INSERT INTO {table} AS total (account_id, {column}, {group}, {counted})
    SELECT stretch.account_id, stretch.start, {group}, {counted}
    FROM unnest(%(accounts)s::uuid[], %(starts)s::timestamptz[]) AS stretch (account_id, start)
    CROSS JOIN LATERAL (
        SELECT {group}, {sums} FROM {source}
        WHERE account_id = stretch.account_id
          AND {at} >= stretch.start AND {at} < stretch.start + interval '{span}'
          AND {at} >= %(first)s AND {at} < %(last)s
        GROUP BY {group}
    ) AS found
    ON CONFLICT ON CONSTRAINT one_total_per_{column} DO UPDATE SET {replaced}
    RETURNING total.account_id, total.period, total.currency
    """  # noqa: S608 - only our own names are spliced in


def _quantities(of_unit: str) -> str:
    """Sum each unit's quantity; `of_unit` tells where a row has it. Units that nobody used are left out."""
    sums = ", ".join(f"'{unit}', sum(({of_unit.format(unit=unit)})::bigint)" for unit in Unit)
    return f"jsonb_strip_nulls(jsonb_build_object({sums})) AS quantities"


_OF_EVENTS = f"""
    count(*) FILTER (WHERE seq = 1) AS calls,
    count(*) FILTER (WHERE status BETWEEN 200 AND 299) AS charged_calls,
    count(*) FILTER (WHERE status >= 400 OR kind = 'abandoned') AS failures,
    {_quantities("units->'{unit}'->>0")},
    sum(nano_cost) AS nano_cost, sum(upstream_nano_cost) AS upstream_nano_cost"""

_OF_MINUTES = f"""
    sum(calls) AS calls, sum(charged_calls) AS charged_calls, sum(failures) AS failures,
    {_quantities("quantities->>'{unit}'")},
    sum(nano_cost) AS nano_cost, sum(upstream_nano_cost) AS upstream_nano_cost"""

_EVENTS = ("billing_usageevent", "occurred_at", _OF_EVENTS)
WRITE_MINUTES = _totals("billing_usageminute", "minute", "1 minute", *_EVENTS)
WRITE_HOURS = _totals("billing_usagehour", "hour", "1 hour", *_EVENTS)
WRITE_HOURS_OF_MINUTES = _totals(
    "billing_usagehour", "hour", "1 hour", "billing_usageminute", "minute", _OF_MINUTES
)

WRITE_PERIODS = """
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
