"""`python -m gateway.runner [run|stop|status]`: what `make run` and `make stop` call.

Exit codes: 0 stopped when asked, or was running already; 1 something did not come up; 2 wrong usage;
3 something is missing on this machine (one line says what). `status`: 0 it runs, 1 it does not.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python cannot even read the rest
    sys.exit("Turnpike needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

import argparse
import os
import signal
import time

from gateway.runner.lock import RunLock, already_running, var_folder


def main() -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.runner", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", nargs="?", default="run", choices=("run", "stop", "status"))
    command = parser.parse_args().command
    return {"run": run, "stop": stop, "status": status}[command]()


def run() -> int:
    """Bring everything up and stay until Ctrl-C."""
    try:
        from gateway.runner import session
    except ModuleNotFoundError as missing:
        print(f"The package {missing.name} is not installed. Start Turnpike with: make run")
        return 3
    return session.run()


def stop() -> int:
    """Ask the running Turnpike to stop and wait until it has; at most 30 s."""
    lock = RunLock(var_folder(os.environ))
    holder = lock.holder()
    if holder is None:
        print("Turnpike is not running.")
        return 0
    if "pid" not in holder:
        print("Turnpike is only just starting. Try again in a second.")
        return 1
    os.kill(holder["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 30
    while lock.holder() is not None:
        if time.monotonic() > deadline:
            print(f"Turnpike has not stopped within 30 s. End it with: kill -9 {holder['pid']}")
            return 1
        time.sleep(0.1)
    print("Turnpike is stopped.")
    return 0


def status() -> int:
    """Say whether Turnpike runs here."""
    holder = RunLock(var_folder(os.environ)).holder()
    print("Turnpike is not running." if holder is None else already_running(holder))
    return 1 if holder is None else 0


if __name__ == "__main__":
    sys.exit(main())
