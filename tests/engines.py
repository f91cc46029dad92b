"""pytest plugin: every test run gets PostgreSQL and two Valkeys of its own, and a local model when asked.

Loaded by `-p tests.engines` (pyproject.toml) before Django reads its settings, because it sets the addresses
in the environment. The engines are those of `make run`, in a temporary folder, beside a running one; with `-n`
each worker has its own. They end with pytest, also when it is killed. TURNPIKE_TEST_USE_ENV=1 uses the addresses
that are set already.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.runner import postgres, valkey
from gateway.runner.environment import make_plan
from gateway.runner.lock import ROOT
from gateway.runner.processes import Program, spawn, stop, wait_for

_PREFIX = "turnpike-tests-"
_TOLD = ("DATABASE_URL", "METER_REDIS_URL", "REDIS_URL", "MODEL_URL", "SECRET_KEY", "API_KEY_PEPPERS")
# A developer's shell may have these; no test talks to the outside.
_UNWANTED = (
    "HF_TOKEN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "STRIPE_TAX", "EMAIL_URL",
    "SITE_URL", "DEBUG",
)  # fmt: skip

_NOBODY = {
    "DATABASE_URL": "postgres://turnpike@127.0.0.1:1/turnpike",
    "METER_REDIS_URL": "redis://127.0.0.1:1/0",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "MODEL_URL": "http://127.0.0.1:1",
    "SECRET_KEY": "this-key-signs-nothing-it-only-lets-the-settings-be-read",
    "API_KEY_PEPPERS": "1:this-pepper-signs-nothing",
}


class Engines:
    """The processes of one test run, and the folder that holds their data and logs."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.seconds = 0.0  # how long the start took
        self._running: dict[str, tuple[Program, subprocess.Popen[bytes]]] = {}
        self._env: dict[str, str] = {}

    def start(self, names: Sequence[str] = ("db", "meter", "cache")) -> None:
        """Start PostgreSQL and both Valkeys (or those named) and put their addresses into os.environ."""
        began = time.monotonic()
        own = {"TURNPIKE_VAR": str(self.folder), "PATH": os.environ.get("PATH", "")}
        self._env = {**os.environ, **make_plan(own).env, "TURNPIKE_IGNORE_ENV_FILES": "1"}
        for name in names:
            fast = ["--fast"] if name == "db" else []
            self.launch(name, [sys.executable, "-m", "gateway.runner.engines", name, *fast])
        for name in names:
            self.wait(name, partial(self._is_ready, name))
        os.environ.update({name: self._env[name] for name in _TOLD})
        self.seconds = time.monotonic() - began

    def _is_ready(self, name: str) -> bool:
        if name == "db":
            return postgres.is_ready(self.folder / "db", self._running["db"][1].pid)
        return valkey.is_ready(self._env["METER_REDIS_URL" if name == "meter" else "REDIS_URL"])

    def launch(self, name: str, argv: list[str]) -> None:
        """Start one process; what it says goes to <folder>/<name>.log."""
        program = Program(name, argv, stop_seconds=3.0)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = (program, spawn(program, self._env, ROOT, stdout=log.fileno()))

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until it is ready. Raises pytest.UsageError with the end of its log when it is not."""
        process = self._running[name][1]
        wait_for(lambda: ready() or process.poll() is not None, seconds)
        if not ready():
            tail = (self.folder / f"{name}.log").read_text()[-2000:]
            raise pytest.UsageError(f"{name} did not come up for the tests:\n{tail}")

    def stop(self) -> None:
        """End everything and remove the folder. Calling it again does no harm."""
        stop(list(self._running.values()))
        self._running.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


_engines: Engines | None = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Start before pytest-django, whose own hook reads the settings.

    With `-n` (pytest-xdist) each worker loads this plugin and starts engines of its own; the process that hands out
    the tests runs none, so it gets addresses at which nobody listens.
    """
    forget_outside()
    if _only_hands_out(early_config):
        _refuse_shared_engines()
        os.environ.update(_NOBODY)
    elif not os.environ.get("TURNPIKE_TEST_USE_ENV"):
        _start_own()
    return (yield)


def _only_hands_out(config: pytest.Config) -> bool:
    return (
        bool(getattr(config.known_args_namespace, "numprocesses", 0))
        and "PYTEST_XDIST_WORKER" not in os.environ
    )


def _refuse_shared_engines() -> None:
    if os.environ.get("TURNPIKE_TEST_USE_ENV"):
        raise pytest.UsageError(
            "TURNPIKE_TEST_USE_ENV=1 names one set of engines, which workers cannot share: run with -n0 "
            "(make test WORKERS=0)."
        )


def forget_outside() -> None:
    """Take from the environment what would make a test talk to the outside."""
    os.environ["TURNPIKE_IGNORE_ENV_FILES"] = "1"
    for name in _UNWANTED:
        os.environ.pop(name, None)


def make_engines() -> Engines:
    """Return engines that are not started yet, in a new folder, and end with this process."""
    _remove_folders_of_killed_runs()
    engines = Engines()
    atexit.register(engines.stop)  # pytest_unconfigure is not called when the start itself fails
    os.environ["TURNPIKE_VAR"] = str(engines.folder)
    return engines


def _start_own() -> None:
    global _engines
    _engines = make_engines()
    _engines.start()


def pytest_report_header() -> str:
    """One line at the top of the run."""
    if os.environ.get("DATABASE_URL") == _NOBODY["DATABASE_URL"]:
        return "engines: PostgreSQL and two Valkeys for each worker"
    if _engines is None:
        return "engines: those of the environment (TURNPIKE_TEST_USE_ENV)"
    return f"engines: PostgreSQL and two Valkeys, up in {_engines.seconds:.1f} s, in {_engines.folder}"


def pytest_unconfigure() -> None:
    """The end of the run, also after Ctrl-C."""
    if _engines is not None:
        _engines.stop()


@pytest.fixture(scope="session")
def model_url() -> str:
    """The address of the real local model, started on first use; settings.MODEL_URL is the same."""
    url = os.environ["MODEL_URL"]
    if _engines is not None:
        port = str(urlsplit(url).port)
        _engines.launch("model", [sys.executable, "-m", "gateway.local_model", "--port", port])
        _engines.wait("model", lambda: _is_healthy(url))
    return url


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _remove_folders_of_killed_runs() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
