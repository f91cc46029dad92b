"""Turnpike as `make run` starts it: its engines, its `web` line from the Procfile, a key with every limit set.

Not started: the local model (nginx stands in its place), the Celery worker and beat (they are not the
call; the usage stream is drained once, at the end).
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gateway.runner import procfile, valkey
from gateway.runner.environment import make_plan
from gateway.runner.processes import Program
from tests.bench.load import Target
from tests.bench.processes import ROOT, answers, bare_environment, free_port, run, serving

_PROGRAMS = Path(sys.executable).parent  # uvicorn lies beside python


@dataclass(frozen=True)
class Turnpike:
    """A running installation of its own: engines, one web worker, an account that every limit is checked for."""

    target: Target
    env: dict[str, str]
    seeded: int  # events that the seed wrote

    @contextmanager
    def two_workers(self, folder: Path, cores: tuple[int, int]) -> Iterator[Target]:
        """Run a web process with two workers on both cores, on the same engines."""
        env = self.env | {"PORT": str(free_port()), "WEB_WORKERS": "2"}
        web = Program("web-2", procfile.read(ROOT / "Procfile", env)["web"])
        url = f"http://127.0.0.1:{env['PORT']}"
        ready, both = answers(f"{url}/health/ready"), ",".join(map(str, cores))
        with serving(web, core=both, ready=ready, folder=folder, env=env) as pid:
            yield Target("turnpike", url, self.target.key, pid)

    def recorded(self) -> int:
        """Drain the usage stream into the ledger; how many calls answered 200 it has a final event of."""
        _manage(self.env, "drain_usage")
        return _answered_calls(self.env["DATABASE_URL"]) - self.seeded


@contextmanager
def turnpike(folder: Path, *, upstream: str, core: int, others: int) -> Iterator[Turnpike]:
    """Run web on `core` in front of `upstream`, PostgreSQL and both Valkeys on `others`."""
    with engines(folder, upstream=upstream, core=others) as env, ExitStack() as stack:
        key = json.loads(_manage(env, "seed", "--json"))["enterprise_key"]
        _set_every_limit(env["DATABASE_URL"])
        web = Program("web", procfile.read(ROOT / "Procfile", env)["web"])
        url = f"http://127.0.0.1:{env['PORT']}"
        ready = answers(f"{url}/health/ready")
        pid = stack.enter_context(serving(web, core=core, ready=ready, folder=folder, env=env))
        yield Turnpike(Target("turnpike", url, key, pid), env, _answered_calls(env["DATABASE_URL"]))


@contextmanager
def engines(folder: Path, *, upstream: str, core: int | str = "0-1") -> Iterator[dict[str, str]]:
    """Run PostgreSQL and both Valkeys on `core`, migrated; yields the environment of programs that use them."""
    env = _environment(folder, upstream)
    with ExitStack() as stack:
        for name, ready in _engines(env).items():
            argv = [sys.executable, "-m", "gateway.runner.engines", name]
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for its clients.
            engine = Program(name, argv, stop_signal=signal.SIGINT if name == "db" else signal.SIGTERM)
            stack.enter_context(serving(engine, core=core, ready=ready, folder=folder, env=env))
        _manage(env, "migrate")
        yield env


def _environment(folder: Path, upstream: str) -> dict[str, str]:
    """What `make run` would set, with everything local in `folder`, whatever .env or the shell say."""
    set_here = {
        "TURNPIKE_VAR": str(folder / "var"),
        "TURNPIKE_IGNORE_ENV_FILES": "1",
        "MODEL_URL": upstream,
        "PORT": str(free_port()),
        "WEB_WORKERS": "1",
        "PATH": f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}",
    }
    return make_plan(bare_environment() | set_here).env


def _engines(env: Mapping[str, str]) -> dict[str, Callable[[], bool]]:
    """Each engine of the Procfile, and how to ask whether it is up."""
    return {
        "db": lambda: _takes_connections(env["DATABASE_URL"]),
        "meter": lambda: valkey.is_ready(env["METER_REDIS_URL"]),
        "cache": lambda: valkey.is_ready(env["REDIS_URL"]),
    }


def _manage(env: Mapping[str, str], *arguments: str) -> str:
    return run([sys.executable, "manage.py", *arguments], env=env, timeout=600)


def _takes_connections(database_url: str) -> bool:
    try:
        with psycopg.connect(database_url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _set_every_limit(database_url: str) -> None:
    """Give Enterprise a limit of every kind, high enough to bite nobody: what is not set is not checked."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE billing_planversion AS v SET requests_per_minute = 100000000, tokens_per_minute = 2000000000,"
            " concurrency = 100000, calls_per_period = 2000000000, included_credit_nano = 10^15, overage = false"
            " FROM billing_plan AS p WHERE p.id = v.plan_id AND p.slug = 'enterprise'"
        )


def _answered_calls(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(DISTINCT request_id) FROM billing_usageevent WHERE kind = 'final' AND status = 200"
        ).fetchone()
    return int(row[0]) if row else 0
