"""A Redis or Valkey Cluster as the meter: a plain client for each node, and a list of who has which slots.

redis-py has a cluster client too. Its way of learning the slots anew asks whatever node comes first, and fails
or waits for everybody while that one is away; here a node that is away takes only its own accounts with it
(ADR 0018 has the comparison). The plain clients are redis-py's, and so is the hashing of keys.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio as aioredis
from redis.commands import AsyncCoreCommands
from redis.crc import key_slot
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import MovedError, RedisError

Place = tuple[str, int]  # host, port

# Where a command has its first key, if not right behind its name. None: it concerns every node.
_KEY_AT: dict[str, int | None] = {
    "XGROUP CREATE": 1,
    "XINFO STREAM": 1,
    "EVALSHA": 3,
    **dict.fromkeys(
        ("FLUSHDB", "FLUSHALL", "SCRIPT FLUSH", "SCRIPT LOAD", "PING", "CONFIG SET", "CONFIG GET")
    ),
    **dict.fromkeys(("CLIENT PAUSE", "CLIENT UNPAUSE", "DBSIZE", "PUBLISH")),
}


class MeterCluster(AsyncCoreCommands):
    """The nodes by slot. Takes redis-py's commands; one without a key runs on every node, and the first answers."""

    _event_dispatcher: Any = None  # redis-py's commands ask for one; nothing here listens

    def __init__(self, seeds: Sequence[Place], client_at: Callable[[str, int], "aioredis.Redis"]) -> None:
        self._seeds = list(seeds)
        self._client_at = client_at
        self._clients: dict[Place, aioredis.Redis] = {}
        self._slots: list[tuple[int, int, Place]] = []  # first, last, who has them
        self._learning: asyncio.Task[None] | None = None

    def client_at(self, place: Place) -> "aioredis.Redis":
        """Return the client of one node."""
        if place not in self._clients:
            self._clients[place] = self._client_at(*place)
        return self._clients[place]

    async def client_for(self, key: str) -> "aioredis.Redis":
        """Return the client of the node that has a key. RedisError where none is known to have it."""
        slot = key_slot(key.encode())
        if not self._slots:
            await self._learn_once()
        for first, last, place in self._slots:
            if first <= slot <= last:
                return self.client_at(place)
        self.learn_again()
        raise Disconnected(f"No node of the cluster has slot {slot}.")

    async def clients(self) -> list["aioredis.Redis"]:
        """Return the clients of all nodes that have slots."""
        if not self._slots:
            await self._learn_once()
        return [self.client_at(place) for place in {place: None for _, _, place in self._slots}]

    def learn_again(self) -> None:
        """Ask, beside what goes on, who has which slots: something did not go as the list says."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._learn())
            self._learning.add_done_callback(_look)  # what went wrong is told to whoever asks for a node next

    def moved(self, news: MovedError) -> None:
        """Take note of what a node said in place of an answer: another one has the slot."""
        place = (news.host, news.port)
        self._slots.insert(0, (news.slot_id, news.slot_id, place))
        self.learn_again()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command on the node that has its key, or on all. RedisError if a node is away."""
        at = _KEY_AT.get(str(args[0]).upper(), 1)
        if at is None:
            answers = [await _run(client, *args, **options) for client in await self.clients()]
            return sum(answers) if args[0] in ("DBSIZE", "PUBLISH") else answers[0]
        key = args[args.index(b"STREAMS") + 1] if args[0] == "XREADGROUP" else args[at]
        return await self.follow(str(key), lambda client: _run(client, *args, **options))

    async def follow(self, key: str, work: Callable[["aioredis.Redis"], Any]) -> Any:
        """Do `work` where a key is; where it has moved, once more: the first node has done nothing."""
        try:
            return await work(await self.client_for(key))
        except MovedError as news:
            self.moved(news)
            return await work(await self.client_for(key))
        except RedisError:
            self.learn_again()
            raise

    def pubsub(self) -> Any:
        """Listen at one node: what is published at any reaches all. The next call takes the next node."""
        self._seeds.append(self._seeds.pop(0))
        return self.client_at(self._seeds[0]).pubsub()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._learning is not None:
            self._learning.cancel()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def _learn_once(self) -> None:
        """Wait for the list, together with whoever waits for it already."""
        if self._learning is None or self._learning.done():
            self.learn_again()
        assert self._learning is not None
        await asyncio.shield(self._learning)

    async def _learn(self) -> None:
        """Ask all nodes at once; the first answer counts, so none that is away is waited for."""
        places = dict.fromkeys([*self._seeds, *self._clients])
        asked = [asyncio.ensure_future(_run(self.client_at(place), "CLUSTER SLOTS")) for place in places]
        failure: Exception = Disconnected("The cluster has no nodes.")
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    self._slots = [
                        (int(first), int(last), (_text(node[0]), int(node[1])))
                        for first, last, node, *_ in await answer
                    ]
                    return
                except RedisError as away:
                    failure = away
            raise failure
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)


async def _run(client: Any, *args: Any, **options: Any) -> Any:
    return await client.execute_command(*args, **options)


def _look(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
