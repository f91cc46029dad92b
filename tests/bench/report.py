"""From what was counted to what is printed: medians, ratios, checks, one line of JSON, and docs/benchmarks.md."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.bench.load import Burst
from tests.bench.peers import SWITCHED_ON
from tests.bench.steady import Latency
from tests.bench.streaming import STREAMS, Streams

# Issue 6, "Must show": Turnpike's calls per second to each peer's, medians.
WANTED_RATIOS = {"litellm": 20.0, "portkey": 5.0, "rolter": 0.5}
WANTED_P50_MS, WANTED_P99_MS, OVER_ROLTER_MS = 1.5, 6.0, 1.0
WANTED_WORKERS = 0.10  # two workers' CPU for each call against one worker's
WANTED_FIRST, WANTED_CPU_MS = (
    2.0,
    0.5,
)  # to nginx's added time to first event; CPU of a stream over the bare relay
# The upstream asked directly to the fastest gateway of Python: else the upstream is what was measured.
WANTED_HEADROOM = 3.0
START, END = "<!-- figures: written by `make bench` -->", "<!-- end of the figures -->"

Check = tuple[bool, str]


@dataclass
class Figures:
    """Everything one run counted; each list has the rounds of one target, oldest first."""

    rounds: dict[str, list[Burst]] = field(default_factory=dict)
    latency: dict[str, list[Latency]] = field(default_factory=dict)
    streams: dict[str, list[Streams]] = field(default_factory=dict)
    workers: dict[int, list[Burst]] = field(default_factory=dict)  # by how many, in turn
    memory: dict[str, float] = field(default_factory=dict)  # MB
    turnpike_ok: int = 0  # 200 answers counted in all bursts, warm-up and profile included
    recorded: int | None = None  # usage events of those calls in the ledger
    facts: dict[str, object] = field(default_factory=dict)  # machine, versions, options

    def rate(self, name: str) -> float:
        """Calls per second, the median over the rounds; 0 if it was not measured."""
        return median([burst.rate for burst in self.rounds.get(name, [])] or [0.0])

    def cpu(self, name: str) -> float:
        """CPU microseconds a call, the median over the rounds."""
        return median([burst.cpu_micros for burst in self.rounds.get(name, [])] or [0.0])

    def ratio(self, peer: str) -> float | None:
        """Turnpike's median to a peer's; None unless both were measured."""
        ours, theirs = self.rate("turnpike"), self.rate(peer)
        return round(ours / theirs, 2) if ours and theirs else None

    def pairs(self, peer: str) -> list[float]:
        """Turnpike to a peer in each round: what drifts with the machine drifts in both."""
        both = zip(self.rounds.get("turnpike", []), self.rounds.get(peer, []), strict=False)
        return [ours.rate / theirs.rate for ours, theirs in both if theirs.rate]

    def added_ms(self, name: str, percentile: str) -> float | None:
        """Latency at the fixed pace over the upstream's own, medians over the rounds; None if not measured."""
        if name not in self.latency or "direct" not in self.latency:
            return None
        return self._latency(name, percentile) - self._latency("direct", percentile)

    def added_first_ms(self, name: str) -> float | None:
        """Time to the first event of a stream over the upstream's own, in ms."""
        if name not in self.streams or "direct" not in self.streams:
            return None
        return self._first(name) - self._first("direct")

    def stream_cpu_ms(self, name: str) -> float | None:
        """CPU of a stream in ms, the median over the rounds."""
        return median(one.cpu_ms for one in self.streams[name]) if name in self.streams else None

    def _latency(self, name: str, percentile: str) -> float:
        return median(float(getattr(one, percentile)) for one in self.latency[name])

    def _first(self, name: str) -> float:
        return median(one.first_ms for one in self.streams[name])


def checks(figures: Figures) -> list[Check]:
    """Each thing that must hold, as (does it, the sentence that says so with its figures)."""
    parts: Sequence[Callable[[Figures], Iterable[Check]]] = (
        _clean, _ratios, _latencies, _workers, _streamed, _books,
    )  # fmt: skip
    return [check for part in parts for check in part(figures)]


