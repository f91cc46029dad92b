"""The embedded engines come up again whatever happened to them, with what they had promised to keep."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.runner import postgres, valkey
from gateway.runner.environment import make_plan
from gateway.runner.lock import ROOT
from gateway.runner.processes import wait_for
from gateway.runner.wheels import EngineError


class Host:
    """A folder with engines in it, which may be killed."""

    def __init__(self, var: Path) -> None:
        plan = make_plan({"TURNPIKE_VAR": str(var), "PATH": os.environ["PATH"]})
        self.var, self.env = var, {**plan.env, "TURNPIKE_IGNORE_ENV_FILES": "1"}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, kind: str) -> subprocess.Popen[bytes]:
        """Start an engine and wait until it answers."""
        command = [sys.executable, "-m", "gateway.runner.engines", kind]
        with (self.var / f"{kind}.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.env, cwd=ROOT, stdout=log, stderr=log)
        self.running.append(process)
        assert wait_for(lambda: process.poll() is not None or self.answers(kind, process.pid), 90)
        assert process.poll() is None, (self.var / f"{kind}.log").read_text()
        return process

    def answers(self, kind: str, pid: int) -> bool:
        """Whether it does its work."""
        if kind == "db":
            return postgres.is_ready(self.var / "db", pid)
        return valkey.is_ready(self.env["METER_REDIS_URL" if kind == "meter" else "REDIS_URL"])

    def ask(self, query: str) -> object:
        """One value from PostgreSQL, committed."""
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A machine with an empty folder."""
    host = Host(tmp_path)
    yield host
    for process in host.running:
        process.kill()
        process.wait()


def test_the_meter_keeps_what_it_answered_when_it_is_killed(host: Host) -> None:
    meter = host.start("meter")
    with redis.Redis.from_url(host.env["METER_REDIS_URL"]) as client:
        for number in range(50):
            client.xadd("usage", {"number": number})
    meter.kill()
    meter.wait()
    host.start("meter")
    with redis.Redis.from_url(host.env["METER_REDIS_URL"]) as client:
        assert client.xlen("usage") == 50
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_mallory_on_the_same_machine_does_not_get_into_the_meter_without_its_password(host: Host) -> None:
    host.start("meter")
    port = int(host.env["METER_REDIS_URL"].rpartition(":")[2].partition("/")[0])
    with (
        redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.get("anything")


def test_the_cache_evicts_only_what_expires_and_keeps_the_brokers_queues(host: Host) -> None:
    host.start("cache")
    with redis.Redis.from_url(host.env["REDIS_URL"]) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert client.config_get("appendonly") == {"appendonly": "no"}


def test_the_ledger_survives_a_kill_and_a_process_id_that_somebody_else_has_now(host: Host) -> None:
    ledger = host.start("db")
    host.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    ledger.kill()
    ledger.wait()
    file = host.var / "db" / "data" / "postmaster.pid"
    stale = file.read_text().split("\n", 1)[1]
    file.write_text(f"{os.getppid()}\n{stale}")
    (host.var / "db" / ".s.PGSQL.5432.lock").write_text(f"{os.getppid()}\n{stale}")
    host.start("db")
    assert host.ask("SELECT answer FROM kept") == 42
    assert host.ask("SHOW fsync") == "on"


def test_a_ledger_whose_making_was_interrupted_is_made_anew(host: Host) -> None:
    half_made = host.var / "db" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    host.start("db")
    assert host.ask("SELECT current_database()") == "turnpike"
    assert not half_made.exists()


def test_the_ledger_listens_on_no_network_address(host: Host) -> None:
    host.start("db")
    assert host.ask("SHOW listen_addresses") == ""
    assert host.ask("SHOW unix_socket_permissions") == "0700"


def test_a_ledger_of_another_version_is_not_touched(host: Host) -> None:
    data = host.var / "db" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EngineError, match="was made by PostgreSQL 17, this is 18"):
        postgres.prepare(host.env["DATABASE_URL"], host.var / "db")
