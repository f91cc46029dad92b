"""Budgets in the scripts: a hold is taken in each of them, and settles, is swept and comes late in each of them.

And counters that are missing: they start at what the ledger says, what is on its way there, and what is held.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from django.utils import timezone

from accounts.ids import uuid7
from billing.budget_window import BudgetWindow, Window
from billing.period import BillingPeriod
from gateway import counters
from gateway.counters import (
    Admitted,
    Counter,
    Counters,
    Denied,
    Limits,
    Missing,
    Settlement,
    Spend,
)
from gateway.meter_keys import SHARDS, keys_of
from gateway.usage_stream import UsageStream

NONE = Limits(calls=-1, spend_nano=-1, requests_per_minute=-1, tokens_per_minute=-1, concurrency=-1)
PERIOD = BillingPeriod.containing(timezone.now())
TODAY = BudgetWindow.containing(timezone.now(), Window.DAY, "UTC")
KEY, OTHER_KEY = "key-of-alice", "key-of-bob"


class Bench:
    """One account's meter with budgets, with short words for what the gateway does."""

    def __init__(self, client: Any) -> None:
        self.meter, self.stream, self.client = Counters(client), UsageStream(client), client
        self.account = str(uuid7())

    def spend(self, whose: str, limit: int = -1) -> Spend:
        """A budget of today."""
        return Spend(f"{self.account}-{whose}:{TODAY.key}", limit)

    async def start(self, *spends: Spend) -> None:
        for spend in spends:
            await self.start_at(spend.name, 0)

    async def start_at(
        self, name: str, nano: int, key_ids: Sequence[str] | None = None, last: str = ""
    ) -> str:
        counter = Counter.of_budget(name, TODAY, key_ids)
        waiting = await self.meter.waiting(self.account)
        assert waiting is not None
        return await self.meter.start(self.account, counter, 0, nano, last or waiting.last_id)

    def report(self, rid: str, key: str = KEY, nano: int = 0, status: int = 200) -> str:
        facts = {"rid": rid, "account": self.account, "period": PERIOD.key, "key": key}
        return json.dumps(facts | {"nano": nano, "status": status})

    async def admit(self, *spends: Spend, nano: int = 100, rid: str = "", key: str = KEY) -> Any:
        rid = rid or str(uuid7())
        report = self.report(rid, key, status=500).encode()
        return await self.meter.admit(rid, self.account, PERIOD, NONE, nano, 1, report, spends)

    async def settle(self, rid: str, *spends: Spend, nano: int = 40, key: str = KEY) -> str:
        names = tuple(spend.name for spend in spends)
        report = self.report(rid, key, nano)
        return await self.meter.settle(Settlement(rid, self.account, PERIOD.key, nano, 1, 1, report, names))

    async def stands(self, *spends: Spend) -> list[tuple[int, int]]:
        """(spent, held) of each budget."""
        look = await self.meter.peek(self.account, PERIOD, -1, spends)
        return [(tally.nano, tally.held_nano) for tally in look.budgets]

    async def expire(self, rid: str) -> None:
        """Let the hold's deadline pass, and sweep."""
        keys = keys_of(self.account)
        await self.client.zadd(keys.open, {rid: 1})
        await self.client.zadd(keys.deadlines, {self.account: 1})
        for shard in range(SHARDS):
            await self.meter.sweep(shard)


Story = Callable[[Bench], Coroutine[Any, Any, None]]
OnMeter = Callable[[Story], None]


@pytest.fixture
def on_meter(meter_url: str) -> OnMeter:
    """Run a story on an empty meter, once on one server, once on a cluster."""

    async def run(story: Story) -> None:
        client = counters.connect(meter_url, timeout=5.0)
        try:
            await client.flushdb()
            bench = Bench(client)
            await bench.meter.seed(bench.account, PERIOD, 0, 0)
            await story(bench)
        finally:
            await client.flushdb()
            await client.aclose()

    return lambda story: asyncio.run(run(story))


# --- Limits --------------------------------------------------------------------------------------


