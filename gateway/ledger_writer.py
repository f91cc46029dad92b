"""From the usage stream into the ledger. Run by Celery each second, and by `manage.py drain_usage` for people.

1 take entries                if we die here: they stay pending; another writer takes them over after IDLE_MS
2 record them, one commit     if we die here: they are taken again, and found to be recorded
3 acknowledge and delete      only now; there is no other copy to lose
"""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import structlog
from django.conf import settings

from billing.metering import record
from gateway import counters
from gateway.meter_keys import SHARDS
from gateway.threads import in_thread
from gateway.usage_stream import UsageStream

# Of one commit; a batch costs two syncs of the meter's disk and one of the ledger's, however large it is.
BATCH = 2_000
# While PostgreSQL writes the entries of one shard, the next one's are read: neither waits for the other.
AT_ONCE = 2
# An entry pending for so long belongs to a writer that died: recording a batch takes far less.
IDLE_MS = 5_000
_log = structlog.get_logger(__name__)


async def drain_usage(idle_ms: int = IDLE_MS) -> int:
    """Move everything that waits into the ledger and return how many entries that were."""
    client = counters.connect(settings.METER_REDIS_URL, timeout=5.0)
    stream = UsageStream(client)
    try:
        return await _in_every_shard(lambda shard: _drain_shard(stream, shard, idle_ms))
    finally:
        await client.aclose()


async def sweep_holds() -> int:
    """End the holds of dead processes, in every shard, and return how many there were."""
    client = counters.connect(settings.METER_REDIS_URL, timeout=5.0)
    meter = counters.Counters(client)
    try:
        return await _in_every_shard(lambda shard: _sweep_shard(meter, shard))
    finally:
        await client.aclose()


async def _in_every_shard(work: Callable[[int], Awaitable[int]]) -> int:
    """Do `work` in each shard, AT_ONCE of them at a time, and return the sum. Where a node is away the other shards
    are served all the same; then its failure is raised."""
    shards = iter(range(SHARDS))  # shared: who is done with one takes the next
    failures: list[counters.MeterUnavailable] = []

    async def take_turns() -> int:
        done = 0
        for shard in shards:
            try:
                done += await work(shard)
            except counters.MeterUnavailable as away:
                failures.append(away)
        return done

    done = sum(await asyncio.gather(*(take_turns() for _ in range(AT_ONCE))))
    if failures:
        raise failures[0]
    return done


async def _sweep_shard(meter: counters.Counters, shard: int) -> int:
    return len(await meter.sweep(shard))


async def _drain_shard(stream: UsageStream, shard: int, idle_ms: int) -> int:
    moved = 0
    await stream.prepare(shard)
    while True:
        taken = await stream.take(shard, BATCH, idle_ms)
        if taken.lost:  # somebody trimmed the stream: nothing here ever does
            _log.critical("usage entries lost from the stream", stream=taken.stream, entries=taken.lost)
        if not taken.entries:
            return moved
        await in_thread(record, [_named(taken.stream, entry) for entry in taken.entries])
        await stream.acknowledge(taken.stream, [entry[0] for entry in taken.entries])
        moved += len(taken.entries)


def _named(stream: str, entry: tuple[str, str, bytes]) -> tuple[str, bytes]:
    """Return (a name unique over all shards, the report with its kind in it)."""
    entry_id, kind, report = entry
    return f"{stream}/{entry_id}", report if kind == "final" else _with_kind(report, kind)


def _with_kind(report: bytes, kind: str) -> bytes:
    try:
        document = orjson.loads(report)
    except orjson.JSONDecodeError:
        return report  # recorded as dead, whole
    return orjson.dumps(document | {"kind": kind}) if isinstance(document, dict) else report
