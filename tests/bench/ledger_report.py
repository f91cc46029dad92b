"""From what the ledger's bench measured to what it says: exponents, checks, and its part of docs/benchmarks.md."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Issue 6, "Must show": events a second that one worker moves from the stream into PostgreSQL.
WANTED_EVENTS_PER_SECOND = 10_000
# Work that grows with the events is n to this power, linear being 1; caches and index depth take the rest.
MOST_EXPONENT = 1.15
# The usage page reads totals of hours: its time must not follow the events.
MOST_PAGE_EXPONENT = 0.3
MOST_MEMORY_GROWTH_MB = 30.0  # from the smallest size to the largest
MOST_OF_A_SECOND = 0.25  # of a core, for what one second of a busy hour brings
START, END = "<!-- ledger: written by `make bench-ledger` -->", "<!-- end of the ledger -->"

Figures = Mapping[str, Any]
Check = tuple[bool, str]


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return k of y = c * x^k through (x, y) by least squares of the logarithms; two points or more, all above 0."""
    logs = [(math.log(x), math.log(max(y, 1e-9))) for x, y in points]
    middle_x, middle_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    found = sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)
    return float(found)


def checks(figures: Figures) -> list[Check]:
    """Each thing that must hold, as (does it, the sentence that says so with its figures)."""
    return [
        *_drained(figures["drain"]),
        *_sizes(figures["sizes"]),
        *_busy(figures["busy"]),
        *_many(figures["many"]),
    ]


def cpu(spent: Figures) -> float:
    """CPU seconds of the worker and of PostgreSQL: unlike wall time, hardly moved by what else the machine does."""
    return float(spent["worker_cpu"] + spent["postgres_cpu"])


def exponents(figures: Figures) -> dict[str, float]:
    """How each kind of work grows, by its CPU (pages: by their time); empty for what was measured at one size only."""
    sizes, many = figures["sizes"], figures["many"]
    found = {}
    if len(sizes) > 1:
        for work in ("roll_up", "close"):
            found[work] = exponent([(size["events"], cpu(size[work])) for size in sizes])
        found["page"] = exponent([(size["events"], sum(size["pages_ms"].values())) for size in sizes])
    if len(many) > 1:
        found["close_many"] = exponent([(one["accounts"], cpu(one["close"])) for one in many])
    return found


def _drained(drain: Figures) -> Iterable[Check]:
    rate = drain["moved"] / drain["seconds"]
    words = f"{rate:,.0f} events/s from the stream by one worker, {WANTED_EVENTS_PER_SECOND:,} wanted"
    yield rate >= WANTED_EVENTS_PER_SECOND, words
    whole = drain["moved"] == drain["rows"] == drain["events"] and drain["exact"]
    yield whole, f"{drain['events']:,} events are {drain['rows']:,} rows, with the same sum to the nano-unit"


def _sizes(sizes: Sequence[Figures]) -> Iterable[Check]:
    for size in sizes:
        words = f"{size['events']:,} events: the ledger, its totals and the statement's lines are one sum"
        yield size["exact"], words
    if len(sizes) < 2:
        return
    span = f"from {sizes[0]['events']:,} to {sizes[-1]['events']:,} events"
    grown = exponents({"sizes": sizes, "many": []})
    for work, name in (("roll_up", "roll-up"), ("close", "closing")):
        words = f"{name} grows with the power {grown[work]:.2f} {span}, {MOST_EXPONENT} allowed"
        yield grown[work] <= MOST_EXPONENT, words
    words = f"the usage page grows with the power {grown['page']:.2f} {span}, {MOST_PAGE_EXPONENT} allowed"
    yield grown["page"] <= MOST_PAGE_EXPONENT, words
    yield from _memory(span, "the worker", [size["memory_mb"] for size in sizes])
    backends = [max(size["roll_up"]["postgres_mb"], size["close"]["postgres_mb"]) for size in sizes]
    yield from _memory(span, "PostgreSQL's process", backends)


def _busy(busy: Sequence[Figures]) -> Iterable[Check]:
    for one in busy:
        words = f"a busy hour of {one['events']:,} calls: the ledger and its totals are one sum"
        yield one["exact"], words
        share = cpu(one) / one["ticks"]
        words = f"a second of it takes {share:.3f} s of CPU to record and count, {MOST_OF_A_SECOND} s allowed"
        yield share <= MOST_OF_A_SECOND, words


