"""Fixtures for tests against the whole thing: a real web process, real Celery, a real or a scripted upstream.

What these tests write is committed, since other processes must see it. They use no `db` fixture, so
pytest-django runs them after every test that does, and they make their own people, so they do not meet.
"""

import asyncio
import json
import os
import signal
import ssl
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases
from pytest_django import DjangoDbBlocker

from gateway import counters
from gateway.ledger_writer import drain_usage
from gateway.runner.lock import ROOT
from gateway.runner.procfile import read
from gateway.seeding import seed_catalog
from gateway.usage_stream import UsageStream
from tests.factories import CHAT_MODEL, Person, make_person
from tests.meter_cluster import MeterCluster
from tests.meter_server import MeterServer
from tests.processes import Process as Process  # tests import it from here
from tests.processes import answers, program_environment, upstream_process, web_process
from tests.processes import any_port as any_port

SILENCE_SECONDS = 2
# No call here is encrypted, and reading the machine's certificates anew would take longer than the call.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Web:
    """A web process that answers."""

    url: str
    process: Process

    def post(self, path: str, key: str | None, body: Any, **options: Any) -> httpx2.Response:
        """Make a call."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers |= {"Content-Type": "application/json"} | options.pop("headers", {})
        url = self.url + path
        return httpx2.post(url, content=content, headers=headers, timeout=30, verify=PLAIN, **options)

    def chat(self, person: Person, text: str = "say 5", **fields: Any) -> httpx2.Response:
        """Have a chat of one message."""
        return self.post("/v1/chat/completions", person.secret, chat_body(text, **fields))


@dataclass(frozen=True)
class FakeUpstream:
    """The scripted upstream, as a witness."""

    url: str

    def seen(self) -> dict[str, Any]:
        """Return what it counted."""
        with urllib.request.urlopen(self.url + "/seen", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def chat_body(text: str = "say 5", **fields: Any) -> dict[str, Any]:
    """Return a chat of one message to the local chat model."""
    return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 64} | fields


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait until `condition` holds; fail with `what` if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def with_meter(work: Callable[[counters.Counters, UsageStream], Any]) -> Any:
    """Run async `work` on the meter, from outside the web process."""

    async def run() -> Any:
        client = counters.connect(settings.METER_REDIS_URL, timeout=5.0)
        try:
            return await work(counters.Counters(client), UsageStream(client))
        finally:
            await client.aclose()

    return asyncio.run(run())


def record_usage() -> None:
    """Bring everything that was settled into the ledger, and return when it is committed there.

    The worker of `background` lives to the end of the run and takes entries too. What it has in hand is no
    longer new, and not yet a row; an entry leaves the stream only after its commit.
    """

    def is_recorded() -> bool:
        async_to_sync(drain_usage)()
        return bool(with_meter(lambda meter, stream: stream.backlog()) == 0)

    eventually(is_recorded, "the ledger has every call", 30)


def open_holds() -> int:
    """Return how many holds are open."""
    found: int = with_meter(lambda meter, stream: meter.open_holds())
    return found


def used(person: Person, period: str) -> dict[str, int]:
    """Return what the meter counts for a person's account."""
    found: dict[str, int] = with_meter(lambda meter, stream: meter.usage_of(str(person.account.pk), period))
    return found


@pytest.fixture(scope="session")
def live_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, str]]:
    """The test database with the price list committed; yields the environment of processes that use it."""
    with django_db_blocker.unblock():
        if not str(connection.settings_dict["NAME"]).startswith("test_"):
            # pytest-django makes the database only when some collected test asks for `db`.
            setup_databases(verbosity=0, interactive=False)
        seed_catalog()
        url = urlsplit(os.environ["DATABASE_URL"])
        name = str(connection.settings_dict["NAME"])
        yield program_environment(urlunsplit(url._replace(path=f"/{name}"))) | {
            "UPSTREAM_SILENCE_SECONDS": str(SILENCE_SECONDS),
            # A disk that other tests keep busy is not a meter that is away.
            "METER_TIMEOUT_SECONDS": "5",
        }


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeUpstream]:
    """The scripted upstream."""
    url, process = upstream_process()
    eventually(lambda: answers(url + "/health"), "the fake upstream answers")
    yield FakeUpstream(url)
    process.kill()


@pytest.fixture(scope="session")
def web(live_database: dict[str, str], upstream: FakeUpstream) -> Iterator[Web]:
    """The gateway in front of the scripted upstream."""
    yield from start_web(live_database | {"MODEL_URL": upstream.url})


@pytest.fixture(scope="session")
def model_web(live_database: dict[str, str], model_url: str) -> Iterator[Web]:
    """The gateway in front of the real local model."""
    yield from start_web(live_database | {"MODEL_URL": model_url, "UPSTREAM_SILENCE_SECONDS": "60"})


def start_web(env: dict[str, str], ready: str = "/health/ready") -> Iterator[Web]:
    """Start a web process as the Procfile says, yield it, and stop it."""
    url, process = web_process(env)
    try:
        eventually(lambda: answers(url + ready), "the gateway is ready", 30)
        yield Web(url, process)
    except BaseException:
        print(process.said())
        raise
    finally:
        process.kill(signal.SIGTERM)


@pytest.fixture(scope="session")
def background(live_database: dict[str, str]) -> Iterator[dict[str, Process]]:
    """Celery's worker and beat, as the Procfile says."""
    commands = read(ROOT / "Procfile", live_database)
    processes = {name: Process(commands[name], live_database) for name in ("worker", "beat")}
    yield processes
    for process in processes.values():
        process.kill()


@pytest.fixture
def person(live_database: dict[str, str]) -> Callable[..., Person]:
    """Make people whose rows are committed: `person("Alice", "pro")`."""

    def make(name: str, plan: str = "free", **fields: Any) -> Person:
        return make_person(f"{name}-{uuid.uuid4().hex[:8]}", plan, **fields)

    return make


@pytest.fixture
def no_hold_stays(live_database: dict[str, str]) -> Iterator[None]:
    """Invariant I4: whatever a test did, its holds are gone soon after."""
    yield
    eventually(lambda: open_holds() == 0, "no hold is open")


@pytest.fixture
def meter() -> Iterator["redis.Redis"]:
    """The meter itself, for tests that look at it or break it."""
    with redis.Redis.from_url(settings.METER_REDIS_URL) as client:
        yield client


@pytest.fixture(scope="session")
def meter_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeterCluster]:
    """A Valkey Cluster of three nodes; `meter_cluster.url` is its METER_REDIS_URL."""
    with MeterCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def meter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeterServer]:
    """A meter that no web process uses: tests may empty it."""
    with MeterServer(tmp_path_factory.mktemp("meter")) as server:
        yield server


@pytest.fixture(params=["one server", "a cluster"])
def meter_url(request: pytest.FixtureRequest) -> str:
    """The address of a meter that may be emptied: the test runs on one server, and again on a cluster."""
    if request.param == "one server":
        server: MeterServer = request.getfixturevalue("meter_server")
        return server.url
    cluster: MeterCluster = request.getfixturevalue("meter_cluster")
    return cluster.url
