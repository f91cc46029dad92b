"""The rules of quota_model for what befalls calls and quotes: time, limits, periods, the server."""

from dataclasses import replace

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from gateway.counters import Counter
from tests.torture.model.life import Life, rule
from tests.torture.model.oracle import NEVER

MOST_BUDGETS = 3


class Befalls(Life):
    """What happens to an account without its doing."""

    @rule(seconds=st.sampled_from([1, 7, 20, 31, 61]))
    def pass_time(self, seconds: int) -> None:
        """Nothing happens for a while."""
        self._pass(seconds)

    @rule(seconds=st.sampled_from([0, 20, 31, 61]))
    def sweep(self, seconds: int) -> None:
        """After a while, holds whose deadline passed are ended, and no others."""
        self._pass(seconds)
        self._sweep()

    @rule(
        limit=st.sampled_from(
            [
                *({"calls": number} for number in (0, 3, 8, 20)),
                *({"nano": number} for number in (0, 250, 1000, 5000)),
                *({"requests": number} for number in (0, 2, 6)),
                *({"tokens": number} for number in (0, 30, 40, 100, 7001)),
                *({"concurrency": number} for number in (0, 1, 4)),
                {"calls": NEVER, "requests": NEVER, "concurrency": NEVER},
                {"nano": NEVER, "tokens": NEVER},
            ]
        )
    )
    def change_limits(self, limit: dict[str, int]) -> None:
        """The account changes its plan; calls may be open and more may be used than the new one allows."""
        self.oracle.bounds = replace(self.oracle.bounds, **limit)

    @precondition(lambda self: len(self.oracle.budgets) < MOST_BUDGETS)
    @rule()
    def start_budget(self) -> None:
        """A budget is set while calls run: what was used before counts, and open calls join it."""
        self._start_budget()

    def _start_budget(self) -> None:
        name = f"{self.account}:w{len(self.oracle.budgets)}"
        waiting = self._do(self.bench.meter.waiting(self.account))
        assert waiting is not None
        used = sum(orjson.loads(report).get("nano", 0) for _, report in waiting.reports)
        counter = Counter(name, "", 0, 2**46)
        started = self._do(self.bench.meter.start(self.account, counter, 0, used, waiting.last_id))
        assert started == "SEEDED"
        self.oracle.start_budget(name)

    @rule(pick=st.integers(0, 9), limit=st.sampled_from([NEVER, 0, 200, 600]), above=st.booleans())
    def change_budget(self, pick: int, limit: int, above: bool) -> None:
        """A budget is raised or lowered, also below what is used."""
        if not self.oracle.budgets:
            self._start_budget()
        name = self._pick(list(self.oracle.budgets), pick)
        self.oracle.budget_limits[name] = limit + self.oracle.budgets[name] * (above and limit > 0)

    @rule(calls=st.integers(0, 3), nano=st.sampled_from([0, 50]))
    def roll_period(self, calls: int, nano: int) -> None:
        """A period ends with calls open; the next one has no counters yet."""
        self._roll(calls, nano)

    @rule(nano=st.sampled_from([0, 77]))
    def seed_again(self, nano: int) -> None:
        """Two gateways start the same counters: the second changes nothing."""
        self._do(self.bench.meter.seed(self.account, self.spans[-1], 5, nano))  # type: ignore[arg-type]

    @rule()
    def flush_scripts(self) -> None:
        """The server forgets the scripts."""
        self.bench.own_meter.tell("SCRIPT", "FLUSH")

    @rule(dice=st.integers(1, 120))
    def restart(self, dice: int) -> None:
        """The server is killed and comes back from its log. (Seldom: it takes long.)"""
        if dice % self.bench.one_restart_in == 0:
            self.stale = True
            self._fired("restarted")
            self.bench.restart()
