"""The ledger bench's own arithmetic: exponents, when it must fail, which part of the page is its own. No servers."""

from typing import Any

import pytest

from tests.bench import ledger_report as report
from tests.bench import report as gateways


def spent(seconds: float, *, cpu: float | None = None) -> dict[str, Any]:
    half = (seconds if cpu is None else cpu) / 2
    return {"seconds": seconds, "worker_cpu": half, "postgres_cpu": half, "postgres_mb": 20.0}


def size(events: int, power: float = 1.0, *, memory: float = 110.0, page_ms: float = 4.0) -> dict[str, Any]:
    """An account whose roll-up and closing take a millionth of a second of CPU for `events` ** `power`."""
    work = spent(60.0, cpu=events**power / 1e6)
    pages = dict.fromkeys(("explore", "total", "latest"), page_ms)
    return {
        "events": events, "roll_up": work, "close": work, "pages_ms": pages, "memory_mb": memory, "exact": True,
    }  # fmt: skip


def busy_hour(*, cpu: float = 1.6, exact: bool = True) -> dict[str, Any]:
    """Twenty seconds of an hour of a million calls."""
    return spent(1.6, cpu=cpu) | {"events": 10**6, "new": 2_000, "ticks": 20, "exact": exact}


def run(sizes: list[dict[str, Any]], **drained: Any) -> dict[str, Any]:
    """Everything as it should be, but for what is given."""
    drain = spent(8.0) | {"events": 100_000, "moved": 100_000, "rows": 100_000, "exact": True}
    many = [
        {"accounts": count, "statements": count, "close": spent(count / 50), "memory_mb": 110.0}
        for count in (1_000, 10_000)
    ]
    facts = dict.fromkeys(
        ("date", "cores", "cpu", "memory_gb", "system", "python", "load_before", "seed"), "x"
    )
    return facts | {"drain": drain | drained, "sizes": sizes, "busy": [busy_hour()], "many": many}


def failed(figures: dict[str, Any]) -> list[str]:
    return [sentence for held, sentence in report.checks(figures) if not held]


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_is_the_power_by_which_something_grows(power: float) -> None:
    points = [(n, 3.0 * n**power) for n in (1e5, 1e6, 1e7)]
    assert report.exponent(points) == pytest.approx(power)


def test_quick_linear_and_exact_passes() -> None:
    assert failed(run([size(10**5), size(10**6), size(10**7)])) == []


def test_a_closing_that_compares_each_event_with_each_fails() -> None:
    figures = run([size(10**5), size(10**6) | {"close": spent(1.0, cpu=10.0)}])
    assert failed(figures) == [
        "closing grows with the power 2.00 from 100,000 to 1,000,000 events, 1.15 allowed"
    ]


def test_news_that_counts_a_whole_busy_hour_again_fails() -> None:
    figures = run([size(10**5), size(10**6)]) | {"busy": [busy_hour(cpu=37.0)]}
    assert failed(figures) == ["a second of it takes 1.850 s of CPU to record and count, 0.25 s allowed"]


def test_a_busy_hour_that_lost_a_call_fails() -> None:
    figures = run([size(10**5), size(10**6)]) | {"busy": [busy_hour(exact=False)]}
    assert failed(figures) == ["a busy hour of 1,000,000 calls: the ledger and its totals are one sum"]


def test_a_page_that_reads_events_and_memory_that_follows_them_fail() -> None:
    figures = run([size(10**5), size(10**6, memory=400.0, page_ms=40.0)])
    assert failed(figures) == [
        "the usage page grows with the power 1.00 from 100,000 to 1,000,000 events, 0.3 allowed",
        "the worker needs +290 MB from 100,000 to 1,000,000 events, +30 MB allowed",
    ]


def test_a_database_that_remembers_each_event_fails() -> None:
    hungry = spent(1.0) | {"postgres_mb": 330.0}
    figures = run([size(10**5), size(10**6) | {"close": hungry}])
    assert failed(figures) == [
        "PostgreSQL's process needs +310 MB from 100,000 to 1,000,000 events, +30 MB allowed"
    ]


def test_too_few_events_a_second_fail() -> None:
    assert failed(run([size(10**5)], seconds=11.0)) == [
        "9,091 events/s from the stream by one worker, 10,000 wanted"
    ]


@pytest.mark.parametrize("wrong", [{"rows": 99_999}, {"moved": 100_001}, {"exact": False}], ids=str)
def test_a_ledger_that_is_quick_because_it_loses_or_doubles_fails(wrong: dict[str, Any]) -> None:
    assert len(failed(run([size(10**5)], **wrong))) == 1


def test_lines_that_are_not_the_ledgers_sum_fail() -> None:
    assert failed(run([size(10**5) | {"exact": False}])) == [
        "100,000 events: the ledger, its totals and the statement's lines are one sum"
    ]


def test_an_account_that_was_not_closed_fails() -> None:
    figures = run([])
    figures["many"][1]["statements"] = 9_999
    assert failed(figures) == ["9,999 of 10,000 accounts closed"]


def test_the_page_has_two_parts_and_each_bench_leaves_the_others_alone() -> None:
    page = (
        f"# Before\n{gateways.START}\ntheirs\n{gateways.END}\nbetween\n"
        f"{report.START}\nstale\n{report.END}\nafter\n"
    )
    written = report.page(run([size(10**5), size(10**6)]), page)
    assert written.startswith(
        f"# Before\n{gateways.START}\ntheirs\n{gateways.END}\nbetween\n{report.START}\n"
    )
    assert written.endswith(f"{report.END}\nafter\n")
    assert "stale" not in written
    assert "| drained | 100,000 events | 8.0 | 12,500 | 40.0 | 40.0 |  | 20 |" in written
    assert "- holds: closing grows with the power 1.00" in written


def test_a_page_without_marks_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="ledger: written by"):
        report.page(run([size(10**5)]), "# Another page\n")
