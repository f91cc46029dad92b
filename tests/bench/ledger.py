"""The ledger: events a second from the stream into PostgreSQL, and how roll-up, closing and the usage page grow.

Exit code 0: every check passed. 1: a check failed. 2: the bench could not run; one line says why.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import ledger_report as report
from tests.bench.machine import here
from tests.bench.processes import BENCH_DIR, ROOT, BenchError, need
from tests.bench.turnpike import engines

_PAGE = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge; see the module's docstring for the exit codes."""
    options = _parser().parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        need("taskset")
        figures = _measure(options)
    except BenchError as problem:
        print(f"The bench could not run. {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 2
    return _say(figures, options.page)


def _say(figures: dict[str, object], write: bool) -> int:
    """Print table, checks and JSON, write the page if wanted; return the exit code."""
    print("\n".join(report.table(figures)))
    judged = report.checks(figures)
    for held, sentence in judged:
        print(f"{'pass' if held else 'FAIL'}  {sentence}")
    print(json.dumps(figures | {"exponents": report.exponents(figures)}))
    if write:
        _PAGE.write_text(report.page(figures, _PAGE.read_text()))
    failed = sum(not held for held, _ in judged)
    print(f"{len(judged) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger", description=__doc__)
    parser.add_argument("--drained", type=int, default=100_000, help="events through the stream (100000)")
    parser.add_argument(
        "--sizes", default="100000,1000000", help="events of one account, ascending (100000,1000000)"
    )
    parser.add_argument(
        "--busy", default="100000,1000000", help="calls of one account in an hour, ascending (100000,1000000)"
    )
    parser.add_argument("--accounts", default="1000,10000", help="accounts with ten events each (1000,10000)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats the events of a run"
    )
    parser.add_argument("--page", action="store_true", help="write the ledger's part of docs/benchmarks.md")
    return parser


def _measure(options: argparse.Namespace) -> dict[str, object]:
    """Start the engines, measure each thing in a process of its own, stop everything. Raises BenchError."""
    facts = here()
    BENCH_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BENCH_DIR, prefix="run-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with engines(folder, upstream="http://127.0.0.1:1") as env:
            seed = options.seed
            drained = _work(env, "drain", options.drained, seed)
            sizes = [_work(env, "grow", size, seed) for size in _numbers(options.sizes)]
            busy = [_work(env, "busy", calls, seed) for calls in _numbers(options.busy)]
            many = [_work(env, "many", accounts, seed) for accounts in _numbers(options.accounts)]
    return facts | {"seed": seed, "drain": drained, "sizes": sizes, "busy": busy, "many": many}


def _work(env: dict[str, str], kind: str, number: int, seed: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.bench.ledger_work", kind, str(number), str(seed)]
    print(f"{kind} {number:,}", flush=True)
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"tests.bench.ledger_work {kind} failed: its words stand above.")
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    sys.exit(main())
