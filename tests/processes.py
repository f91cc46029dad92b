"""Our own processes in tests and fault runs: start one as the Procfile says, wait for it, send it signals."""

import os
import random
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.runner.environment import free_port
from gateway.runner.lock import ROOT
from gateway.runner.processes import Program, spawn
from gateway.runner.procfile import read

STOP_SECONDS = 30  # a web process takes 10 for settlements under way, and some seconds to close everything


def plain_shell() -> dict[str, str]:
    """The environment of somebody at a terminal: nothing in it is from the tests' engines and settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Process:
    """One process, in a group of its own so that a signal reaches its children too.

    `dies_with_us`: Linux ends it when the thread that started it ends, also by kill -9.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], folder: Path = ROOT, *, dies_with_us: bool = False
    ) -> None:
        self._argv, self._env, self._folder, self._dies_with_us = argv, env, folder, dies_with_us
        self.log = Path(os.environ["TURNPIKE_VAR"]) / f"{Path(argv[0]).name}-{uuid.uuid4().hex[:6]}.log"
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        with self.log.open("ab") as log:
            if self._dies_with_us:
                program = Program(self.log.stem, self._argv, death_signal=signal.SIGKILL)
                self._process = spawn(program, self._env, self._folder, stdout=log.fileno())
            else:
                self._process = subprocess.Popen(
                    self._argv,
                    env=self._env,
                    cwd=self._folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the whole group; wait for its end if the signal means one."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._wait()

    def _wait(self) -> None:
        """Wait for its end. One that does not end is a failure of this test, and killed: it must not spoil others."""
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"{self.log.stem} did not stop in {STOP_SECONDS} s: {self.said()}") from None

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text()[-4000:]


def any_port() -> int:
    """Return a free port, drawn at random: another test run on this machine looks for one too.

    Each worker of a run draws from a range of its own, so that none takes what another has just found free.
    """
    return free_port(random.choice(own_ports()))


def own_ports() -> range:
    """Return the ports from which this process draws: from 20,000 to 32,000, its share among the workers."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % workers
    share = 12_000 // workers
    first = 20_000 + number * share
    return range(first, first + share - 200)  # free_port looks at most 200 further


def answers(url: str) -> bool:
    """Tell whether a GET there gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def program_environment(database_url: str) -> dict[str, str]:
    """Return the environment of our programs: this process's, with the product's own settings."""
    return dict(os.environ) | {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "gateway.settings.base",
        "TURNPIKE_LOCAL": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def web_process(env: Mapping[str, str], *, dies_with_us: bool = False) -> tuple[str, Process]:
    """Start a web process as the Procfile says, at a free port; return its address too. It is not ready yet."""
    port = any_port()
    url = f"http://127.0.0.1:{port}"
    env = dict(env) | {"PORT": str(port), "SITE_URL": url}
    return url, Process(read(ROOT / "Procfile", env)["web"], env, dies_with_us=dies_with_us)


def upstream_process(*, dies_with_us: bool = False) -> tuple[str, Process]:
    """Start the scripted upstream at a free port; return its address too. It is not ready yet."""
    port = any_port()
    argv = [sys.executable, "-m", "tests.fakes.upstream", "--port", str(port)]
    return f"http://127.0.0.1:{port}", Process(argv, dict(os.environ), dies_with_us=dies_with_us)
