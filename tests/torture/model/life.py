"""One account's life: the state machine without its rules. What must hold after each step, and words for the rules.

The rules are in calls.py, quoting.py, keying.py and befalls.py; machine.py has them all.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from math import inf
from typing import Any, ClassVar, cast

import orjson
from hypothesis import stateful
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from gateway.counters import Admitted, Denied, Missing, Settlement, Spend
from tests.torture.model.bench import (
    ACCOUNTS,
    HOLD_MS,
    Bench,
    Result,
    Seen,
    Span,
    kinds_of,
    limits_of,
    shard_of,
)
from tests.torture.model.oracle import NEVER, Between, Bounds, Tally
from tests.torture.model.oracle_keys import Keys
from tests.torture.model.oracle_quotes import Oracle

RULES: list[str] = []
Method = Callable[..., None]


def rule(**draws: Any) -> Callable[[Method], Method]:
    """Hypothesis's `rule`, which also counts how often each fired, by its name."""

    def counted(method: Method) -> Method:
        RULES.append(method.__name__)

        @wraps(method)
        def fire(self: "Life", **drawn: Any) -> None:
            self.bench.fired[method.__name__] += 1
            method(self, **drawn)

        made: Any = stateful.rule(**draws)
        return cast(Method, made(fire))

    return counted


