"""The world of a fault run: PostgreSQL, cache, meter, scripted upstream and web processes, all of its own.

With TURNPIKE_TEST_USE_ENV=1 the database and the cache are those of the environment, migrated and empty;
the meter is always the run's own, since that is what it breaks.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from urllib.request import urlopen

import django
import orjson

from gateway.runner.processes import wait_for
from tests.engines import forget_outside, make_engines
from tests.processes import Process, answers, program_environment, upstream_process, web_process
from tests.torture.meters import Meter, meter
from tests.torture.run import CannotRun

READY_SECONDS = 60


@dataclass
class Web:
    """One web process."""

    url: str
    process: Process


@dataclass
class World:
    """Everything that runs. `ledger` is tests/torture/ledger.py, which needs Django to be set up first."""

    meter: Meter
    upstream_url: str
    env: dict[str, str]
    ledger: ModuleType
    webs: list[Web] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """The addresses of the web processes."""
        return [web.url for web in self.webs]

    def upstream_saw(self) -> dict[str, Any]:
        """What the scripted upstream counted; its `most_at_once` starts anew."""
        with urlopen(f"{self.upstream_url}/seen?fresh=1", timeout=10) as answer:
            return cast(dict[str, Any], orjson.loads(answer.read()))

    def add_web(self) -> None:
        """Start one more web process and wait until it answers calls."""
        self.webs.append(self._start_web())

    def replace_web(self, number: int) -> None:
        """Start a web process in the place of one that was killed."""
        self.webs[number] = self._start_web()

    def _start_web(self) -> Web:
        url, process = web_process(self.env, dies_with_us=True)
        web = Web(url, process)
        _wait(
            lambda: answers(f"{url}/health/ready"), lambda: f"A web process did not come up: {process.said()}"
        )
        return web

    def spool_files(self) -> list[Path]:
        """The spool as it lies on disk now."""
        return list((Path(self.env["TURNPIKE_VAR"]) / "spool").glob("*.jsonl"))


@contextmanager
def world(*, webs: int, cluster: bool, **env: str) -> Iterator[World]:
    """Start everything, yield it, and end it. `env` is for all processes, this one too."""
    forget_outside()
    with _folder() as folder, meter(folder, cluster=cluster) as own_meter:
        os.environ.update(env)
        os.environ["METER_REDIS_URL"] = own_meter.url
        ledger = _set_up_django()
        with _upstream() as upstream_url:
            settings = program_environment(os.environ["DATABASE_URL"])
            settings |= {"MODEL_URL": upstream_url, "TURNPIKE_VAR": str(folder)}
            made = World(own_meter, upstream_url, settings, ledger)
            try:
                for _ in range(webs):
                    made.add_web()
                yield made
            finally:
                for web in made.webs:
                    web.process.kill(signal.SIGKILL)


@contextmanager
def _folder() -> Iterator[Path]:
    """Start database and cache, if they are to be our own; yield a folder for everything else."""
    if not os.environ.get("TURNPIKE_TEST_USE_ENV"):
        engines = make_engines()
        engines.start(("db", "cache"))
        yield engines.folder
        engines.stop()
        return
    with tempfile.TemporaryDirectory(prefix="turnpike-torture-") as folder:
        os.environ["TURNPIKE_VAR"] = folder
        yield Path(folder)


def _set_up_django() -> ModuleType:
    """Give this process the models, on a database that is migrated and has a price list."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings.test"
    django.setup()
    from tests.torture import ledger  # its models exist from here on

    ledger.prepare()
    return ledger


@contextmanager
def _upstream() -> Iterator[str]:
    url, process = upstream_process(dies_with_us=True)
    try:
        _wait(lambda: answers(f"{url}/health"), lambda: f"The upstream did not come up: {process.said()}")
        yield url
    finally:
        process.kill(signal.SIGKILL)


def _wait(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    if not wait_for(condition, READY_SECONDS):
        raise CannotRun(otherwise())
