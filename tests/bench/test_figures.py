"""The bench's own arithmetic: what it must count and when it must fail. No servers here."""

import json
from collections.abc import Sequence

import pytest

from tests.bench import report
from tests.bench.load import Burst, parsed
from tests.bench.processes import BenchError
from tests.bench.profiler import hottest
from tests.bench.report import Figures
from tests.bench.steady import Latency
from tests.bench.streaming import STREAMS, Streams


def a_burst(calls_per_second: int, *, refused: int = 0, unanswered: int = 0, cpu: float = 0.0) -> Burst:
    """Two seconds of calls, of which some went wrong."""
    ok = calls_per_second * 2
    return Burst(
        ok, refused, ok + refused + unanswered, 2.0, p50_ms=8.0, p99_ms=12.0, socket_errors=0, cpu_seconds=cpu
    )


def figures(**rounds: Sequence[Burst]) -> Figures:
    """One run: an upstream of 50,000 calls/s, these rounds, and a ledger that agrees."""
    counted = sum(burst.ok for burst in rounds.get("turnpike", []))
    found = {"direct": [a_burst(50_000)]} | {name: list(bursts) for name, bursts in rounds.items()}
    return Figures(rounds=found, turnpike_ok=counted, recorded=counted)


def failed(run: Figures) -> list[str]:
    return [sentence for held, sentence in report.checks(run) if not held]


def test_fast_enough_beside_each_with_every_call_answered_and_recorded_passes() -> None:
    run = figures(
        turnpike=[a_burst(3000), a_burst(3200), a_burst(3400)],
        rolter=[a_burst(6000)] * 3,
        portkey=[a_burst(600)] * 3,
        litellm=[a_burst(140), a_burst(150), a_burst(160)],
    )
    assert failed(run) == []
    assert run.ratio("litellm") == pytest.approx(21.33)
    assert run.pairs("rolter") == pytest.approx([0.5, 0.533, 0.567], abs=0.001)


@pytest.mark.parametrize(
    ("peer", "rate", "sentence"),
    [
        ("litellm", 200, "turnpike is 15.00x litellm (15.00-15.00), 20x wanted"),
        ("portkey", 1000, "turnpike is 3.00x portkey (3.00-3.00), 5x wanted"),
        ("rolter", 7000, "turnpike is 0.43x rolter (0.43-0.43), 0.5x wanted"),
    ],
)
def test_too_slow_beside_one_fails(peer: str, rate: int, sentence: str) -> None:
    assert failed(figures(turnpike=[a_burst(3000)], **{peer: [a_burst(rate)]})) == [sentence]


def test_one_refused_call_in_one_round_fails() -> None:
    run = figures(turnpike=[a_burst(1000), a_burst(1000, refused=1)])
    assert failed(run) == ["turnpike answered every call of every round 2xx"]


def test_a_call_of_a_peer_that_was_never_answered_fails() -> None:
    run = figures(turnpike=[a_burst(3000)], litellm=[a_burst(100, unanswered=1)])
    assert failed(run) == ["litellm answered every call of every round 2xx"]


def test_a_round_without_any_answer_fails() -> None:
    assert "litellm answered every call of every round 2xx" in failed(figures(litellm=[a_burst(0)]))


@pytest.mark.parametrize("events", [1999, 2001])
def test_one_usage_event_too_few_or_too_many_fails(events: int) -> None:
    run = figures(turnpike=[a_burst(1000)])
    run.recorded = events
    assert failed(run) == [f"{events:,} usage events for 2,000 answers of 200"]


def test_a_gateway_close_to_the_upstream_fails_because_then_the_upstream_is_what_was_measured() -> None:
    assert failed(figures(turnpike=[a_burst(20_000)])) == ["the upstream alone is 2.5x turnpike, 3x wanted"]


