"""Turnpike beside nginx, rolter, Portkey and LiteLLM: one core for the gateway, one for the load, one upstream.

Exit code 0: every check passed. 1: a check failed. 2: the bench could not run; one line says why.
"""

import argparse
import gc
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from tests.bench import machine, peers, report
from tests.bench.disk import synced_append_ms
from tests.bench.load import CONNECTIONS, Burst, Target, burst
from tests.bench.processes import BENCH_DIR, ROOT, BenchError, cores, memory_mb, need
from tests.bench.profiler import profiled
from tests.bench.report import Figures
from tests.bench.steady import latency
from tests.bench.streaming import Streams, batch, stream_upstream
from tests.bench.turnpike import Turnpike, turnpike
from tests.bench.upstream import nginx

PAGE = ROOT / "docs" / "benchmarks.md"
Figure = TypeVar("Figure")
NAMES = ("direct", "nginx", "turnpike", "rolter", "portkey", "litellm")
_PEERS: dict[str, peers.Peer] = {
    "nginx": peers.nginx_proxy,
    "relay": peers.relay,
    "rolter": peers.rolter,
    "portkey": peers.portkey,
    "litellm": peers.litellm,
}
# Without Portkey: 1.15 answers 500 to every stream under Node 20 ("TypeError: immutable", from undici).
_STREAMED = ("direct", "nginx", "relay", "turnpike", "rolter", "litellm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge; see the module's docstring for the exit codes."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops everything, as Ctrl-C does
    try:
        need("nginx", "wrk", "taskset")
        figures = _measure(options)
    except BenchError as problem:
        print(f"The bench could not run. {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 2
    return _print(figures, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateways", description=__doc__)
    parser.add_argument(
        "--rounds", type=_at_least_one, default=3, help="rounds of every kind, interleaved (3)"
    )
    parser.add_argument("--seconds", type=_at_least_one, default=4, help="length of a burst of calls (4)")
    parser.add_argument("--warmup", type=_at_least_one, default=2, help="seconds of calls before round 1 (2)")
    parser.add_argument("--only", help=f"some of {','.join(NAMES)}, with commas: fewer ratios are judged")
    parser.add_argument("--skip", default="", help="some of latency,streams,workers, with commas")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--profile", action="store_true", help="one more burst of Turnpike under py-spy")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("give a whole number of 1 or more")
    return number


def _measure(options: argparse.Namespace) -> Figures:
    """Start everything, measure one kind after the other, stop everything. Raises BenchError."""
    core, others = cores()
    wanted = options.only.split(",") if options.only else list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        raise BenchError(f"--only knows {', '.join(NAMES)}, and not {', '.join(unknown)}.")
    skipped = set(options.skip.split(","))
    BENCH_DIR.mkdir(parents=True, exist_ok=True)
    figures = Figures(facts=machine.facts(core, others, options) | peers.versions())
    figures.facts["synced_append_ms"] = synced_append_ms(BENCH_DIR)
    gc.disable()  # the clients of the latency run are this process
    with tempfile.TemporaryDirectory(dir=BENCH_DIR, prefix="run-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL and nginx may run as users of their own
        _calls(folder, wanted, skipped, options, figures, core=core, others=others)
        if "streams" not in skipped:
            _streams(folder, wanted, options, figures, core=core, others=others)
    return figures


def _calls(
    folder: Path, wanted: list[str], skipped: set[str], options: argparse.Namespace, figures: Figures,
    *, core: int, others: int,
) -> None:  # fmt: skip
    """Calls that are not streamed: as many as go, then at a fixed pace, then with two workers."""
    with ExitStack() as stack:
        upstream = stack.enter_context(nginx(folder, core=others))
        ours, targets = _start(stack, folder, [n for n in wanted if n != "direct"], upstream, core, others)
        targets = [Target("direct", upstream.url, "none", upstream.pid), *targets]
        for target in targets:
            _count(figures, target, burst(target, core=others, seconds=options.warmup))
            figures.memory[target.name] = memory_mb(target.pid)
        for number in range(1, options.rounds + 1):
            for target in targets:
                sent = burst(target, core=others, seconds=options.seconds)
                _count(figures, target, sent)
                figures.rounds.setdefault(target.name, []).append(sent)
                print(f"round {number}/{options.rounds} {target.name:<9} {sent}", flush=True)
        if "latency" not in skipped:
            _each_round(options.rounds, targets, figures.latency, lambda it: latency(it, options.seconds))
            figures.turnpike_ok += sum(one.ok for one in figures.latency.get("turnpike", []))
        if options.profile and ours:
            with profiled("turnpike", ours.target.pid, core=others, seconds=options.seconds):
                _count(figures, ours.target, burst(ours.target, core=others, seconds=options.seconds))
        if ours and "workers" not in skipped:
            _two_workers(ours, folder, options, figures, core=core, others=others)
        if ours:
            figures.recorded = ours.recorded()


def _streams(
    folder: Path, wanted: list[str], options: argparse.Namespace, figures: Figures, *, core: int, others: int
) -> None:
    """Streams, behind an upstream that takes its time."""
    home = folder / "streams"
    home.mkdir(mode=0o755)
    names = [n for n in _STREAMED if n in wanted or (n == "relay" and "turnpike" in wanted)]
    with ExitStack() as stack:
        upstream = stack.enter_context(stream_upstream(home, core=others))
        _, targets = _start(stack, home, [n for n in names if n != "direct"], upstream, core, others)
        targets = [upstream, *targets]
        for target in targets:
            batch(target, 5)  # connections, caches

        def measure(target: Target) -> Streams:
            found = batch(target)
            print(f"streams {target.name:<9} {found}", flush=True)
            return found

        _each_round(options.rounds, targets, figures.streams, measure)


def _start(
    stack: ExitStack, folder: Path, names: list[str], upstream: Target, core: int, others: int
) -> tuple[Turnpike | None, list[Target]]:
    ours, targets = None, []
    for name in names:
        if name == "turnpike":
            ours = stack.enter_context(turnpike(folder, upstream=upstream.url, core=core, others=others))
            targets.append(ours.target)
        else:
            targets.append(stack.enter_context(_PEERS[name](folder, upstream=upstream.url, core=core)))
    return ours, targets


def _each_round(
    rounds: int, targets: list[Target], into: dict[str, list[Figure]], measure: Callable[[Target], Figure]
) -> None:
    for _ in range(rounds):
        for target in targets:
            into.setdefault(target.name, []).append(measure(target))


def _two_workers(
    ours: Turnpike, folder: Path, options: argparse.Namespace, figures: Figures, *, core: int, others: int
) -> None:
    """One worker and two in turn, as many connections for each: what a call costs depends on how many stand beside it
    in its worker's queue. Two workers share both cores with the load, so CPU counts, not time.
    """
    with ours.two_workers(folder, cores=(others, core)) as target:
        _count(figures, target, burst(target, core=others, seconds=options.warmup))
        for _ in range(options.rounds):
            for workers, asked in ((1, ours.target), (2, target)):
                most = workers * CONNECTIONS
                sent = burst(asked, core=others, seconds=options.seconds, connections=most)
                _count(figures, asked, sent)
                figures.workers.setdefault(workers, []).append(sent)
                print(f"{workers} of 2 workers, {most} connections {sent}", flush=True)


def _count(figures: Figures, target: Target, sent: Burst) -> None:
    if target.name == "turnpike":
        figures.turnpike_ok += sent.ok


def _print(figures: Figures, options: argparse.Namespace) -> int:
    """Medians, checks, JSON, and the closing line that counts the checks."""
    judged = report.checks(figures)
    print(report.summary(figures))
    for held, sentence in judged:
        print(f"{'pass' if held else 'FAIL'}  {sentence}")
    said = report.as_json(figures)
    print(said)
    if options.page:
        PAGE.write_text(report.page(said, PAGE.read_text() if PAGE.exists() else ""))
    failed = sum(not held for held, _ in judged)
    print(f"{len(judged) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
