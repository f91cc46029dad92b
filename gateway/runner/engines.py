"""One engine as a process of its own: `python -m gateway.runner.engines db|meter|cache [--fast]`.

Serves the address that DATABASE_URL, METER_REDIS_URL or REDIS_URL names: it prepares the data folder under
`var/` and then becomes the engine. The Procfile, `make run` and the tests all start engines this way.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from gateway.runner import postgres, valkey
from gateway.runner.environment import make_plan, read_dotenv
from gateway.runner.lock import var_folder
from gateway.runner.processes import die_with_parent
from gateway.runner.wheels import EngineError


def become(kind: str, url: str, var: Path, *, fast: bool = False) -> None:
    """Prepare the engine `kind` and turn this process into it; returns only by raising."""
    if kind != "db":
        argv = valkey.prepare(kind, url, var / kind)
    else:
        argv = postgres.prepare(url, var / "db", fast=fast)
        account = postgres.account()
        if account:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            die_with_parent(signal.SIGINT)  # changing the user forgot it
        os.chdir(var / "db")
    os.execv(argv[0], argv)  # noqa: S606 - no shell is the point


def main() -> int:
    """`python -m gateway.runner.engines db|meter|cache [--fast]`."""
    parser = argparse.ArgumentParser(prog="python -m gateway.runner.engines", description=__doc__)
    parser.add_argument("kind", choices=("db", "meter", "cache"))
    parser.add_argument("--fast", action="store_true", help="PostgreSQL without fsync: for tests only")
    options = parser.parse_args()
    read_dotenv()
    variable = {"db": "DATABASE_URL", "meter": "METER_REDIS_URL", "cache": "REDIS_URL"}[options.kind]
    url = os.environ.get(variable) or make_plan(os.environ).env[variable]
    try:
        print(f"serving {variable} from {var_folder(os.environ) / options.kind}", flush=True)
        become(options.kind, url, var_folder(os.environ), fast=options.fast)
    except EngineError as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
