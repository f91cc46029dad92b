"""Run the matrix: `python -m tests.clients [--only NAME,…] [--list]`. Ends with `N passed, N failed`."""

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.clients import install, matrix
from tests.clients.cells import CLIENTS


def main() -> int:
    """Return 0 where every cell passes, 1 where one fails, 2 where it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--only", default="all", help="names of clients, with commas between")
    parser.add_argument("--list", action="store_true", help="print the clients and end")
    wanted = parser.parse_args()
    names = [client.name for client in CLIENTS]
    if wanted.list:
        print("\n".join(names))
        return 0
    unknown = [name for name in wanted.only.split(",") if name not in (*names, "all")]
    if unknown:
        parser.error(f"there is no client {unknown[0]!r}. The clients: {', '.join(names)}")
    os.environ["TURNPIKE_CLIENTS"] = wanted.only
    try:
        for client in matrix.selected():
            install.interpreter(client.packages)
    except install.NotInstalled as fault:
        print(fault, file=sys.stderr)
        return 2
    # The matrix counts in this process, so pytest finds its module here already.
    options = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["-qq", "--no-header", "--no-summary", "--tb=line", "-p", "no:cacheprovider"]
    ended = pytest.main([str(Path(__file__).with_name("test_matrix.py")), *options])
    passed, failed = matrix.counts()
    print(f"{passed} passed, {failed} failed")
    return int(bool(ended))


if __name__ == "__main__":
    sys.exit(main())