def _clean(figures: Figures) -> Iterable[Check]:
    for name, bursts in figures.rounds.items():
        yield all(burst.clean for burst in bursts), f"{name} answered every call of every round 2xx"
    if figures.rate("turnpike"):
        headroom = figures.rate("direct") / figures.rate("turnpike")
        words = f"the upstream alone is {headroom:.1f}x turnpike, {WANTED_HEADROOM:.0f}x wanted"
        yield headroom >= WANTED_HEADROOM, words


def _ratios(figures: Figures) -> Iterable[Check]:
    for peer, wanted in WANTED_RATIOS.items():
        if (ratio := figures.ratio(peer)) is not None:
            low, high = min(figures.pairs(peer)), max(figures.pairs(peer))
            yield (
                ratio >= wanted,
                f"turnpike is {ratio:.2f}x {peer} ({low:.2f}-{high:.2f}), {wanted:g}x wanted",
            )


def _latencies(figures: Figures) -> Iterable[Check]:
    for percentile, wanted in (("p50_ms", WANTED_P50_MS), ("p99_ms", WANTED_P99_MS)):
        added, theirs = figures.added_ms("turnpike", percentile), figures.added_ms("rolter", percentile)
        if added is None:
            continue
        yield added <= wanted, f"turnpike adds {added:.2f} ms at {percentile[:3]}, {wanted} ms allowed"
        if theirs is not None:
            words = f"that is {added - theirs:+.2f} ms to rolter's, {OVER_ROLTER_MS:+.0f} ms allowed"
            yield added <= theirs + OVER_ROLTER_MS, words


def _workers(figures: Figures) -> Iterable[Check]:
    if figures.workers:
        one, two = (median(burst.cpu_micros for burst in figures.workers[number]) for number in (1, 2))
        words = (
            f"two workers need {two / one - 1:+.0%} CPU for each call to one, {WANTED_WORKERS:+.0%} allowed"
        )
        clean = all(burst.clean for bursts in figures.workers.values() for burst in bursts)
        yield two / one - 1 <= WANTED_WORKERS and clean, words


def _streamed(figures: Figures) -> Iterable[Check]:
    for name, found in figures.streams.items():
        whole = min(one.whole for one in found)
        yield whole == STREAMS, f"{name} brought {whole} of {STREAMS} streams to their end, every round"
    ours, theirs = figures.added_first_ms("turnpike"), figures.added_first_ms("nginx")
    if ours is not None and theirs is not None:
        words = (
            f"turnpike adds {ours:.1f} ms to a first event, nginx {theirs:.1f} ms, {WANTED_FIRST:g}x allowed"
        )
        yield ours <= WANTED_FIRST * theirs, words
    cpu, bare = figures.stream_cpu_ms("turnpike"), figures.stream_cpu_ms("relay")
    if cpu is not None and bare is not None:
        words = f"a stream costs turnpike {cpu - bare:+.2f} ms CPU to the bare relay, {WANTED_CPU_MS:+} ms allowed"
        yield cpu - bare <= WANTED_CPU_MS, words


def _books(figures: Figures) -> Iterable[Check]:
    if figures.recorded is not None:
        counted = f"{figures.recorded:,} usage events for {figures.turnpike_ok:,} answers of 200"
        yield figures.recorded == figures.turnpike_ok, counted


def summary(figures: Figures) -> str:
    """The medians, one line each."""
    return "\n".join(
        f"median {name:<9}{figures.rate(name):>9,.0f} calls/s{figures.cpu(name):>9,.0f} µs CPU a call"
        for name in figures.rounds
    )


