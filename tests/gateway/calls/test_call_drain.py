"""What becomes of a stream whose client left, where the plan reads on; and comments while an upstream is silent."""

import asyncio
import contextlib
import inspect
import json
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.models import Plan, PlanVersion, UsageEvent
from billing.pricing import Unit
from billing.subscriptions import start_subscription
from gateway import relay, relay_client, services
from gateway.admission import Hold
from gateway.catalog import Server, Way
from gateway.counters import Admitted
from gateway.endpoints import find_endpoint
from gateway.models import Dialect
from gateway.order_reading import read_order
from gateway.services import Services
from gateway.settlement import Outcome, Receipt
from gateway.upstream import Upstreams
from tests.factories import Person
from tests.gateway import test_orders
from tests.live import FakeUpstream, Web, chat_body, eventually, open_holds, record_usage

People = Callable[..., Person]
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)


def on_a_draining_plan(person: Person) -> Person:
    """Put somebody on an edition of a plan that reads on. It is an old one, so nobody gets it by default."""
    plan = Plan.objects.get(slug="enterprise")
    version, _ = PlanVersion.objects.get_or_create(
        plan=plan, drains=True, effective_from=LONG_AGO, defaults={"number": 9_001, "overage": True}
    )
    start_subscription(person.account, version)
    return person


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


