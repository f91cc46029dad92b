"""The heartbeat of a process's open holds: a long call keeps its hold, and what was lost does not stay for ever."""

import asyncio
import time
from dataclasses import replace

import structlog

from accounts.ids import uuid7
from gateway.admission import Hold
from gateway.counters import Admitted
from gateway.meter_watch import MeterWatch
from gateway.open_holds import OpenHolds
from gateway.upstream import TOTAL_SECONDS
from tests.gateway import test_counters, test_orders
from tests.gateway.test_counters import Bench, OnMeter

on_meter = test_counters.on_meter
HOLD_SECONDS = 0.9


class Watch(MeterWatch):
    """Says what the test wants."""

    is_here = True

    def __init__(self) -> None:
        pass

    def is_ready(self, _: str) -> bool:
        return self.is_here


def running(bench: Bench, rid: str, *, since: float) -> Hold:
    """Alice's call, begun `since` seconds ago."""
    alice = replace(test_orders.caller(), account_id=bench.account)
    order = test_orders.order("/v1/chat/completions", test_orders.chat())
    admitted = Admitted(0, 1, 0, 1, 1, 1)
    return Hold(rid, alice, order, test_counters.PERIOD.key, 100, 10, admitted, time.monotonic() - since)


def test_a_call_that_runs_for_long_keeps_its_hold_until_it_leaves(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        bench.meter.hold_ms = round(HOLD_SECONDS * 1000)
        holds, rid = OpenHolds(bench.meter, Watch(), HOLD_SECONDS), str(uuid7())
        assert isinstance(await bench.admit(rid=rid), Admitted)
        holds[rid] = running(bench, rid, since=0)
        beats = asyncio.create_task(holds.keep_alive())
        for _ in range(5):
            await asyncio.sleep(HOLD_SECONDS / 2)
            assert await bench.sweep() == []  # two and a half lives of a hold without a heartbeat
        del holds[rid]
        await asyncio.sleep(HOLD_SECONDS * 1.5)
        assert await bench.sweep() == [rid]
        beats.cancel()

    on_meter(story)


def test_a_hold_that_a_fault_left_behind_is_let_go_and_swept(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        bench.meter.hold_ms = round(HOLD_SECONDS * 1000)
        holds, rid = OpenHolds(bench.meter, Watch(), HOLD_SECONDS), str(uuid7())
        await bench.admit(rid=rid)
        holds[rid] = running(bench, rid, since=TOTAL_SECONDS + HOLD_SECONDS)
        beats = asyncio.create_task(holds.keep_alive())
        with structlog.testing.capture_logs() as logs:
            await asyncio.sleep(HOLD_SECONDS * 1.5)
        assert not holds
        assert {"event": "hold lost", "request_id": rid, "log_level": "error"} in logs
        assert await bench.sweep() == [rid]
        beats.cancel()

    on_meter(story)


def test_a_meter_that_is_away_is_not_asked(on_meter: OnMeter) -> None:
    async def story(bench: Bench) -> None:
        watch, rid = Watch(), str(uuid7())
        holds = OpenHolds(bench.meter, watch, HOLD_SECONDS)
        bench.meter.hold_ms = round(HOLD_SECONDS * 1000)
        await bench.admit(rid=rid)
        holds[rid] = running(bench, rid, since=0)
        watch.is_here = False
        beats = asyncio.create_task(holds.keep_alive())
        await asyncio.sleep(HOLD_SECONDS * 1.5)
        assert await bench.sweep() == [rid]  # no heartbeat came
        assert list(holds) == [rid]  # its settlement will be `late`
        beats.cancel()

    on_meter(story)
