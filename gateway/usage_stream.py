"""The reports on their way from the meter to the ledger: one stream a shard, as the ledger writer sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis
from redis.exceptions import OutOfMemoryError, ResponseError

from gateway.meter_keys import SHARDS, shard_tag
from gateway.scripting import Scripts

GROUP = "ledger"
CONSUMER = "ledger"


@dataclass(frozen=True, slots=True)
class Taken:
    """Entries of one shard's stream as (id, kind, report). `lost` > 0 is data loss: an alarm."""

    stream: str
    entries: list[tuple[str, str, bytes]]
    lost: int


class UsageStream:
    """The reports on their way to the ledger, as the ledger writer sees them."""

    def __init__(self, client: "aioredis.Redis") -> None:
        self.client = client
        self._scripts = Scripts(client)

    async def prepare(self, *shards: int) -> None:
        """Make the consumer groups, of all shards where none is named. Doing it again changes nothing."""
        for shard in shards or range(SHARDS):
            try:
                await self.client.xgroup_create(f"{shard_tag(shard)}usage", GROUP, id="0", mkstream=True)
            except OutOfMemoryError:
                pass  # it is there, or else nothing was ever written that could be read
            except ResponseError as failure:
                if "BUSYGROUP" not in str(failure):
                    raise

    async def take(self, shard: int, most: int, idle_ms: int) -> Taken:
        """Return up to `most` entries: first those that a dead writer left for `idle_ms`, then new ones."""
        stream = f"{shard_tag(shard)}usage"
        _, left, trimmed = await self.client.xautoclaim(stream, GROUP, CONSUMER, idle_ms, "0-0", count=most)
        entries = [(entry, fields) for entry, fields in left if fields]
        if len(entries) < most:
            new: Any = await self.client.xreadgroup(GROUP, CONSUMER, {stream: ">"}, count=most - len(entries))
            entries += next(iter(new), (None, []))[1] if new else []
        return Taken(stream, [_read_entry(entry, fields) for entry, fields in entries], len(trimmed))

    async def acknowledge(self, stream: str, ids: Sequence[str]) -> None:
        """Remove entries whose rows are committed. Call it for nothing else: this is the point of no return."""
        await self._scripts.run("acknowledge", (stream,), (GROUP, *ids))

    async def backlog(self) -> int:
        """Return how many entries wait, in all shards. Only looks."""
        return sum([await self.client.xlen(f"{shard_tag(shard)}usage") for shard in range(SHARDS)])


def _read_entry(entry: bytes, fields: dict[bytes, bytes]) -> tuple[str, str, bytes]:
    return entry.decode(), fields.get(b"kind", b"final").decode(), fields.get(b"report", b"")
