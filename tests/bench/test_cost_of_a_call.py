"""A guard on the path of a call: what it takes, counted without a clock, so that a slow addition is seen.

A whole call (key, limits, hold, upstream, price, settlement) runs in this process, one after the other, on the real
meter. Counted for each call: functions called, in Python and in C; tasks; commands to the meter; work for threads;
queries. A machine that is busy counts the same. Where a limit bites you, your change made every call dearer: make it
cheaper, or raise the limit in the same change and say why.
"""

import asyncio
import cProfile
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import uvloop
from django.db.backends.utils import CursorWrapper
from django.test import override_settings

from gateway import meter_line, services
from gateway.entry import Entry
from gateway.threads import in_thread
from tests.factories import Person
from tests.gateway import test_relay_end as relay_cases
from tests.live import FakeUpstream, chat_body

CALLS = 40
Extra = Callable[[services.Services], Awaitable[object]]


@dataclass(frozen=True)
class Cost:
    """What one call takes, on average."""

    functions: float
    meter_commands: float
    tasks: float
    threads: float
    queries: float

    def over(self, most: "Cost") -> set[str]:
        """Return the names of what is more than allowed."""
        pairs = zip(fields(self), astuple(self), astuple(most), strict=True)
        return {field.name for field, ours, allowed in pairs if ours > allowed}


# Two scripts, and the call's own task. `functions` is what was counted on 2026-11-26 and a twentieth.
MOST = Cost(functions=478, meter_commands=2, tasks=1, threads=0, queries=0)

# Of the relay alone, between the upstream's connection and the client's: counted on 2026-11-26, and one.
MOST_FOR_AN_EVENT = 14


class Counted:
    """Counts beside the profiler's."""

    def __init__(self) -> None:
        self.meter_commands = self.tasks = self.threads = self.queries = 0

    def watch(self, stack: ExitStack) -> None:
        """Count from now on until the stack unwinds."""
        for owner, name, what in (
            (meter_line.Line, "ask", "meter_commands"),
            (ThreadPoolExecutor, "submit", "threads"),
            (CursorWrapper, "execute", "queries"),
        ):
            stack.enter_context(patch.object(owner, name, self._counting(getattr(owner, name), what)))

    def make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        """A task factory that counts."""
        self.tasks += 1
        return asyncio.Task(work, loop=loop, **options)

    def _counting(self, original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            setattr(self, what, getattr(self, what) + 1)
            return original(*args, **options)

        return counted


class Caller:
    """Alice's client and the server before the entry, in one."""

    def __init__(self, entry: Entry, secret: str) -> None:
        self._entry = entry
        self._body = json.dumps(chat_body("say 5")).encode()
        self._headers = [
            (b"authorization", b"Bearer " + secret.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        self.statuses: list[int] = []

    async def call(self) -> None:
        """Make one call; it runs in a task of its own, as the server has it."""
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": self._headers}
        await asyncio.get_running_loop().create_task(self._entry(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


async def nothing(_: services.Services) -> None:
    """What is added to a call to find what it takes as it is."""


async def measure(person: Person, extra: Extra) -> Cost:
    """Count what a call takes, with `extra` done in each."""
    async with asyncio.timeout(60):
        here = await services.Services.start()
    for beside in here._beside:  # what is done once in a while must not fall among the calls that are counted
        beside.cancel()
    admit = here.admit

    async def and_more(*args: Any) -> Any:
        await extra(here)
        return await admit(*args)

    if extra is not nothing:
        here.admit = and_more  # type: ignore[method-assign, assignment]
    entry = Entry(None)  # type: ignore[arg-type]
    entry._services = here
    caller, counted = Caller(entry, person.secret), Counted()
    for _ in range(3):  # the key, the connections
        await caller.call()
    with ExitStack() as stack:
        counted.watch(stack)
        asyncio.get_running_loop().set_task_factory(counted.make_task)
        profile = cProfile.Profile()
        with profile:
            for _ in range(CALLS):
                await caller.call()
        asyncio.get_running_loop().set_task_factory(None)
    await here.stop()
    assert caller.statuses == [200] * (CALLS + 3)
    functions = sum(entry.callcount for entry in profile.getstats())
    others = (counted.meter_commands, counted.tasks, counted.threads, counted.queries)
    return Cost(*(number / CALLS for number in (functions, *others)))


@pytest.fixture
def cost(
    live_database: dict[str, str], upstream: FakeUpstream, person: Callable[..., Person], tmp_path: Path
) -> Iterator[Callable[[Extra], Cost]]:
    """Count what Alice's calls take with something extra done in each."""
    alice = person("Alice", "pro")
    with override_settings(MODEL_URL=upstream.url, VAR_DIR=tmp_path, METER_TIMEOUT_SECONDS=5.0):
        yield lambda extra: uvloop.run(measure(alice, extra))


def test_a_call_takes_no_more_than_it_did(cost: Callable[[Extra], Cost]) -> None:
    found = cost(nothing)
    assert not found.over(MOST), found


def functions_of_stream(events: int) -> int:
    """Count the functions called for a stream of so many events that come one by one, in Python and in C."""
    asked, profile = relay_cases.order(most=events), cProfile.Profile()
    with profile:
        text, _ = relay_cases.relayed(
            [relay_cases.chunk()] * events + [relay_cases.DONE], asked, takes_at_once=True
        )
    assert text.count('"tok"') == events
    return sum(entry.callcount for entry in profile.getstats())


def test_an_event_of_a_stream_takes_no_more_than_it_did() -> None:
    functions_of_stream(1)  # what is imported or remembered the first time
    each = (functions_of_stream(300) - functions_of_stream(100)) / 200
    assert each <= MOST_FOR_AN_EVENT, each


async def one_more_script(here: services.Services) -> None:
    await here.counters.extend("nobody", "nothing")


async def one_query(_: services.Services) -> None:
    from accounts.models import Account

    await in_thread(Account.objects.filter(name="nobody").exists)


async def one_thread_hop(_: services.Services) -> None:
    await asyncio.to_thread(int)


async def one_task(_: services.Services) -> None:
    await asyncio.shield(asyncio.ensure_future(asyncio.sleep(0)))


async def a_walk_over_a_hundred_things(_: services.Services) -> None:
    sum(int(number) for number in range(100))


@pytest.mark.parametrize(
    ("extra", "bites"),
    [
        (one_more_script, "meter_commands"),
        (one_query, "queries"),
        (one_thread_hop, "threads"),
        (one_task, "tasks"),
        (a_walk_over_a_hundred_things, "functions"),
    ],
)
def test_what_makes_a_call_dearer_is_seen(cost: Callable[[Extra], Cost], extra: Extra, bites: str) -> None:
    assert bites in cost(extra).over(MOST)