def test_latency_is_judged_over_the_upstreams_own_and_beside_rolters() -> None:
    run = figures()
    run.latency = {
        "direct": [Latency(100, 0.5, 1.0)],
        "turnpike": [Latency(100, 1.9, 8.0)],
        "rolter": [Latency(100, 0.8, 1.5)],
    }
    assert failed(run) == [
        "that is +1.10 ms to rolter's, +1 ms allowed",
        "turnpike adds 7.00 ms at p99, 6.0 ms allowed",
        "that is +6.50 ms to rolter's, +1 ms allowed",
    ]


def test_two_workers_that_cost_more_for_each_call_fail() -> None:
    run = figures()
    run.workers = {1: [a_burst(1000, cpu=0.4)], 2: [a_burst(1000, cpu=0.43)]}
    assert failed(run) == []
    run.workers[2] = [a_burst(1000, cpu=0.46)]
    assert failed(run) == ["two workers need +15% CPU for each call to one, +10% allowed"]


def test_streams_are_judged_beside_nginx_and_the_bare_relay() -> None:
    run = figures()
    run.streams = {
        "direct": [Streams(STREAMS, 5.0, 0.0)],
        "nginx": [Streams(STREAMS, 7.0, 1.0)],
        "relay": [Streams(STREAMS, 8.0, 3.0)],
        "turnpike": [Streams(STREAMS - 1, 10.0, 3.6)],
    }
    assert failed(run) == [
        f"turnpike brought {STREAMS - 1} of {STREAMS} streams to their end, every round",
        "turnpike adds 5.0 ms to a first event, nginx 2.0 ms, 2x allowed",
        "a stream costs turnpike +0.60 ms CPU to the bare relay, +0.5 ms allowed",
    ]


FACTS: dict[str, object] = dict.fromkeys(
    (
        *("date", "cpu", "cores", "memory_gb", "system", "python", "nginx_version", "load_before", "rounds"),
        *("seconds", "connections", "rolter", "portkey", "litellm", "uvicorn"),
    ),
    "x",
) | {"synced_append_ms": (0.45, 2.1)}


def test_the_page_keeps_its_words_and_gets_the_figures_of_the_json_line() -> None:
    run = figures(turnpike=[a_burst(700)], litellm=[a_burst(100)])
    run.facts = FACTS
    said = report.as_json(run)
    assert json.loads(said)["failed"] == ["turnpike is 7.00x litellm (7.00-7.00), 20x wanted"]
    page = report.page(said, f"# Before\n\n{report.START}\nstale figures\n{report.END}\n\nAfter\n")
    assert page.startswith("# Before\n")
    assert page.endswith(f"{report.END}\n\nAfter\n")
    assert "| turnpike | 700 (700-700) |" in page
    assert "stale figures" not in page
    assert "takes this disk 0.45 ms at p50 and 2.1 ms at p99" in page
    assert "**does not hold**: turnpike is 7.00x litellm" in page


def test_the_rate_is_answers_over_the_time_to_the_last_answer() -> None:
    line = (
        'BENCH {"ok":300,"refused":0,"sent":300,"seconds":1.5,"p50_ms":9.1,"p99_ms":20,'
        '"socket_errors":0,"statuses":""}'
    )
    burst = parsed(f"Running 4s test\n{line}\n", cpu=0.6)
    assert burst.clean
    assert str(burst) == "200 calls/s, p50 9.1 ms, p99 20.0 ms, 2,000 µs CPU a call, 40% of its core"


def test_wrk_without_figures_is_one_clear_line() -> None:
    with pytest.raises(BenchError, match="Install Debian's wrk"):
        parsed("unable to load chat.lua")


def test_a_profile_counts_a_recursive_function_once_and_leaves_out_what_is_in_every_sample() -> None:
    text = hottest("main;walk;walk 3\nmain;send 1\n")
    assert text.splitlines() == [
        "itself", " 75.0%  walk", " 25.0%  send",
        "with what it calls", " 75.0%  walk", " 25.0%  send",
    ]  # fmt: skip
