"""The gateway before each server in turn."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from gateway.runner.lock import ROOT
from tests.factories import Person
from tests.live import Process, Web, any_port, eventually
from tests.upstreams import install, rows
from tests.upstreams.servers import Server, Started

START_SECONDS = 120


@dataclass(frozen=True)
class Behind:
    """A server behind the gateway: its own address, and the gateway's."""

    server: Server
    url: str
    web: Web
    environment: dict[str, str]

    def ask(self, person: Person, body: Any) -> httpx2.Response:
        """Chat with it through the gateway."""
        return self.web.post("/v1/chat/completions", person.secret, body | {"model": self.server.model})

    def ask_directly(self, body: Any) -> Any:
        """Chat with it past the gateway, and return its document."""
        answer = httpx2.post(
            f"{self.url}/v1/chat/completions", json=body | {"model": self.server.model}, timeout=60
        )
        return answer.json()

    def add(self) -> Any:
        """Add it as docs/upstreams.md says, and return what the command printed."""
        command = [sys.executable, "manage.py", "add_upstream", f"tests-{self.server.name}", "--json"]
        command += ["--dialect", "openai", "--url", self.url, "--model", self.server.model]
        command += ["--price-input", "0.10", "--price-output", "0.30"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def behind(
    request: pytest.FixtureRequest, live_database: dict[str, str], model_web: Web, model_url: str
) -> Iterator[Behind]:
    """The server that the test is about, started and added. Skipped loudly where it cannot be installed."""
    server: Server = request.param
    if server.program is None:
        yield Behind(server, model_url, model_web, live_database)
        return
    port = any_port()
    try:
        started = server.program(port)
    except install.NotInstalled as failure:
        (pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip)(f"{server.name}: {failure}")
    url = f"http://127.0.0.1:{port}"
    with _running(started, url):
        yield Behind(server, url, model_web, live_database)


@contextmanager
def _running(started: Started, url: str) -> Iterator[None]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    process = Process(started.argv, env | dict(started.env), started.folder)
    try:
        eventually(lambda: is_there(url), f"{started.argv[0]} answers", START_SECONDS)
        yield
    except BaseException:
        print(process.log.read_text()[-3000:])
        raise
    finally:
        process.kill()


def is_there(url: str) -> bool:
    """Tell whether a server is ready."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a step went."""
    report = yield
    step, call = item.get_closest_marker("step"), getattr(item, "callspec", None)
    if step and call and (report.when == "call" or not report.passed):
        verdict = "skipped" if report.skipped else "ok" if report.passed else "FAILED"
        rows.note(call.params["behind"].name, step.args[0], verdict)
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Say what `step` is."""
    config.addinivalue_line("markers", "step(name): the column of this test in what tests.upstreams prints")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows, where the command asked for them."""
    if os.environ.get("TURNPIKE_UPSTREAMS"):
        for line in rows.lines():
            terminalreporter.write_line(line)
