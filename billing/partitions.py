"""The months of the ledger: `billing_usageevent` has one partition per calendar month (UTC).

There is no default partition: one that fills up makes every later month expensive to add. So the writer
makes sure of the months in its batch, and a tick makes the coming ones early.
"""

from collections.abc import Iterable

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.period import BillingPeriod

_LOCK = 0x7475_726E_7061_7274  # "turnpart": one process at a time makes partitions

# Months that this process saw committed. A month is never removed while calls can still fall into it.
_known: set[BillingPeriod] = set()


def ensure_partitions(months: Iterable[BillingPeriod]) -> int:
    """Create the partitions of `months` that do not exist and return how many that were.

    Safe to run twice and by many processes at once. Months seen before cost nothing.
    """
    missing = sorted(set(months) - _known)
    if not missing:
        return 0
    with transaction.atomic():
        created = create_missing_partitions(missing, connection)
        # Not before the commit: a rolled-back partition must be looked for again.
        transaction.on_commit(lambda: _known.update(missing))
    return created


def create_missing_partitions(months: Iterable[BillingPeriod], database: BaseDatabaseWrapper) -> int:
    """Do the work of `ensure_partitions` in the caller's transaction; the migration calls it too."""
    created = 0
    with database.cursor() as cursor:
        for month in months:
            name = f"billing_usageevent_{month.year:04d}_{month.month:02d}"
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0] is None:
                # Attaching takes a lock that readers and writers do not feel; creating in place stops them.
                cursor.execute(
                    f"CREATE TABLE {name} (LIKE billing_usageevent INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                    f"ALTER TABLE billing_usageevent ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
                )
                created += 1
    return created
