"""Step 5 of a call: the usage stream's entries become rows of the ledger, each once.

Uniqueness is decided in one place, by the constraint `one_event_per_call`, in the transaction that writes
the row. So an entry may be delivered any number of times, by any number of workers at once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import Account
from billing.models import DeadEvent
from billing.partitions import ensure_partitions
from billing.period import BillingPeriod
from billing.report import moment_of_call, read_facts

log = logging.getLogger(__name__)

Entry = tuple[str, bytes]  # (id of the stream entry, UsageReport as JSON)
Readable = tuple[
    str, dict[str, Any]
]  # (id of the stream entry, the report's facts with `seq` and `occurred_at`)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch. Every entry is in exactly one of the three; all may be acknowledged."""

    inserted: int  # new rows in the ledger
    known: int  # recorded before: delivered again, or twice in the batch
    dead: int  # broken: kept whole in DeadEvent, for a person to look at

    @property
    def total(self) -> int:
        """How many entries the batch had."""
        return self.inserted + self.known + self.dead


def record(entries: Sequence[Entry]) -> Recorded:
    """Write a batch to the ledger in one transaction. The caller acknowledges the entries after this returns.

    If we die
    - before the commit: nothing was written, nothing acknowledged; the entries are delivered again.
    - after the commit, before the caller acknowledges: they are delivered again and found `known`.
    - after the acknowledgement: rows, roll-up marks and dead entries are all there; the marks wait for
      `aggregation.roll_up`.

    An entry that the database refuses, for a reason nobody foresaw, goes to DeadEvent alone: a poisoned
    entry must not hold up the ones behind it. Raises OperationalError when the database is away; then
    nothing was written.
    """
    payloads = dict(entries)
    readable, broken = _read(entries)
    readable, strangers = _split_by_account(readable, payloads)
    # 1 Room for their months        if we die here: an empty month more
    ensure_partitions({BillingPeriod(*month) for month in {_month_of(facts) for _, facts in readable}})
    # 2 Everything else, one commit  if we die here: all of it is there
    with transaction.atomic():
        inserted, refused = _insert_what_goes(readable, payloads)
        broken += strangers + refused
        # Unique by entry: delivered again, it stays one row.
        DeadEvent.objects.bulk_create(broken, ignore_conflicts=True)
    if broken:
        log.error("usage_entries_dead", extra={"entries": [dead.stream_id for dead in broken]})
    return Recorded(inserted=inserted, known=len(entries) - len(broken) - inserted, dead=len(broken))


def _read(entries: Sequence[Entry]) -> tuple[list[Readable], list[DeadEvent]]:
    """Split a batch into what can be read and what cannot. Writes nothing."""
    readable, broken = [], []
    for stream_id, payload in entries:
        try:
            facts = read_facts(payload)
        except ValueError as error:
            broken.append(_dead(stream_id, payload, error))
        else:
            # 2 for the record of a call that had been recorded as abandoned before.
            facts["seq"] = 2 if facts["kind"] == "late" else 1
            facts["occurred_at"] = moment_of_call(facts["rid"])
            readable.append((stream_id, facts))
    return readable, broken


def _split_by_account(
    readable: Sequence[Readable], payloads: dict[str, bytes]
) -> tuple[list[Readable], list[DeadEvent]]:
    """Split off the calls of accounts that do not exist: nobody could ever be billed for them."""
    named = {facts["account"] for _, facts in readable}
    there = {str(pk) for pk in Account.objects.filter(pk__in=named).values_list("pk", flat=True)}
    known = [(stream_id, facts) for stream_id, facts in readable if facts["account"] in there]
    strangers = [
        _dead(stream_id, payloads[stream_id], ValueError(f"There is no account {facts['account']}."))
        for stream_id, facts in readable
        if facts["account"] not in there
    ]
    return known, strangers


