"""From `.env` and the process environment to the variables that every process of this run gets.

Order, first wins: the process environment, `.env`, what is generated here. The same order as
gateway/settings/env.py, and the same parser.
"""

import os
import secrets
import shlex
import socket
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import environ

from gateway.runner import fake_stripe
from gateway.runner.lock import ROOT, var_folder

# Which variable replaces which embedded process.
REPLACES = {"DATABASE_URL": "db", "METER_REDIS_URL": "meter", "REDIS_URL": "cache", "MODEL_URL": "model"}
# A Unix socket's address has room for 107 bytes on Linux and 103 on macOS, unix(7).
_SOCKET_PATH_LIMIT = 103
_PORTS = range(20_000, 30_000)  # below the range from which systems take ports for outgoing connections


@dataclass(frozen=True)
class Plan:
    """What this run starts, and where everything is."""

    env: dict[str, str]  # the whole environment of every child
    embedded: frozenset[str]  # of db, meter, cache, model
    url: str  # where people find it, without a slash at the end

    @property
    def var(self) -> Path:
        """The folder that holds everything local."""
        return Path(self.env["TURNPIKE_VAR"])


def read_dotenv() -> None:
    """Put `.env` into this process's environment; what is set already stays."""
    if (ROOT / ".env").is_file() and not os.environ.get("TURNPIKE_IGNORE_ENV_FILES"):
        environ.Env.read_env(ROOT / ".env")


def make_plan(given: Mapping[str, str]) -> Plan:
    """Decide what is embedded and where it listens. Writes nothing but a new `var/secrets.env`."""
    var = var_folder(given)
    port = given.get("PORT") or "8000"
    url = f"http://127.0.0.1:{port}"
    kept = _secrets(var / "secrets.env")
    embedded = {
        variable for variable in REPLACES if not (given.get(variable) or given.get(f"{variable}_FILE"))
    }
    defaults = {
        "SECRET_KEY": kept["SECRET_KEY"],
        "API_KEY_PEPPERS": kept["API_KEY_PEPPERS"],
        "TURNPIKE_LOCAL": "true",
        "SITE_URL": url,
        "WEB_STOP_SECONDS": "6",  # Ctrl-C on a laptop does not wait for long streams
        "PYTHONUNBUFFERED": "1",
        # Celery warns about pickle when root runs it; only JSON is accepted here.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
    }
    fixed = {
        "TURNPIKE_VAR": str(var),
        "PORT": port,
        "DJANGO_SETTINGS_MODULE": "gateway.settings.base",
        # The Procfile says `python` and `uvicorn`: they are this virtual environment's.
        "PATH": f"{Path(sys.executable).parent}:{given.get('PATH', os.defpath)}",
    }
    addresses = _addresses(var, embedded, kept["VALKEY_PASSWORD"])
    if fake_stripe.is_wanted(given):
        addresses |= fake_stripe.variables(free_port(int(addresses["MODEL_PORT"]) + 1))
    named = {name: value for name, value in given.items() if value}  # an empty variable counts as unset
    env = {**defaults, **named, **fixed, **addresses}
    return Plan(env=env, embedded=frozenset(REPLACES[name] for name in embedded), url=url)


def write_run_env(plan: Plan) -> None:
    """Write `var/run.env`: what `manage.py` in a second terminal needs to meet the same engines."""
    names = (*REPLACES, "SECRET_KEY", "API_KEY_PEPPERS", "SITE_URL", "TURNPIKE_LOCAL")
    if fake_stripe.is_wanted(plan.env):
        names += ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE")
    values = {name: plan.env[name] for name in names if name in plan.env}
    write_private(plan.var / "run.env", "".join(f"{name}={value}\n" for name, value in values.items()))


def write_demo_env(plan: Plan, demo: Mapping[str, str]) -> None:
    """Write `var/demo.env` in shell form: `set -a; . var/demo.env` gives the address and the demo keys."""
    values = {
        "TURNPIKE_URL": plan.url,
        "TURNPIKE_PRO_KEY": demo["pro_key"],
        "TURNPIKE_FREE_KEY": demo["free_key"],
        "TURNPIKE_ENTERPRISE_KEY": demo["enterprise_key"],
        "TURNPIKE_ADMIN_USER": demo["admin_user"],
        "TURNPIKE_ADMIN_PASSWORD": demo["admin_password"],
    }
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    write_private(plan.var / "demo.env", text)


def write_private(file: Path, text: str) -> None:
    """Replace a file by one that only its owner can read, whole or not at all."""
    descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # mkstemp: mode 0600
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    Path(fresh).replace(file)


def free_port(preferred: int, taken: frozenset[int] = frozenset()) -> int:
    """The first free loopback port from `preferred` on. Raises OSError when 200 in a row are taken."""
    for port in range(preferred, preferred + 200):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {preferred} and {preferred + 199}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _addresses(var: Path, embedded: set[str], password: str) -> dict[str, str]:
    """Where the embedded processes listen: the same at every start, unless somebody sits there."""
    first = _PORTS[zlib.crc32(str(var).encode()) % (len(_PORTS) - 300)]
    meter = free_port(first)
    cache = free_port(meter + 1)
    model = free_port(cache + 1)
    every = {
        "DATABASE_URL": f"postgres://postgres@/turnpike?host={quote(str(socket_folder(var)))}",
        "METER_REDIS_URL": f"redis://:{password}@127.0.0.1:{meter}/0",
        "REDIS_URL": f"redis://:{password}@127.0.0.1:{cache}/0",
        "MODEL_URL": f"http://127.0.0.1:{model}",
    }
    chosen = {name: value for name, value in every.items() if name in embedded}
    return {**chosen, "MODEL_PORT": str(model)}


def socket_folder(var: Path) -> Path:
    """Where PostgreSQL's socket goes: beside its data, or under /tmp when that path is too long."""
    folder = var / "db"
    if len(bytes(folder / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT:
        return folder
    return Path("/tmp") / f"turnpike-{zlib.crc32(str(var).encode()):08x}"  # noqa: S108 - owner checked on use


def _secrets(file: Path) -> dict[str, str]:
    """Read `var/secrets.env`, made at the first start and kept: sessions and API keys depend on it."""
    kept = dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.is_file() else {}
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(32)}",
        "VALKEY_PASSWORD": secrets.token_urlsafe(24),
    }
    if not fresh.keys() <= kept.keys():
        kept = {**fresh, **kept}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, "".join(f"{name}={value}\n" for name, value in kept.items()))
    return kept
