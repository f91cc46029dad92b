"""What every process of a run is told, and what is kept for the next one."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import environ
import pytest

from gateway.runner.environment import make_plan, socket_folder, write_demo_env, write_run_env


def given(var: Path, **more: str) -> dict[str, str]:
    """Dana's environment."""
    return {"TURNPIKE_VAR": str(var), "PATH": os.environ["PATH"], **more}


def test_without_an_env_file_everything_is_embedded(tmp_path: Path) -> None:
    plan = make_plan(given(tmp_path))
    assert plan.embedded == {"db", "meter", "cache", "model"}
    assert plan.url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("variable", "process"),
    [("DATABASE_URL", "db"), ("METER_REDIS_URL", "meter"), ("REDIS_URL", "cache"), ("MODEL_URL", "model")],
)
def test_danas_own_engine_replaces_the_embedded_one_and_no_other(
    tmp_path: Path, variable: str, process: str
) -> None:
    plan = make_plan(given(tmp_path, **{variable: "its-address"}))
    assert plan.embedded == {"db", "meter", "cache", "model"} - {process}
    assert plan.env[variable] == "its-address"


def test_danas_own_engine_may_be_named_in_a_file(tmp_path: Path) -> None:
    plan = make_plan(given(tmp_path, DATABASE_URL_FILE="/run/secrets/database"))
    assert "db" not in plan.embedded
    assert "DATABASE_URL" not in plan.env


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert "db" in make_plan(given(tmp_path, DATABASE_URL="")).embedded


def test_a_hugging_face_token_replaces_nothing(tmp_path: Path) -> None:
    assert "model" in make_plan(given(tmp_path, HF_TOKEN="hf_danas")).embedded


def test_addresses_and_secrets_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    names = ("DATABASE_URL", "METER_REDIS_URL", "REDIS_URL", "SECRET_KEY", "API_KEY_PEPPERS")
    first, second = make_plan(given(tmp_path)).env, make_plan(given(tmp_path)).env
    assert [first[name] for name in names] == [second[name] for name in names]


def test_meter_and_cache_listen_apart_and_want_a_password(tmp_path: Path) -> None:
    env = make_plan(given(tmp_path)).env
    meter, cache = urlsplit(env["METER_REDIS_URL"]), urlsplit(env["REDIS_URL"])
    assert meter.port != cache.port
    assert meter.hostname == "127.0.0.1"
    assert len(meter.password or "") >= 24


def test_danas_own_secret_key_wins(tmp_path: Path) -> None:
    assert make_plan(given(tmp_path, SECRET_KEY="danas")).env["SECRET_KEY"] == "danas"


def test_a_second_terminal_reads_the_same_addresses(tmp_path: Path) -> None:
    var = tmp_path / "a folder with spaces & more"
    plan = make_plan(given(var))
    write_run_env(plan)
    script = "import environ, os, sys; environ.Env.read_env(sys.argv[1]); print(os.environ['DATABASE_URL'])"
    command = [plan.env["PATH"].split(":")[0] + "/python", "-c", script, str(var / "run.env")]
    said = subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout.strip()
    assert said == plan.env["DATABASE_URL"]
    assert environ.Env.db_url_config(said)["OPTIONS"]["host"] == str(socket_folder(var))


def test_a_password_with_quotes_reaches_danas_shell_unharmed(tmp_path: Path) -> None:
    demo = dict.fromkeys(("pro_key", "free_key", "enterprise_key", "admin_user"), "x")
    write_demo_env(make_plan(given(tmp_path)), {**demo, "admin_password": """it's "$HOME" `x`"""})
    command = ["sh", "-c", '. "$0"; printf %s "$TURNPIKE_ADMIN_PASSWORD"', str(tmp_path / "demo.env")]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout == """it's "$HOME" `x`"""
    )


def test_a_socket_path_that_the_system_cannot_take_moves_to_tmp(tmp_path: Path) -> None:
    assert socket_folder(tmp_path / ("x" * 120)).parent == Path("/tmp")
    assert socket_folder(Path("/srv/var")) == Path("/srv/var/db")