def _insert_what_goes(
    readable: Sequence[Readable], payloads: dict[str, bytes]
) -> tuple[int, list[DeadEvent]]:
    """Insert what the database takes; return (new rows, the refused). Halves a batch until what is refused is alone."""
    try:
        with transaction.atomic():
            return _insert([facts for _, facts in readable]), []
    except (DataError, IntegrityError) as error:
        if len(readable) == 1:
            stream_id, _ = readable[0]
            return 0, [_dead(stream_id, payloads[stream_id], error)]
    middle = len(readable) // 2
    halves = [_insert_what_goes(half, payloads) for half in (readable[:middle], readable[middle:])]
    return sum(inserted for inserted, _ in halves), [dead for _, refused in halves for dead in refused]


def _insert(batch: Sequence[dict[str, Any]]) -> int:
    """Insert what is new, mark its minutes for the roll-up, stamp its keys; return how many rows were new."""
    if not batch:
        return 0
    # Django's cursor would quote the parameter into the statement: a megabyte to escape here and to unescape there.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        used = cursor.execute(_INSERT, [orjson.dumps(batch).decode()]).fetchall()
        keys = [(key, at) for key, at, _ in used if key]
        if keys:
            cursor.execute(_STAMP_KEYS, [[key for key, _ in keys], [at for _, at in keys]])
    return sum(calls for _, _, calls in used)


def _month_of(facts: dict[str, Any]) -> tuple[int, int]:
    return facts["occurred_at"].year, facts["occurred_at"].month


def _dead(stream_id: str, payload: bytes, error: Exception) -> DeadEvent:
    return DeadEvent(
        stream_id=stream_id, payload=_as_text(payload), error=_as_text(str(error).encode(errors="replace"))
    )


def _as_text(raw: bytes) -> str:
    """Return what Postgres takes as text: no NUL, and bytes that are not UTF-8 written as escapes."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


# One parameter and one round trip for the batch: quicker than COPY into a table of its own, all things counted, and it
# leaves nothing on the connection. Sorted, so that two recorders of the same entries wait for each other in one order:
# no deadlock. The marks come from what was really inserted: a batch delivered again marks nothing.
_INSERT = """
WITH new AS (
    INSERT INTO billing_usageevent (request_id, seq, kind, occurred_at, period, account_id, api_key_id, endpoint,
        task, model, upstream, status, error_code, stream, estimated, degraded, quote_id, price_version_id, currency,
        units, nano_cost, upstream_nano_cost, latency_ms, first_byte_ms, recorded_at)
    SELECT rid, seq, kind, occurred_at, period, account, key, endpoint, task, model, upstream, status, error,
        stream, estimated, degraded, quote, price_version, currency, units, nano, upstream_nano, latency_ms,
        first_byte_ms, now()
    FROM json_to_recordset(%s) AS report (rid uuid, seq smallint, kind text, occurred_at timestamptz, period text,
        account uuid, key uuid, endpoint text, task text, model text, upstream text, status smallint, error text,
        stream boolean, estimated boolean, degraded boolean, quote uuid, price_version bigint, currency text,
        units jsonb, nano bigint, upstream_nano bigint, latency_ms integer, first_byte_ms integer)
    ORDER BY rid, seq
    ON CONFLICT (request_id, seq, occurred_at) DO NOTHING
    RETURNING account_id, api_key_id, occurred_at
), marks AS (
    INSERT INTO billing_rollupmark (account_id, minute)
    SELECT DISTINCT account_id, date_trunc('minute', occurred_at, 'UTC') FROM new
)
SELECT api_key_id, max(occurred_at), count(*) FROM new GROUP BY api_key_id
"""

# A key that somebody is editing right now is skipped: its stamp comes with its next call.
_STAMP_KEYS = """
UPDATE accounts_apikey SET last_used_at = used.at
FROM unnest(%s::uuid[], %s::timestamptz[]) AS used (id, at),
     LATERAL (SELECT FROM accounts_apikey k WHERE k.id = used.id FOR NO KEY UPDATE SKIP LOCKED) AS unlocked
WHERE accounts_apikey.id = used.id
  AND (accounts_apikey.last_used_at IS NULL OR accounts_apikey.last_used_at < used.at)
"""