def read_a_little_and_leave(web: Web, person: Person, text: str, events: int) -> None:
    address, body = urlsplit(web.url), json.dumps(chat_body(text, stream=True)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as line:
        line.sendall(head.encode() + body)
        seen = line.recv(4096)
        assert b" 200 " in seen, seen
        while seen.count(b"data:") < events:
            seen += line.recv(4096)


@pytest.mark.usefixtures("no_hold_stays")
def test_where_the_plan_drains_a_client_that_left_pays_what_the_upstream_reports(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice, before = on_a_draining_plan(person("Alice")), upstream.seen()
    read_a_little_and_leave(web, alice, "slow 30", 3)
    eventually(lambda: open_holds() == 0, "the stream was read to its end and settled", 10)
    after = upstream.seen()
    assert after["left"] == before["left"]
    assert after["tokens"] - before["tokens"] == 40
    row = only_row(alice)
    assert (row.units["output_token"][0], row.estimated, row.status, row.error_code) == (40, False, 200, "")
    assert row.nano_cost > 0


@pytest.mark.usefixtures("no_hold_stays")
def test_a_drain_that_falls_silent_ends_and_costs_nothing(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    """The upstream sends a token every two and a half seconds; two seconds of silence are too long here."""
    alice = on_a_draining_plan(person("Alice"))
    read_a_little_and_leave(web, alice, "slow 2500", 1)
    eventually(lambda: open_holds() == 0, "the drain ended", 8)
    row = only_row(alice)
    assert (row.nano_cost, row.error_code, row.status) == (0, "upstream_error", 502)


# --- In this process -----------------------------------------------------------------------------


def test_only_so_many_streams_are_drained_at_once(
    live_database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_DRAINS", 2)

    async def run() -> list[bool]:
        mine, ends = Services(), asyncio.Event()

        async def wait() -> None:
            await ends.wait()

        async def fail() -> None:
            raise ConnectionError("the upstream broke")

        begun = [mine.drain(wait()), mine.drain(fail())]
        refused = wait()
        begun.append(mine.drain(refused))
        assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED  # nothing of it is left to run
        await asyncio.sleep(0.05)
        begun.append(mine.drain(wait()))  # the one that failed has made room
        ends.set()
        await asyncio.sleep(0.05)
        begun += [mine.drain(wait()), mine.drain(wait())]
        await mine.stop()
        return begun

    assert asyncio.run(run()) == [True, True, False, True, True, True]


class Line:
    """What a client was sent; `leaves_after` so many events it goes."""

    def __init__(self, leaves_after: int = 1000) -> None:
        self.sent: list[bytes] = []
        self._leaves_after = leaves_after

    async def write(self, data: bytes) -> None:
        self.sent += [data] if data else []
        if len(self.sent) >= self._leaves_after:
            raise asyncio.CancelledError


async def relayed(
    url: str, text: str, line: Line, *, drains: bool = False, room: bool = True
) -> list[Outcome]:
    """Relay one chat from the upstream at `url` to `line`; return how it was settled."""
    outcomes: list[Outcome] = []
    tasks: list[asyncio.Task[None]] = []

    async def settle(hold: Hold, outcome: Outcome) -> Receipt:
        outcomes.append(outcome)
        return Receipt(0, "USD", 1)

    def drain(work: Coroutine[Any, Any, None]) -> bool:
        if room:
            tasks.append(asyncio.create_task(work))
        else:
            work.close()
        return room

    hold, upstreams = _hold(url, text, drains=drains), Upstreams()
    try:
        reply = await upstreams.forward(hold.order, "id")
        with contextlib.suppress(asyncio.CancelledError):
            await relay.Relay(hold, reply).run(relay_client.Client(line.write), settle=settle, drain=drain)
        await asyncio.gather(*tasks)
    finally:
        await upstreams.close()
    return outcomes


def _hold(url: str, text: str, *, drains: bool) -> Hold:
    someone = test_orders.caller()
    someone = replace(someone, entitlements=replace(someone.entitlements, drains=drains))
    message = {"role": "user", "content": text}
    body = {"model": test_orders.CHEAP, "messages": [message], "stream": True, "max_tokens": 90}
    order = read_order(
        find_endpoint("/v1/chat/completions"), json.dumps(body).encode(), "", someone, test_orders.catalog()
    )
    server = Server("fake", Dialect.OPENAI, url, "", "", None, 1, 60, 600)
    order.candidates = [replace(order.candidates[0], way=Way("fake", server, "", "", "", 0.0, None))]
    return Hold("id", someone, order, "2026-11", 0, 0, Admitted(0, 1, 0, 1, 1, 1), time.monotonic())


def test_a_silent_upstream_is_bridged_by_comments(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_client, "KEEP_ALIVE_SECONDS", 0.05)
    line = Line(leaves_after=30)
    asyncio.run(relayed(upstream.url, "slow 250", line))
    comments = [data for data in line.sent if data == b": keep-alive\n\n"]
    tokens = [data for data in line.sent if data.startswith(b"data:")]
    assert len(tokens) >= 2
    assert 2 * len(tokens) <= len(comments) <= 6 * len(tokens)
    assert line.sent[:2] == [tokens[0], comments[0]]


def test_a_busy_upstream_needs_no_comments(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client, "KEEP_ALIVE_SECONDS", 0.5)
    line = Line()
    asyncio.run(relayed(upstream.url, "slow 25", line))
    assert b": keep-alive\n\n" not in line.sent
    assert line.sent[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize(("drains", "room"), [(False, True), (True, False)])
def test_without_a_drain_what_was_passed_on_is_charged(
    upstream: FakeUpstream, drains: bool, room: bool
) -> None:
    line = Line(leaves_after=3)
    (outcome,) = asyncio.run(relayed(upstream.url, "slow 20", line, drains=drains, room=room))
    assert (outcome.error, outcome.charged, outcome.usage.estimated) == ("client_closed_request", True, True)
    assert outcome.usage.quantities[Unit.OUTPUT_TOKEN] == 3


def test_a_drain_is_settled_once_with_the_reported_usage(upstream: FakeUpstream) -> None:
    line = Line(leaves_after=3)
    (outcome,) = asyncio.run(relayed(upstream.url, "slow 5", line, drains=True))
    assert (outcome.error, outcome.charged, outcome.usage.estimated) == ("", True, False)
    assert outcome.usage.quantities[Unit.OUTPUT_TOKEN] == 40
    assert len(line.sent) == 3


@pytest.mark.parametrize("wish", ["drop 5", "error 5", "garbage 5"])
def test_a_drain_whose_upstream_fails_is_settled_once_and_costs_nothing(
    upstream: FakeUpstream, wish: str
) -> None:
    (outcome,) = asyncio.run(relayed(upstream.url, wish, Line(leaves_after=1), drains=True))
    assert (outcome.error, outcome.charged) == ("upstream_error", False)
