"""A meter that is a cluster: each account on one node, and a node that is away takes no other with it."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.ids import uuid7
from billing.period import BillingPeriod
from gateway import announcements, counters, ledger_writer, meter
from gateway.counters import Admitted, Counters, Limits, MeterUnavailable, Settlement
from gateway.meter_keys import SHARDS, keys_of
from gateway.usage_stream import UsageStream
from tests.live import eventually
from tests.meter_cluster import NODES, MeterCluster

PERIOD = BillingPeriod.containing(timezone.now())
NONE = Limits(-1, -1, -1, -1, -1)


def on_url(url: str, story: Callable[[Counters, UsageStream], Coroutine[Any, Any, None]]) -> None:
    """Run a story on a meter that is empty before and after."""

    async def run() -> None:
        client = counters.connect(
            url, timeout=30.0
        )  # a machine that other tests keep busy is not a meter that is away
        try:
            await client.flushdb()
            await story(Counters(client), UsageStream(client))
        finally:
            await client.aclose()

    asyncio.run(run())


async def call(calls: Counters, account: str) -> str:
    """Admit and settle one call; return what the settlement answered."""
    rid = str(uuid7())
    await calls.seed(account, PERIOD, 0, 0)
    assert isinstance(await calls.admit(rid, account, PERIOD, NONE, 10, 1, b"{}"), Admitted)
    return await calls.settle(Settlement(rid, account, PERIOD.key, 5, 1, 1, '{"r": 1}'))


async def calls_at_once(calls: Counters, count: int) -> list[str | BaseException]:
    """Make calls of as many accounts; return all answers. None is still under way then, so no connection stays open."""
    return await asyncio.gather(*(call(calls, str(uuid7())) for _ in range(count)), return_exceptions=True)


def accounts_by_node(cluster: MeterCluster) -> list[str]:
    """Return one account for each node."""
    found: dict[int, str] = {}
    while len(found) < NODES:
        account = str(uuid7())
        slot = meter.slot_of(keys_of(account).deadlines)
        found.setdefault(slot * NODES // 16_384, account)
    return [found[number] for number in range(NODES)]


def test_the_stream_is_read_once_and_emptied_by_acknowledging(meter_url: str) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        await stream.prepare()
        await stream.prepare()  # a second writer does the same
        answers = [await call(calls, str(uuid7())) for _ in range(40)]
        assert answers == ["OK"] * 40
        assert await stream.backlog() == 40
        taken = [await stream.take(shard, 100, 5_000) for shard in range(SHARDS)]
        assert sum(len(batch.entries) for batch in taken) == 40
        again = [await stream.take(shard, 100, 5_000) for shard in range(SHARDS)]
        assert not any(batch.entries for batch in again)
        for batch in taken:
            if batch.entries:
                await stream.acknowledge(batch.stream, [entry for entry, _, _ in batch.entries])
        assert await stream.backlog() == 0
        assert await calls.open_holds() == 0

    on_url(meter_url, story)


def test_what_a_dead_writer_took_is_taken_over(meter_url: str) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        account = str(uuid7())
        await stream.prepare()
        await call(calls, account)
        shard = int(keys_of(account).tag[4:6])
        first = await stream.take(shard, 10, 5_000)
        second = await stream.take(shard, 10, 0)
        assert first.entries == second.entries

    on_url(meter_url, story)


def test_many_calls_at_once_find_their_nodes(meter_cluster: MeterCluster) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        assert await calls_at_once(calls, 200) == ["OK"] * 200

    on_url(meter_cluster.url, story)


def test_more_accounts_at_once_than_connections_wait_their_turn(meter_url: str) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        crowd = meter.MOST_CONNECTIONS * 20
        assert await calls_at_once(calls, crowd) == ["OK"] * crowd
        facts = await calls.client.info("clients")
        assert facts["connected_clients"] <= meter.MOST_CONNECTIONS + 10  # the line, and who else looks on

    on_url(meter_url, story)


@pytest.fixture
def lost_node(meter_cluster: MeterCluster) -> Iterator[Callable[[], None]]:
    """Kill the first node; it is back when the test ends."""
    yield lambda: meter_cluster.signal_node(0, signal.SIGKILL)
    meter_cluster.start_node(0)
    _wait_until_whole(meter_cluster)


def test_a_node_that_dies_takes_only_its_own_accounts_with_it(
    meter_cluster: MeterCluster, lost_node: Callable[[], None]
) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        ours = accounts_by_node(meter_cluster)
        for account in ours:
            assert await call(calls, account) == "OK"
        lost_node()
        for _ in range(5):
            with pytest.raises(MeterUnavailable):
                await call(calls, ours[0])
            for account in ours[1:]:
                assert await call(calls, account) == "OK"

    on_url(meter_cluster.url, story)


def test_a_node_that_came_back_serves_again_by_itself(meter_cluster: MeterCluster) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        ours = accounts_by_node(meter_cluster)
        assert await call(calls, ours[0]) == "OK"
        meter_cluster.signal_node(0, signal.SIGKILL)
        with pytest.raises(MeterUnavailable):
            await call(calls, ours[0])
        meter_cluster.start_node(0)
        assert await _eventually_ok(calls, ours[0])
        assert (await calls.usage_of(ours[0], PERIOD.key))["calls"] == 2  # it kept what it had

    on_url(meter_cluster.url, story)


def test_a_slot_that_moved_is_followed(meter_cluster: MeterCluster) -> None:
    async def story(calls: Counters, stream: UsageStream) -> None:
        ours = accounts_by_node(meter_cluster)
        assert await call(calls, ours[1]) == "OK"
        slot = meter.slot_of(keys_of(ours[0]).deadlines)
        _move(meter_cluster, slot, 0, 1)
        try:
            assert await call(calls, ours[0]) == "OK"
        finally:
            await calls.client.flushdb()
            _move(meter_cluster, slot, 1, 0)

    on_url(meter_cluster.url, story)


def test_news_reach_every_listener(meter_cluster: MeterCluster) -> None:
    async def run() -> None:
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        client = counters.connect(meter_cluster.url, timeout=None)
        listening = asyncio.ensure_future(announcements.listen(client, heard.put_nowait))
        try:
            async with asyncio.timeout(10):
                assert await heard.get() is None  # it listens from now on
                with meter.connect_blocking(meter_cluster.url, timeout=1) as publisher:
                    publisher.publish(announcements.CHANNEL, "an-account")
                assert await heard.get() == "an-account"
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await client.aclose()

    asyncio.run(run())


def test_the_ledger_writer_serves_the_shards_that_answer(
    meter_cluster: MeterCluster, lost_node: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[Any] = []
    monkeypatch.setattr(settings, "METER_REDIS_URL", meter_cluster.url)
    monkeypatch.setattr(ledger_writer, "record", recorded.extend)

    async def story(calls: Counters, stream: UsageStream) -> None:
        for account in accounts_by_node(meter_cluster):
            await call(calls, account)
        lost_node()
        with pytest.raises(MeterUnavailable):
            await ledger_writer.drain_usage()
        with pytest.raises(MeterUnavailable):
            await ledger_writer.sweep_holds()
        assert len(recorded) == NODES - 1

    on_url(meter_cluster.url, story)


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://:pw@a:1,b:2", [("a", 1), ("b", 2)]),
        ("rediss+cluster://user:p%40w@a:1/0", [("a", 1)]),
        ("redis+cluster://[::1]:7000", [("::1", 7000)]),
    ],
)
def test_the_address_of_a_cluster_names_its_nodes(url: str, nodes: list[tuple[str, int]]) -> None:
    address = meter.read_cluster_address(url)
    assert list(address.nodes) == nodes
    assert address.tls == url.startswith("rediss")


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://host", "redis+cluster://a:1/3"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="host"):
        meter.connect(url, timeout=1)


def test_a_cluster_that_nobody_answers_for_is_a_meter_that_is_away() -> None:
    async def run() -> None:
        client = counters.connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout=0.3)
        try:
            with pytest.raises(MeterUnavailable):
                await call(Counters(client), str(uuid7()))
            with pytest.raises(MeterUnavailable):
                await Counters(client).open_holds()
        finally:
            await client.aclose()

    asyncio.run(run())
    with pytest.raises(MeterUnavailable):
        meter.connect_blocking("redis+cluster://127.0.0.1:1", timeout=0.3)


async def _eventually_ok(calls: Counters, account: str) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return await call(calls, account) == "OK"
        except MeterUnavailable:
            await asyncio.sleep(0.1)
    return False


def _move(cluster: MeterCluster, slot: int, source: int, target: int) -> None:
    """Give an empty slot to another node, as a resharding does; returns when all nodes know."""
    clients = [cluster.client_of(number) for number in (target, source, 3 - target - source)]
    name = clients[0].execute_command("CLUSTER MYID")
    for client in clients:
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
        if client is clients[0]:
            client.execute_command("CLUSTER BUMPEPOCH")
    eventually(lambda: all(_port_of(client, slot) == cluster.ports[target] for client in clients), "moved")
    time.sleep(
        1
    )  # a word of the old time that is still on its way between the nodes changes nothing any more
    for client in clients:
        assert _port_of(client, slot) == cluster.ports[target]
        client.close()


def _port_of(client: Any, slot: int) -> int:
    for first, last, node, *_ in client.execute_command("CLUSTER SLOTS"):
        if first <= slot <= last:
            return int(node[1])
    return 0


def _wait_until_whole(cluster: MeterCluster) -> None:
    async def run() -> None:
        client = counters.connect(cluster.url, timeout=1.0)
        for account in accounts_by_node(cluster):
            assert await _eventually_ok(Counters(client), account)
        await client.flushdb()
        await client.aclose()

    asyncio.run(run())