def as_json(figures: Figures) -> str:
    """Everything, as one line for a program to read."""
    rounds = {
        name: [asdict(burst) | {"rate": round(burst.rate, 1)} for burst in bursts]
        for name, bursts in figures.rounds.items()
    }
    return json.dumps(
        {
            "rows": {name: _row(figures, name) for name in [*figures.rounds, "relay"]},
            "ratios": {peer: figures.ratio(peer) for peer in WANTED_RATIOS},
            "pairs": {peer: [round(pair, 2) for pair in figures.pairs(peer)] for peer in WANTED_RATIOS},
            "workers_cpu_micros": {
                number: [round(burst.cpu_micros) for burst in bursts]
                for number, bursts in figures.workers.items()
            },
            "usage_events": figures.recorded,
            "answers_200": figures.turnpike_ok,
            "passed": [sentence for held, sentence in checks(figures) if held],
            "failed": [sentence for held, sentence in checks(figures) if not held],
            "rounds": rounds,
            "latency": {name: [asdict(one) for one in found] for name, found in figures.latency.items()},
            "streams": {name: [asdict(one) for one in found] for name, found in figures.streams.items()},
            **figures.facts,
        }
    )


def _row(figures: Figures, name: str) -> dict[str, float | None]:
    bursts = figures.rounds.get(name, [])
    return {
        "rate": figures.rate(name) if bursts else None,
        "lowest": min((burst.rate for burst in bursts), default=None),
        "highest": max((burst.rate for burst in bursts), default=None),
        "cpu_micros": figures.cpu(name) if bursts else None,
        "added_p50_ms": figures.added_ms(name, "p50_ms"),
        "added_p99_ms": figures.added_ms(name, "p99_ms"),
        "added_first_ms": figures.added_first_ms(name),
        "stream_cpu_ms": figures.stream_cpu_ms(name),
        "memory_mb": figures.memory.get(name),
    }


def page(said: str, before: str) -> str:
    """Return docs/benchmarks.md with the figures of a run, as its JSON line says them, between the marks."""
    figures = json.loads(said)
    head, _, rest = before.partition(START)
    tail = rest.partition(END)[2]
    return f"{head}{START}\n\n{_tables(figures)}\n{END}{tail}"


def _tables(figures: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {_cell(row['rate'], 0)} ({_cell(row['lowest'], 0)}-{_cell(row['highest'], 0)}) "
        f"| {_cell(row['cpu_micros'], 0)} | {_cell(row['added_p50_ms'], 2)} | {_cell(row['added_p99_ms'], 2)} "
        f"| {_cell(row['added_first_ms'], 1)} | {_cell(row['stream_cpu_ms'], 2)} | {_cell(row['memory_mb'], 0)} |"
        for name, row in figures["rows"].items()
    ]
    versions = ", ".join(f"{name} {figures[name]}" for name in ("rolter", "portkey", "litellm", "uvicorn"))
    machine = (
        f"{figures['date']}: {figures['cores']} cores of {figures['cpu']}, {figures['memory_gb']} GB, "
        f"{figures['system']}, Python {figures['python']}, nginx {figures['nginx_version']}, {versions}. "
        f"{figures['rounds']} interleaved rounds of {figures['seconds']} s, {figures['connections']} connections; "
        f"load average before the run {figures['load_before']}."
    )
    median_ms, worst_ms = figures["synced_append_ms"]
    disk = (
        f"A write that is synced takes this disk {median_ms} ms at p50 and {worst_ms} ms at p99, alone. "
        "A call has two of them, one after the other."
    )
    lines = [
        machine,
        "",
        disk,
        "",
        _COLUMNS,
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| | switched on |",
        "|---|---|",
        *(f"| {name} | {words} |" for name, words in SWITCHED_ON.items()),
        "",
        "What the run says of the targets:",
        "",
        *(f"- holds: {sentence}" for sentence in figures["passed"]),
        *(f"- **does not hold**: {sentence}" for sentence in figures["failed"]),
        "",
    ]
    return "\n".join(lines)


_COLUMNS = (
    "| | calls/s, median (range) | µs CPU a call | added p50 ms | added p99 ms | stream: added first event ms "
    "| stream: ms CPU | MB |"
)


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
