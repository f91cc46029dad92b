"""A meter of one's own, for tests and fault runs that look at it, break it or empty it."""

import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import redis

from gateway.runner import valkey
from tests.processes import any_port


class MeterServer:
    """One Valkey as `make run` configures it. `with MeterServer(folder) as meter:` starts and ends it."""

    def __init__(self, folder: Path) -> None:
        port = any_port()
        self.url = f"redis://:{secrets.token_hex(8)}@127.0.0.1:{port}/0"
        self._folder = folder / "meter"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "MeterServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it (again), with the data that it left; returns when it answers."""
        argv = valkey.prepare("meter", self.url, self._folder)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        _wait(lambda: valkey.is_ready(self.url), "the meter answers")

    def signal(self, what: signal.Signals) -> None:
        """Send a signal: SIGSTOP and SIGCONT pause it, SIGKILL and SIGTERM end it."""
        assert self._process is not None
        self._process.send_signal(what)
        if what in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait(timeout=15)

    def client(self) -> "redis.Redis":
        """Return a client of it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def stop(self) -> None:
        """End it, also while it is paused."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=15)


def _wait(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