def test_spent_and_held_and_this_call_stay_within_every_budget(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        wide, tight = bench.spend("wide", 1000), bench.spend("tight", 250)
        await bench.start(wide, tight)
        rid = str(uuid7())
        first = await bench.admit(wide, tight, rid=rid)
        assert isinstance(first, Admitted)
        assert first.budget_left == 150
        assert isinstance(await bench.admit(wide, tight), Admitted)
        denied = await bench.admit(wide, tight)
        assert isinstance(denied, Denied)
        assert (denied.limit_name, denied.budget, denied.limit, denied.used) == ("budget", 2, 250, 200)
        assert denied.meter.budget_left == 50
        assert await bench.stands(wide, tight) == [(0, 200), (0, 200)]
        await bench.settle(rid, wide, tight, nano=40)
        assert await bench.stands(wide, tight) == [(40, 100), (40, 100)]
        assert isinstance(
            await bench.admit(wide, tight), Admitted
        )  # what was held and not used is free again

    on_meter(story)


def test_a_budget_that_only_warns_counts_and_stops_nothing(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        soft = bench.spend("soft")
        await bench.start(soft)
        rid = str(uuid7())
        admitted = await bench.admit(soft, nano=10**15, rid=rid)
        assert isinstance(admitted, Admitted)
        assert admitted.budget_left == -1
        await bench.settle(rid, soft, nano=10**15)
        assert await bench.stands(soft) == [(10**15, 0)]

    on_meter(story)


def test_a_budget_of_nothing_lets_only_free_calls_through(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        nothing = bench.spend("nothing", 0)
        await bench.start(nothing)
        assert isinstance(await bench.admit(nothing, nano=0), Admitted)
        assert isinstance(await bench.admit(nothing, nano=1), Denied)

    on_meter(story)


def test_a_hundred_at_once_on_a_budget_for_ten_admit_ten(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        ten = bench.spend("ten", 1000)
        await bench.start(ten)
        answers = await asyncio.gather(*(bench.admit(ten) for _ in range(100)))
        assert sum(isinstance(answer, Admitted) for answer in answers) == 10
        assert await bench.stands(ten) == [(0, 1000)]

    on_meter(story)


def test_a_lowered_limit_stops_the_next_call_and_a_raised_one_lets_it_pass(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(bench.spend("it"))
        assert isinstance(await bench.admit(bench.spend("it", 200)), Admitted)
        assert isinstance(await bench.admit(bench.spend("it", 150)), Denied)
        assert isinstance(await bench.admit(bench.spend("it", 300)), Admitted)

    on_meter(story)


# --- How holds end -------------------------------------------------------------------------------


def test_a_hold_that_is_swept_leaves_every_budget_and_comes_back_late_into_each(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        one, two = bench.spend("one", 1000), bench.spend("two")
        await bench.start(one, two)
        rid = str(uuid7())
        await bench.admit(one, two, rid=rid)
        await bench.expire(rid)
        assert await bench.stands(one, two) == [(0, 0), (0, 0)]
        assert [await bench.settle(rid, one, two), await bench.settle(rid, one, two)] == ["LATE", "DUP"]
        assert await bench.stands(one, two) == [(40, 0), (40, 0)]

    on_meter(story)


def test_admitting_and_settling_again_moves_no_budget(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        one, rid = bench.spend("one", 1000), str(uuid7())
        await bench.start(one)
        await bench.admit(one, rid=rid)
        await bench.admit(one, rid=rid)
        assert await bench.stands(one) == [(0, 100)]
        assert [await bench.settle(rid, one) for _ in range(2)] == ["OK", "DUP"]
        assert await bench.stands(one) == [(40, 0)]

    on_meter(story)


def test_a_settlement_whose_hold_is_lost_still_counts_where_it_was_admitted(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        one = bench.spend("one", 1000)
        await bench.start(one)
        assert await bench.settle(str(uuid7()), one) == "UNKNOWN"
        assert await bench.stands(one) == [(40, 0)]

    on_meter(story)


# --- Counters that are missing ---------------------------------------------------------------------


def test_missing_counters_are_named_and_nothing_is_admitted(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        there, gone = bench.spend("there", 1000), bench.spend("gone", 1000)
        await bench.start(there)
        assert await bench.admit(there, gone) == Missing(quota=False, budgets=(1,))
        bench.account = str(uuid7())
        mine = bench.spend("mine", 1000)
        assert await bench.admit(mine) == Missing(quota=True, budgets=(0,))
        assert await bench.meter.open_holds() == 0

    on_meter(story)


def test_a_counter_that_is_there_is_not_started_again(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        one = bench.spend("one", 1000)
        assert [await bench.start_at(one.name, 700), await bench.start_at(one.name, 5)] == ["SEEDED", "KNOWN"]
        assert await bench.stands(one) == [(700, 0)]

    on_meter(story)


def test_calls_that_run_while_a_budget_is_set_join_it_and_settle_in_it(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        alices, bobs, everybody = bench.spend("alice"), bench.spend("bob"), bench.spend("all")
        mine, other = str(uuid7()), str(uuid7())
        await bench.admit(rid=mine, nano=100)
        await bench.admit(rid=other, nano=30, key=OTHER_KEY)
        await bench.start_at(alices.name, 0, [KEY])
        await bench.start_at(bobs.name, 0, [OTHER_KEY])
        await bench.start(everybody)
        assert await bench.stands(alices, bobs, everybody) == [(0, 100), (0, 30), (0, 130)]
        await bench.settle(mine, nano=60)
        await bench.settle(other, nano=9, key=OTHER_KEY)
        assert await bench.stands(alices, bobs, everybody) == [(60, 0), (9, 0), (69, 0)]

    on_meter(story)


def test_a_call_of_yesterday_does_not_join_todays_budget(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        before = int(TODAY.start.timestamp() * 1000) - 1
        rid = f"{before:012x}"[:8] + "-" + f"{before:012x}"[8:] + "-7000-8000-000000000000"
        await bench.admit(rid=rid)
        await bench.settle(rid)
        await bench.admit(rid=rid.replace("-7000-", "-7001-"))
        await bench.start(bench.spend("today"))
        assert await bench.stands(bench.spend("today")) == [(0, 0)]

    on_meter(story)


def test_reports_that_came_after_the_look_are_added_in_the_same_step(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        settled, one = str(uuid7()), bench.spend("one")
        waiting = await bench.meter.waiting(bench.account)
        assert waiting is not None
        await bench.admit(rid=settled)
        await bench.settle(settled, nano=40)
        assert await bench.start_at(one.name, 500, last=waiting.last_id) == "SEEDED"
        assert await bench.stands(one) == [(540, 0)]

    on_meter(story)


def test_a_look_that_the_ledgers_writer_has_overtaken_is_refused(on_meter: OnMeter) -> None:
    """The writer may have put the new report into the ledger before it was asked: then 1 call would count twice."""

    async def story(bench: Bench) -> None:
        rid, one = str(uuid7()), bench.spend("one")
        waiting = await bench.meter.waiting(bench.account)
        assert waiting is not None
        await bench.admit(rid=rid)
        await bench.settle(rid)
        shard = int(keys_of(bench.account).tag[4:6])
        await bench.stream.prepare(shard)
        taken = await bench.stream.take(shard, 10, 1000)
        assert len(taken.entries) == 1
        assert await bench.start_at(one.name, 500, last=waiting.last_id) == "MOVED"
        assert await bench.start_at(one.name, 500) == "SEEDED"

    on_meter(story)


def test_the_account_sees_its_own_reports_on_their_way_and_no_others(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        rid = str(uuid7())
        await bench.admit(rid=rid)
        await bench.settle(rid)
        found = await bench.meter.waiting(bench.account)
        assert found is not None
        assert [kind for kind, _ in found.reports] == ["final"]
        assert json.loads(found.reports[0][1])["rid"] == rid
        nobody = await bench.meter.waiting(str(uuid7()))
        assert nobody is not None
        assert nobody.reports == []

    on_meter(story)


def test_all_keys_of_an_account_share_a_slot_with_its_budgets() -> None:
    keys = keys_of(str(uuid7()))
    assert keys.budget(f"{uuid7()}:day:1").startswith(keys.tag)