def _memory(span: str, whose: str, sizes: Sequence[float]) -> Iterable[Check]:
    more = sizes[-1] - sizes[0]
    words = f"{whose} needs {more:+.0f} MB {span}, {MOST_MEMORY_GROWTH_MB:+.0f} MB allowed"
    yield more <= MOST_MEMORY_GROWTH_MB, words


def _many(many: Sequence[Figures]) -> Iterable[Check]:
    for one in many:
        yield (
            one["statements"] == one["accounts"],
            f"{one['statements']:,} of {one['accounts']:,} accounts closed",
        )
    if len(many) > 1:
        grown = exponents({"sizes": [], "many": many})["close_many"]
        span = f"from {many[0]['accounts']:,} to {many[-1]['accounts']:,}"
        words = f"closing accounts grows with the power {grown:.2f} {span}, {MOST_EXPONENT} allowed"
        yield grown <= MOST_EXPONENT, words
        span = f"from {many[0]['accounts']:,} to {many[-1]['accounts']:,} accounts"
        yield from _memory(span, "the worker", [one["memory_mb"] for one in many])


def table(figures: Figures) -> list[str]:
    """The figures as a table in Markdown, a row for each measurement."""
    drain = figures["drain"]
    rows = [_row("drained", drain["events"], drain, drain["events"], None)]
    for size in figures["sizes"]:
        rows.append(_row("rolled up", size["events"], size["roll_up"], size["events"], None))
        rows.append(
            _row("closed, one account", size["events"], size["close"], size["events"], size["memory_mb"])
        )
    for one in figures["busy"]:
        name = f"{one['ticks']} seconds of an hour of {one['events']:,}"
        rows.append(_row(name, one["new"], one, one["new"], None))
    for one in figures["many"]:
        name = f"closed, {one['accounts']:,} accounts"
        rows.append(_row(name, one["accounts"], one["close"], one["accounts"], one["memory_mb"], "accounts"))
    return [
        "| | of | seconds | each second | worker, µs CPU each | PostgreSQL, µs CPU each | worker MB | backend MB |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def _row(name: str, count: int, spent: Figures, each: int, memory: float | None, what: str = "events") -> str:
    micros = [f"{spent[cpu] / each * 1e6:,.1f}" for cpu in ("worker_cpu", "postgres_cpu")]
    cells = [
        name,
        f"{count:,} {what}",
        f"{spent['seconds']:,.1f}",
        f"{count / spent['seconds']:,.0f}",
        *micros,
    ]
    return (
        "| "
        + " | ".join([*cells, "" if memory is None else f"{memory:,.0f}", f"{spent['postgres_mb']:,.0f}"])
        + " |"
    )


def page(figures: Figures, before: str) -> str:
    """Return docs/benchmarks.md with the ledger's figures between its marks. ValueError where there are no marks."""
    if START not in before or END not in before:
        raise ValueError(f"docs/benchmarks.md has no {START} … {END}.")
    head, _, rest = before.partition(START)
    return f"{head}{START}\n\n{_section(figures)}\n{END}{rest.partition(END)[2]}"


def _section(figures: Figures) -> str:
    machine = (
        f"{figures['date']}: {figures['cores']} cores of {figures['cpu']}, {figures['memory_gb']} GB, "
        f"{figures['system']}, Python {figures['python']}; load average before the run {figures['load_before']}; "
        f"`--seed {figures['seed']}`. Backend MB: private memory of the hungriest PostgreSQL process."
    )
    pages = [
        f"| {size['events']:,} | " + " | ".join(f"{size['pages_ms'][name]:.1f}" for name in _PAGES) + " |"
        for size in figures["sizes"]
    ]
    powers = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in exponents(figures).items())
    lines = [
        machine,
        "",
        *table(figures),
        "",
        "The usage page's queries, a whole month in view, ms:",
        "",
        "| events | explore | total | latest calls |",
        "|---|---|---|---|",
        *pages,
        "",
        f"Work grows with this power of the size (linear is 1): {powers or 'one size only'}.",
        "",
        *(f"- {'holds' if held else '**does not hold**'}: {sentence}" for held, sentence in checks(figures)),
        "",
    ]
    return "\n".join(lines)


_PAGES = ("explore", "total", "latest")
