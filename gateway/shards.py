"""The meter's shards as the watch sees them: which server serves each, and whether its counters are sound."""

import asyncio
from dataclasses import dataclass

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from gateway.cluster import MeterCluster
from gateway.meter import line_of
from gateway.meter_keys import SHARDS, shard_tag
from gateway.meter_line import packed, run_id_of
from gateway.scripting import Scripts

_PAGE = 1_000
_TAGS = [shard_tag(shard) for shard in range(SHARDS)]
_LOOK = [
    packed("INFO", "server"),
    packed("MGET", *[f"{tag}epoch" for tag in _TAGS]),
    *[packed("XLEN", f"{tag}usage") for tag in _TAGS],
]


@dataclass(frozen=True, slots=True)
class ShardState:
    """Which server answers for a shard, and for which server's run its counters were declared sound."""

    run_id: str
    epoch: str
    waiting: int = 0  # reports in its stream that the ledger does not have yet

    @property
    def is_sound(self) -> bool:
        """The counters are those of this run of this server."""
        return self.epoch.startswith(f"{self.run_id}:")


class Shards:
    """All shards of one meter."""

    def __init__(self, client: "aioredis.Redis") -> None:
        self.client = client
        self._scripts = Scripts(client)

    async def states(self) -> list[ShardState | RedisError]:
        """Look at every shard: who serves it, and its epoch; or what went wrong. Only looks."""
        if not is_a_cluster(self.client):
            return await self._states_of_one_server()
        looks = [self._state(shard) for shard in range(SHARDS)]
        found = await asyncio.gather(*looks, return_exceptions=True)
        return [_only_redis(state) for state in found]

    async def _states_of_one_server(self) -> list[ShardState | RedisError]:
        """The same in one round trip, on the calls' own connection: what a look takes, calls have to wait for."""
        line = line_of(self.client)
        try:
            info, epochs, *waiting = await asyncio.gather(*[line.ask(command) for command in _LOOK])
        except RedisError as failure:
            return [failure] * SHARDS
        run_id = run_id_of(info)
        return [
            ShardState(run_id, (epoch or b"").decode(), length)
            for epoch, length in zip(epochs, waiting, strict=True)
        ]

    async def _state(self, shard: int) -> ShardState:
        tag = shard_tag(shard)
        client = await node_of(self.client, tag)
        async with client.pipeline(transaction=False) as pipe:
            pipe.info("server")
            pipe.get(f"{tag}epoch")
            pipe.xlen(f"{tag}usage")
            info, epoch, waiting = await pipe.execute()
        return ShardState(info["run_id"], (epoch or b"").decode(), waiting)

    async def declare_sound(self, shard: int, seen: str, epoch: str) -> bool:
        """Give a shard a new epoch. False if somebody did so since `seen` was there."""
        return bool(await self._scripts.run("epoch", (f"{shard_tag(shard)}epoch",), (seen, epoch)))

    async def forget_counters(self, shard: int) -> None:
        """Have every counter of a shard built anew from the ledger before it admits another call."""
        for kind in ("period", "window"):
            pattern = f"{shard_tag(shard)}{kind}:*"
            client = await node_of(self.client, pattern)
            names = [name async for name in client.scan_iter(match=pattern, count=_PAGE)]
            for start in range(0, len(names), _PAGE):
                async with client.pipeline(transaction=False) as pipe:
                    for name in names[start : start + _PAGE]:
                        pipe.hdel(name, "seeded")
                    await pipe.execute()


def is_a_cluster(client: "aioredis.Redis | MeterCluster") -> bool:
    """Tell whether shards may be on several servers."""
    return isinstance(client, MeterCluster)


async def node_of(client: "aioredis.Redis | MeterCluster", key: str) -> "aioredis.Redis":
    """Return the client of the server that has a key."""
    return await client.client_for(key) if isinstance(client, MeterCluster) else client


def _only_redis(state: "ShardState | BaseException") -> "ShardState | RedisError":
    if isinstance(state, ShardState | RedisError):
        return state
    raise state
