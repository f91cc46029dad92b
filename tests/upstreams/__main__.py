"""Run the gateway before servers written by others: `python -m tests.upstreams [--only NAME,…] [--list]`.

Installs each server into var/upstreams/ first (network; transformers takes about 1 GB). Ends with
`N passed, N failed`. What cannot be installed is skipped and said; with REQUIRE_ALL=1 it fails.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.upstreams import rows
from tests.upstreams.servers import SERVERS


def main() -> int:
    """Return 0 where every step passes, 1 where one fails, 2 for arguments that mean nothing."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.upstreams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [server.name for server in SERVERS]
    parser.add_argument("--only", default="all", help=f"names with commas between: {', '.join(names)}")
    parser.add_argument("--list", action="store_true", help="print the upstreams and end")
    wanted = parser.parse_args()
    if wanted.list:
        print("\n".join(names))
        return 0
    unknown = [name for name in wanted.only.split(",") if name not in (*names, "all")]
    if unknown:
        parser.error(f"there is no upstream {unknown[0]!r}. The upstreams: {', '.join(names)}")
    os.environ["TURNPIKE_UPSTREAMS"] = wanted.only
    options = ["-qq", "--no-header", "--tb=short", "-rs", "--timeout=1500", "-p", "no:cacheprovider"]
    ended = pytest.main([str(Path(__file__).with_name("test_upstreams.py")), *options])
    counts = rows.counts()
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return int(bool(ended) or not counts["ok"])


if __name__ == "__main__":
    sys.exit(main())
