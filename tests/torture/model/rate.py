"""The second property of quota_model: what a rate of tokens a minute lets pass."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from gateway.counters import Admitted, Settlement
from tests.torture.model.bench import Bench, Span, limits_of
from tests.torture.model.oracle import Bounds


@dataclass(frozen=True)
class Call:
    """A call of so many tokens, `gap_ms` after the one before, that uses `less` than it held and ends after `calls`
    others have asked."""

    tokens: int
    gap_ms: int
    less: int
    others: int


@st.composite
def minutes_of_calls(draw: st.DrawFn) -> tuple[int, list[Call]]:
    """A rate of tokens a minute, and calls."""
    rate = draw(st.sampled_from([60, 100, 1000, 7001]))
    tokens = st.one_of(st.sampled_from([rate, rate // 2]), st.integers(0, rate))
    gaps = st.sampled_from([0, 0, 500, 5_000, 30_000, 60_000, 61_000])
    call = st.builds(Call, tokens, gaps, tokens, st.integers(0, 3))
    return rate, draw(st.lists(call, min_size=2, max_size=12))


def check_rate(bench: Bench, account: str, rate: int, calls: list[Call]) -> None:
    """In any window the tokens that passed are at most the burst and what the rate gives in that time.

    A call that is over counts as what it used, but not as more than it held: the rest could not be known.
    """
    bench.outside(account).flushall()
    span = Span("p0", datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1))
    bench.run(bench.meter.seed(account, span, 0, 0))  # type: ignore[arg-type]
    passed: dict[int, tuple[int, int]] = {}  # call -> (ms, tokens)
    away = 0
    for number, call in enumerate(calls):
        bench.pass_time(account, call.gap_ms)
        away += call.gap_ms
        limits, rid = limits_of(Bounds(tokens=rate)), f"call-{number}"
        asked = bench.meter.admit(*(rid, account, span, limits, 0, call.tokens, b"{}"))  # type: ignore[arg-type]
        answer = bench.run(asked)
        bench.fired["rate_admitted" if isinstance(answer, Admitted) else "rate_refused"] += 1
        if isinstance(answer, Admitted):
            passed[number] = (answer.now_ms + away, call.tokens)
            _check_windows(list(passed.values()), rate)
        for ended in [n for n in passed if n + calls[n].others == number]:
            used = max(0, calls[ended].tokens - calls[ended].less)
            bench.run(bench.meter.settle(Settlement(f"call-{ended}", account, "p0", 0, used, 1, "{}")))
            passed[ended] = (passed[ended][0], used)
            bench.fired["rate_gave_back"] += used < calls[ended].tokens and ended < number


def _check_windows(passed: list[tuple[int, int]], rate: int) -> None:
    """Every window that ends with the last call. One token for each call is the rounding."""
    end, total = passed[-1][0], 0
    for count, (at, tokens) in enumerate(reversed(passed), 1):
        total += tokens
        assert total <= rate + rate * (end - at + 1) / 60_000 + count, (passed, rate)
