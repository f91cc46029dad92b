"""The SQL behind `reconciliation_checks.py`: each reads one snapshot and compares within the database."""

from billing.allocation import UNITS

ROLLUPS = """
WITH events AS (
    SELECT account_id, currency, count(*) FILTER (WHERE seq = 1) AS calls, sum(nano_cost)::bigint AS nano,
        sum(upstream_nano_cost)::bigint AS upstream
    FROM billing_usageevent
    WHERE period = %(period)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
    GROUP BY account_id, currency
), hours AS (
    SELECT account_id, currency, sum(calls) AS calls, sum(nano_cost)::bigint AS nano,
        sum(upstream_nano_cost)::bigint AS upstream
    FROM billing_usagehour WHERE period = %(period)s GROUP BY account_id, currency
), whole AS (
    SELECT account_id, currency, calls, nano_cost AS nano, upstream_nano_cost AS upstream
    FROM billing_usageperiod WHERE period = %(period)s
)
SELECT account_id, currency,
    coalesce(events.calls, 0), coalesce(events.nano, 0), coalesce(events.upstream, 0),
    coalesce(hours.calls, 0)::bigint, coalesce(hours.nano, 0), coalesce(hours.upstream, 0),
    coalesce(whole.calls, 0), coalesce(whole.nano, 0), coalesce(whole.upstream, 0)
FROM events FULL JOIN hours USING (account_id, currency) FULL JOIN whole USING (account_id, currency)
WHERE account_id NOT IN (SELECT account_id FROM billing_rollupmark)
"""

STATEMENTS = """
SELECT s.id, s.account_id, s.currency, lines.nano, events.nano, events.strangers
FROM billing_statement s
CROSS JOIN LATERAL (
    SELECT coalesce(sum(nano_amount), 0)::bigint AS nano FROM billing_statementline
    WHERE statement_id = s.id AND kind = 'usage'
) lines
CROSS JOIN LATERAL (
    SELECT coalesce(sum(event.nano_cost), 0)::bigint AS nano,
        count(*) FILTER (WHERE event.account_id <> s.account_id) AS strangers
    FROM billing_usageallocation a JOIN billing_usageevent event ON event.id = a.event_id
    WHERE a.statement_id = s.id
) events
WHERE s.period = %(period)s
"""

TOTALS = """
SELECT s.id, s.account_id, s.currency, s.total_minor, coalesce(sum(l.amount_minor), 0)::bigint,
    coalesce(jsonb_agg(jsonb_build_array(l.nano_amount, l.amount_minor)) FILTER (WHERE l.id IS NOT NULL), '[]')
FROM billing_statement s LEFT JOIN billing_statementline l ON l.statement_id = s.id
WHERE s.period = %(period)s GROUP BY s.id
"""

UNBILLED = """
SELECT e.account_id, e.currency, count(*), sum(e.nano_cost)::bigint
FROM billing_usageevent e
JOIN LATERAL (
    SELECT max(created_at) AS at FROM billing_statement
    WHERE account_id = e.account_id AND period = %(period)s AND ends_at >= e.occurred_at
      AND starts_at <= e.occurred_at
) closed ON closed.at IS NOT NULL
WHERE e.period = %(period)s AND e.occurred_at >= %(since)s AND e.occurred_at < %(until)s
  AND e.recorded_at < closed.at - interval '1 minute' AND e.nano_cost > 0
  AND NOT EXISTS (SELECT FROM billing_usageallocation WHERE event_id = e.id)
GROUP BY e.account_id, e.currency
"""

# An amount of 0 is not booked. A credit note before the payment makes the payment smaller.
JOURNAL = """
WITH due AS (
    SELECT s.id, s.account_id, s.currency, s.state, s.total_minor,
        coalesce((SELECT sum(due_minor) FROM billing_creditnote WHERE statement_id = s.id), 0) AS credited
    FROM billing_statement s WHERE s.period = %(period)s AND s.number IS NOT NULL
), booked AS (
    SELECT e.reference, sum(l.debit_minor - l.credit_minor) FILTER (
        WHERE l.ledger_account = 'receivable') AS receivable
    FROM billing_journalentry e JOIN billing_journalline l ON l.entry_id = e.id
    WHERE e.reference IN (SELECT 'invoice:' || id FROM due UNION SELECT 'payment:' || id FROM due)
    GROUP BY e.reference
)
SELECT due.id, account_id, currency, 'invoice', total_minor, coalesce(receivable, 0)::bigint
FROM due LEFT JOIN booked ON reference = 'invoice:' || due.id
UNION ALL
SELECT due.id, account_id, currency, 'payment', (total_minor - credited)::bigint, coalesce(-receivable, 0)::bigint
FROM due LEFT JOIN booked ON reference = 'payment:' || due.id WHERE state = 'paid'
"""

UPSTREAM = f"""
WITH events AS (
    SELECT id, price_version_id, currency, upstream_nano_cost, units FROM billing_usageevent
    WHERE period = %(period)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
), used AS (
    SELECT price_version_id, currency, unit.key, sum((units->unit.key->>0)::bigint)::bigint AS quantity
    FROM events JOIN unnest(ARRAY[{UNITS}]) AS unit (key) ON units ? unit.key
    GROUP BY price_version_id, currency, unit.key
)
SELECT price_version_id, currency, count(*), sum(upstream_nano_cost)::bigint, coalesce((
    SELECT jsonb_object_agg(used.key, quantity) FROM used
    WHERE used.price_version_id IS NOT DISTINCT FROM events.price_version_id AND used.currency = events.currency
), '{{}}')
FROM events GROUP BY price_version_id, currency
"""  # noqa: S608 - the only splice is the list of our own units
