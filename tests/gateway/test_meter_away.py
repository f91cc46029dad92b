"""The meter stops answering, loses its data or is full: no call is made that cannot be counted, and none is lost.

Alice's plan (Pro) runs on a lease meanwhile, Bob's (Free) waits.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from billing.period import BillingPeriod
from gateway import counters
from gateway.meter_keys import keys_of
from gateway.runner.lock import ROOT
from tests.factories import Person
from tests.live import FakeUpstream, Web, chat_body, eventually, start_web
from tests.meter_server import MeterServer

FILL = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'kind', 'final', 'report', '{}') end"
PERIOD = BillingPeriod.containing(timezone.now()).key


@pytest.fixture(scope="module")
def own_meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeterServer]:
    """A meter that nobody else uses."""
    with MeterServer(tmp_path_factory.mktemp("meter")) as server:
        yield server


@pytest.fixture(scope="module")
def env(
    live_database: dict[str, str], own_meter: MeterServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of processes on that meter."""
    return live_database | {
        "METER_REDIS_URL": own_meter.url,
        "TURNPIKE_VAR": str(tmp_path_factory.mktemp("var")),
        "METER_TIMEOUT_SECONDS": "1",
        "UPSTREAM_SILENCE_SECONDS": "30",
    }


@pytest.fixture(scope="module")
def lone_web(env: dict[str, str], upstream: FakeUpstream) -> Iterator[Web]:
    """A gateway on the meter of its own."""
    yield from start_web(env | {"MODEL_URL": upstream.url})


@pytest.fixture
def meter(own_meter: MeterServer, lone_web: Web, person: Callable[..., Person]) -> Iterator[MeterServer]:
    """The meter, to be broken; it is whole again when the test ends."""
    probe = person("Probe")
    eventually(lambda: lone_web.chat(probe).status_code == 200, "calls pass", 10)
    yield own_meter
    own_meter.signal(signal.SIGCONT)
    with own_meter.client() as client:
        client.config_set("maxmemory", 0)
    eventually(lambda: lone_web.chat(probe).status_code == 200, "calls pass again", 20)


@pytest.fixture
def spool(env: dict[str, str]) -> Path:
    """Where settlements wait on disk."""
    return Path(env["TURNPIKE_VAR"]) / "spool"


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Return (status, error code)."""
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def reports(meter: MeterServer, person: Person) -> list[dict[str, Any]]:
    """Return the reports of a person's calls that are on their way to the ledger."""
    account = str(person.account.pk)
    with meter.client() as client:
        entries: Any = client.xrange(keys_of(account).stream)
        found = [json.loads(fields[b"report"]) for _, fields in entries]
    return [report for report in found if report["account"] == account]


def counted(meter: MeterServer, person: Person) -> dict[str, int]:
    """Return the counters of a person's account."""
    with meter.client() as client:
        found: Any = client.hgetall(keys_of(str(person.account.pk)).quota(PERIOD))
    return {name.decode(): int(value) for name, value in found.items()}


def has_lease(meter: MeterServer, person: Person) -> bool:
    """Tell whether the gateway was granted a lease for a person's account."""
    with meter.client() as client:
        return bool(client.exists(keys_of(str(person.account.pk)).leases))


def manage(env: dict[str, str], *arguments: str) -> str:
    """Run a management command and return what it said."""
    argv = [sys.executable, "manage.py", *arguments]
    return subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def waiting(spool: Path) -> str:
    """What waits on disk, of all processes: one that was stopped before may have left some."""
    return "".join(file.read_text() for file in spool.glob("*.jsonl"))