class Life(RuleBasedStateMachine):
    """One account's life. `bench` is set before it runs."""

    bench: ClassVar[Bench]

    @initialize(
        account=st.sampled_from(ACCOUNTS), calls=st.integers(0, 5), nano=st.sampled_from([0, 100, 900])
    )
    def open_account(self, account: str, calls: int, nano: int) -> None:
        """An empty shard, and an account with a past."""
        self.account, self.number, self.oracle = account, 0, Oracle(HOLD_MS)
        self.keys = Keys(HOLD_MS, self.oracle.holds)
        self.now = datetime.now(UTC)
        self.spans = [Span("p0", self.now - timedelta(days=1), self.now + timedelta(days=1))]
        self.bench.outside(account).flushall()
        self._seed(calls, nano)
        self._look()

    # --- What must hold after each step ---

    @invariant()
    def meter_and_oracle_agree(self) -> None:
        """Used and held, open holds, and the stream."""
        if self.stale:
            self._look()
        for span, counted in zip(self.spans, self.seen.tallies, strict=True):
            tally, held = self.oracle.tallies.get(span.key), self.oracle.held(span.key)
            assert bool(counted) == bool(tally), (span.key, counted)
            if tally:
                used = Tally(counted.get("calls", 0), counted.get("nano", 0))
                assert used == tally, (span.key, used, tally)
                kept = Tally(counted.get("held_calls", 0), counted.get("held_nano", 0))
                assert kept == held, (span.key, kept, held)
        for name, counted in zip(self.oracle.budgets, self.seen.budgets, strict=True):
            right = self.oracle.budgets[name], self.oracle.held_in(name)
            assert (counted.get("nano", 0), counted.get("held_nano", 0)) == right, (name, counted, right)
        rids = {rid.encode() for rid in self.oracle.open_ids()}
        assert self.seen.open == rids, (self.seen, rids)
        # Every open hold is looked at by the sweep when its deadline passes, or sooner.
        assert not rids or (self.seen.looked_at or inf) <= self.seen.first_deadline, self.seen
        quotes = {rid.encode() for rid in self.oracle.quotes("open")}
        assert self.seen.quotes == quotes, (self.seen.quotes, quotes)
        kinds = kinds_of(self.seen.entries)
        assert kinds == self.oracle.entries, (kinds, self.oracle.entries)

    # --- Words ---

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Ask the meter for something; what was seen of it before is old now."""
        self.stale = True
        return self.bench.run(work)

    def _fired(self, name: str) -> None:
        self.bench.fired[name] += 1

    def _new_id(self) -> str:
        self.number += 1
        return f"{self.number:08x}-0000-7000-8000-000000000000"

    def _pick(self, rids: list[str], pick: int) -> str:
        return rids[pick % len(rids)]

    def _states(self) -> set[str]:
        return {hold.state for hold in self.oracle.holds.values()}

    def _in_state(self, state: str) -> list[str]:
        return [rid for rid, hold in self.oracle.holds.items() if hold.state == state]

    def _open_calls(self) -> list[str]:
        """The calls that run; one is admitted first if there is none."""
        if not self.oracle.open_calls():
            with self._bounds():
                self._judge(self._new_id(), 40, 20)
        return sorted(self.oracle.open_calls())

    @contextmanager
    def _bounds(self, **only: int) -> Iterator[None]:
        """Have no limits but these for a moment."""
        bounds, budgets = self.oracle.bounds, dict(self.oracle.budget_limits)
        self.oracle.bounds = Bounds(**only)
        self.oracle.budget_limits = dict.fromkeys(budgets, NEVER)
        yield
        self.oracle.bounds, self.oracle.budget_limits = bounds, budgets

    def _pass(self, seconds: int) -> None:
        """Let time pass."""
        self.stale = True
        self.bench.pass_time(self.account, seconds * 1000, self.keys.marks)
        self.oracle.pass_time(seconds * 1000)
        self.keys.pass_time(seconds * 1000)

    def _sweep(self) -> None:
        """Holds whose deadline passed are ended, and no others."""
        ended = set(self._do(self.bench.meter.sweep(shard_of(self.account))))
        must, may = self.oracle.due(self._look())
        self._fired("swept" if must else "swept_nothing")
        assert must <= ended <= must | may, (must, may, ended)
        quotes = ended & set(self.oracle.quotes())
        reported = [rid for _, rid in kinds_of(self.seen.entries)[len(self.oracle.entries) :]]
        assert set(reported) == ended - quotes, (reported, ended, quotes)
        for rid in [*reported, *quotes]:  # the calls in the order of the stream
            self._fired("quote_expired" if rid in quotes else "abandoned")
            self.oracle.swept(rid)

    def _roll(self, calls: int, nano: int) -> None:
        """The period ends; in the next one so much was used already."""
        end = datetime.now(UTC) - timedelta(seconds=2)
        old = self.spans.pop()
        self.spans += [Span(old.key, old.start, end), Span(f"p{len(self.spans) + 1}", end, old.end)]
        assert isinstance(self._ask(self._new_id(), 10, 10), Missing)
        self._seed(calls, nano)

    def _is_seeded(self) -> bool:
        return self.spans[-1].key in self.oracle.tallies

    def _look(self) -> Between:
        """Look at the meter; return what lies between this look and the one before."""
        before, self.seen, self.stale = getattr(self, "seen", None), self._see(), False
        return Between(before.now_us if before else 0, self.seen.now_us)

    def _see(self) -> Seen:
        return self.bench.look(self.account, [span.key for span in self.spans], list(self.oracle.budgets))

    def _seed(self, calls: int, nano: int) -> None:
        self._do(self.bench.meter.seed(self.account, self.spans[-1], calls, nano))  # type: ignore[arg-type]
        self.oracle.tallies[self.spans[-1].key] = Tally(calls, nano)

    def _report(self, rid: str, period: str, **facts: int) -> str:
        return orjson.dumps({"rid": rid, "account": self.account, "period": period} | facts).decode()

    async def _admit(self, rid: str, span: Span, nano: int, tokens: int) -> Any:
        report, limits = self._report(rid, span.key), limits_of(self.oracle.bounds)
        spends = [Spend(name, limit) for name, limit in self.oracle.budget_limits.items()]
        return await self.bench.meter.admit(
            *(rid, self.account, span, limits, nano, tokens, report.encode(), spends)  # type: ignore[arg-type]
        )

    async def _ask_all(self, rids: list[str], nano: int, tokens: int) -> list[Any]:
        return list(await asyncio.gather(*(self._admit(rid, self.spans[-1], nano, tokens) for rid in rids)))

    def _ask(self, rid: str, nano: int, tokens: int) -> Any:
        return self._do(self._admit(rid, self.spans[-1], nano, tokens))

    def _judge(self, rid: str, nano: int, tokens: int) -> None:
        answer = self._ask(rid, nano, tokens)
        self._compare(rid, nano, tokens, answer, self._look())

    def _compare(self, rid: str, nano: int, tokens: int, answer: Any, now: Between) -> None:
        """The answer must be the oracle's; an admission becomes a hold there too."""
        right = self.oracle.refusals(self.spans[-1].key, nano, tokens, now)
        self.bench.judged += 1
        self.bench.unsure += len(right) > 1
        said = answer.limit_name if isinstance(answer, Denied) else ""
        assert isinstance(answer, Admitted | Denied), answer
        assert said in right, (answer, right)
        self._fired(f"refused_{said}" if said else "admitted")
        if isinstance(answer, Admitted):
            self.oracle.admitted(rid, self.spans[-1].key, nano, tokens, answer.now_ms)

    def _settle(self, rid: str, period: str, nano: int, tokens: int, calls: int) -> str:
        report = self._report(rid, period, nano=nano, status=200 if calls else 502)
        budgets = tuple(self.oracle.budgets)
        settlement = Settlement(rid, self.account, period, nano, tokens, calls, report, budgets)
        answer = self._do(self.bench.meter.settle(settlement))
        assert answer == self.oracle.settled(rid, period, nano, tokens, calls, self._look())
        return answer
