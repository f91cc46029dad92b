"""Which statement bills which usage: each event once, by its row in `UsageAllocation`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from billing.due import billed_periods
from billing.models import Statement
from billing.period import BillingPeriod
from billing.pricing import Unit


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """What an account used of one model and unit at one price version in one period, and what that costs.

    `unit` is None for calls that counted nothing, such as failed ones; `quantity` is as `pricing.SCALE`
    counts, and leaves out what was not charged.
    """

    currency: str
    period: str
    model: str
    unit: str | None
    price_version: int | None
    quantity: int
    nano: int


def allocate(statement: Statement, until: datetime) -> list[UsageGroup]:
    """Give `statement` every event before `until` that no statement has; return them, grouped.

    Writes rows of UsageAllocation. The statement's own row may be written later in the same transaction.
    The caller holds the account's lock.
    """
    periods = billed_periods(BillingPeriod.parse(statement.period))
    parameters: dict[str, Any] = {
        "statement": statement.pk,
        "account": statement.account_id,
        "first": periods[-1].key,
        "last": periods[0].key,
        "since": _earliest(periods),
        "until": until,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ALLOCATE, parameters)
        return [UsageGroup(*row) for row in cursor.fetchall()]


def allocated_nano(statement: Statement) -> int:
    """Return what the events allocated to `statement` cost, in nano-units, read back from the ledger."""
    periods = billed_periods(BillingPeriod.parse(statement.period))
    with connection.cursor() as cursor:
        cursor.execute(
            _ALLOCATED_NANO, [statement.pk, statement.account_id, _earliest(periods), statement.ends_at]
        )
        return int(cursor.fetchone()[0])


def allocated_before(statement: Statement, period: BillingPeriod, moment: datetime) -> int:
    """Return what the events of a period allocated to `statement` cost that began before `moment`, in nano."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ALLOCATED_NANO + " AND event.period = %s",
            [statement.pk, statement.account_id, period.start - timedelta(days=1), moment, period.key],
        )
        return int(cursor.fetchone()[0])


def _earliest(periods: list[BillingPeriod]) -> datetime:
    """Keep the planner to the partitions at hand. A call held against a period may have begun just before."""
    return periods[-1].start - timedelta(days=1)


# To look for units by name, in SQL: PostgreSQL's jsonb_each keeps 300 bytes for each row until the statement's end.
UNITS = ", ".join(f"'{unit}'" for unit in Unit)

# One statement, so that what is grouped is exactly what is allocated: an event that is recorded meanwhile is
# in neither. A unique event id in UsageAllocation is the last word: a second allocation fails.
_ALLOCATE = f"""
WITH unbilled AS MATERIALIZED (
    SELECT id, currency, period, model, status, price_version_id, units, nano_cost
    FROM billing_usageevent event
    WHERE account_id = %(account)s AND period BETWEEN %(first)s AND %(last)s
      AND occurred_at >= %(since)s AND occurred_at < %(until)s
      AND NOT EXISTS (SELECT FROM billing_usageallocation WHERE event_id = event.id)
), allocated AS (
    INSERT INTO billing_usageallocation (event_id, statement_id) SELECT id, %(statement)s FROM unbilled
)
SELECT currency, period, model, unit.key, price_version_id,
    coalesce(sum((units->unit.key->>0)::bigint)
        FILTER (WHERE nano_cost <> 0 OR status BETWEEN 200 AND 299), 0)::bigint,
    coalesce(sum((units->unit.key->>1)::bigint), 0)::bigint
FROM unbilled LEFT JOIN unnest(ARRAY[{UNITS}]) AS unit (key) ON units ? unit.key
GROUP BY currency, period, model, unit.key, price_version_id
"""  # noqa: S608 - the only splice is the list of our own units

# One walk along the account's events, and for each one look at the key of its allocation. OFFSET 0 leaves the planner
# no other way: it knows nothing of rows that were just written, takes the statement for one with hardly any, and would
# read all of them for each event.
_ALLOCATED_NANO = """
SELECT coalesce(sum(event.nano_cost), 0)
FROM billing_usageevent event CROSS JOIN LATERAL (
    SELECT statement_id FROM billing_usageallocation WHERE event_id = event.id OFFSET 0
) AS allocation
WHERE allocation.statement_id = %s
  AND event.account_id = %s AND event.occurred_at >= %s AND event.occurred_at < %s
"""