def test_bob_is_refused_at_once_and_no_upstream_hears_of_it(
    lone_web: Web, upstream: FakeUpstream, person: Callable[..., Person], meter: MeterServer
) -> None:
    bob = person("Bob")
    assert lone_web.chat(bob).status_code == 200
    before = upstream.seen()["calls"]
    meter.signal(signal.SIGSTOP)
    for _ in range(5):
        began = time.monotonic()
        answer = lone_web.chat(bob)
        assert code(answer) == (503, "limiter_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - began < 5  # the bound of 400 ms is measured by the fault run, not by a test
    assert upstream.seen()["calls"] == before


def test_there_are_no_quotes_meanwhile_on_any_plan(
    lone_web: Web, upstream: FakeUpstream, person: Callable[..., Person], meter: MeterServer
) -> None:
    alice = person("Alice", "pro")
    wish: dict[str, Any] = {"body": chat_body()}
    said = lone_web.post("/api/v1/quotes", alice.secret, wish).json()
    before = upstream.seen()["calls"]
    meter.signal(signal.SIGSTOP)
    header = {"X-Turnpike-Quote": said["id"]}
    for answer in (
        lone_web.post("/api/v1/quotes", alice.secret, wish),
        lone_web.post("/v1/chat/completions", alice.secret, chat_body(), headers=header),
    ):
        assert code(answer) == (503, "limiter_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    meter.signal(signal.SIGCONT)
    assert upstream.seen()["calls"] == before

    def redeemed() -> bool:
        return (
            lone_web.post("/v1/chat/completions", alice.secret, chat_body(), headers=header).status_code
            == 200
        )

    eventually(redeemed, "the quote is good when the meter is back", 10)


def test_alice_goes_on_with_her_lease_and_pays_for_it_later(
    lone_web: Web, spool: Path, person: Callable[..., Person], meter: MeterServer
) -> None:
    alice = person("Alice", "pro")
    assert "x-turnpike-degraded" not in lone_web.chat(alice).headers
    eventually(lambda: has_lease(meter, alice), "a lease is granted", 5)
    meter.signal(signal.SIGSTOP)
    answers = [lone_web.chat(alice) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["x-turnpike-degraded"] for answer in answers} == {"meter"}
    assert all(answer.headers["x-turnpike-cost"] for answer in answers)
    assert len(waiting(spool).splitlines()) == 3  # before the answers left
    meter.signal(signal.SIGCONT)
    eventually(lambda: len(reports(meter, alice)) == 4, "all four calls are on their way", 10)
    mine = reports(meter, alice)
    assert [bool(report.get("degraded")) for report in mine] == [False, True, True, True]
    found = counted(meter, alice)
    assert (found["calls"], found["nano"]) == (4, sum(report["nano"] for report in mine))
    assert found["held_calls"] == found["held_nano"] == 0


def test_a_lease_has_an_end(
    live_database: dict[str, str],
    upstream: FakeUpstream,
    person: Callable[..., Person],
    env: dict[str, str],
    meter: MeterServer,
) -> None:
    alice = person("Alice", "pro")
    for web in start_web(env | {"MODEL_URL": upstream.url, "METER_LEASE_CALLS": "2"}):
        assert web.chat(alice).status_code == 200
        eventually(lambda: has_lease(meter, alice), "a lease is granted", 5)
        meter.signal(signal.SIGSTOP)
        statuses = [web.chat(alice).status_code for _ in range(4)]
        meter.signal(signal.SIGCONT)
        assert statuses == [200, 200, 503, 503]


def test_a_call_in_flight_waits_on_disk_and_is_counted_once(
    lone_web: Web, upstream: FakeUpstream, spool: Path, person: Callable[..., Person], meter: MeterServer
) -> None:
    alice = person("Alice", "pro")
    before = upstream.seen()["calls"]
    with ThreadPoolExecutor(1) as clients:
        call = clients.submit(lone_web.chat, alice, "wait 2000")
        eventually(lambda: upstream.seen()["calls"] > before, "the call runs")
        meter.signal(signal.SIGSTOP)
        answer = call.result()
    assert answer.status_code == 200  # the customer has the answer, and it is accounted for:
    assert answer.headers["x-request-id"] in waiting(spool)
    meter.signal(signal.SIGCONT)
    eventually(lambda: not list(spool.glob("*.jsonl")), "the spool is empty", 10)
    (mine,) = reports(meter, alice)
    assert mine["rid"] == answer.headers["x-request-id"]
    found = counted(meter, alice)
    assert (found["calls"], found["nano"]) == (1, mine["nano"])
    assert found["held_calls"] == found["held_nano"] == 0


def test_a_meter_that_restarts_counts_on_from_where_it_was(
    lone_web: Web, person: Callable[..., Person], meter: MeterServer
) -> None:
    bob = person("Bob")
    for _ in range(3):
        assert lone_web.chat(bob).status_code == 200
    before = counted(meter, bob)
    meter.signal(signal.SIGKILL)
    assert code(lone_web.chat(bob)) == (503, "limiter_unavailable")
    meter.start()
    eventually(lambda: lone_web.chat(bob).status_code == 200, "calls pass again", 10)
    found = counted(meter, bob)
    assert found["calls"] == before["calls"] + 1
    assert found["held_calls"] == 0


def test_a_wiped_meter_lets_nobody_start_from_nothing(
    lone_web: Web,
    upstream: FakeUpstream,
    env: dict[str, str],
    person: Callable[..., Person],
    meter: MeterServer,
) -> None:
    """Three calls are in the ledger, two only in the meter when it is wiped, one is running."""
    bob = person("Bob")
    costs = [lone_web.chat(bob).headers["x-turnpike-cost"] for _ in range(3)]
    manage(env, "drain_usage")
    costs += [lone_web.chat(bob).headers["x-turnpike-cost"] for _ in range(2)]
    before = upstream.seen()["calls"]
    with ThreadPoolExecutor(1) as clients:
        call = clients.submit(lone_web.chat, bob, "wait 6000")
        eventually(lambda: upstream.seen()["calls"] > before, "the call runs")
        with meter.client() as client:
            client.flushall()
        # However often he asks, he is told to wait or admitted on counters that know the rest.
        eventually(lambda: lone_web.chat(bob).status_code == 200, "calls pass again", 10)
        found = counted(meter, bob)
        assert (found["calls"], found["held_calls"]) == (6, 1)
        assert call.result().status_code == 200
    found = counted(meter, bob)
    assert (found["calls"], found["held_calls"], found["held_nano"]) == (7, 0, 0)
    manage(env, "drain_usage")
    assert ledger(bob) == (7, found["nano"])
    assert len(set(costs)) == 1


def test_a_full_meter_refuses_new_calls_and_loses_none(
    lone_web: Web, upstream: FakeUpstream, spool: Path, person: Callable[..., Person], meter: MeterServer
) -> None:
    bob = person("Bob")
    before = upstream.seen()["calls"]
    with ThreadPoolExecutor(1) as clients:
        call = clients.submit(lone_web.chat, bob, "wait 2500")
        eventually(lambda: upstream.seen()["calls"] > before, "the call runs")
        with meter.client() as client:
            client.config_set("maxmemory", 1)
            assert code(lone_web.chat(bob)) == (503, "limiter_unavailable")
            answer = call.result()
            assert answer.status_code == 200
            assert answer.headers["x-request-id"] in waiting(spool)
            client.config_set("maxmemory", 0)
    eventually(lambda: not list(spool.glob("*.jsonl")), "the spool is empty", 10)
    found = counted(meter, bob)
    assert (found["calls"], found["held_calls"]) == (1, 0)


def test_a_flush_of_the_scripts_is_not_noticed(
    lone_web: Web, person: Callable[..., Person], meter: MeterServer
) -> None:
    bob = person("Bob")
    for _ in range(3):
        with meter.client() as client:
            client.script_flush()
        assert lone_web.chat(bob).status_code == 200


def test_while_the_ledger_lags_bob_waits_before_alice_does(
    lone_web: Web, person: Callable[..., Person], meter: MeterServer
) -> None:
    alice, bob = person("Alice", "pro"), person("Bob")
    assert lone_web.chat(alice).status_code == 200
    streams = {keys_of(str(who.account.pk)).stream for who in (alice, bob)}
    with meter.client() as client:
        for stream in streams:
            client.eval(FILL, 1, stream, counters.LONG_STREAM + 1)
        # Each process looks twice a second.
        eventually(lambda: lone_web.chat(bob).status_code == 503, "the process has seen it", 5)
        refused = lone_web.chat(bob)
        assert code(refused) == (503, "limiter_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert lone_web.chat(alice).status_code == 200
        for stream in streams:
            client.xtrim(stream, maxlen=0)


def ledger(person: Person) -> tuple[int, int]:
    """Return (calls, nano-units) that the ledger has of a person."""
    from billing.ledger import ledger_totals

    return ledger_totals(str(person.account.pk), PERIOD)
