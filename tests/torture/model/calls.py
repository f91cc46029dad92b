"""The rules of quota_model for calls."""

from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from gateway.counters import Admitted, Missing, WrongPeriod
from tests.torture.model.life import Life, rule
from tests.torture.model.oracle import Between


class Calls(Life):
    """Calls are admitted, settled, lost and settled late."""

    @rule(nano=st.sampled_from([0, 1, 40, 100, 250]), tokens=st.sampled_from([0, 5, 30, 60]))
    def admit(self, nano: int, tokens: int) -> None:
        """A new call asks."""
        self._judge(self._new_id(), nano, tokens)

    @rule(number=st.integers(2, 8), nano=st.sampled_from([0, 40, 100]), tokens=st.sampled_from([0, 20]))
    def crowd(self, number: int, nano: int, tokens: int) -> None:
        """Many new calls ask at once: as many are admitted as if they had come one after the other."""
        rids = [self._new_id() for _ in range(number)]
        answers = self._do(self._ask_all(rids, nano, tokens))
        now = self._look()
        for rid, answer in zip(rids, answers, strict=True):
            self._compare(rid, nano, tokens, answer, now)

    @precondition(lambda self: self.oracle.calls())
    @rule(pick=st.integers(0, 99))
    def admit_again(self, pick: int) -> None:
        """An admission that was sent twice takes no second hold, whatever became of the first."""
        rid = self._pick(self.oracle.calls(), pick)
        if self.oracle.holds[rid].period == self.spans[-1].key:
            assert isinstance(self._ask(rid, 100, 10), Admitted if self._is_seeded() else Missing)

    @rule(tokens=st.sampled_from([31, 60]))
    def admit_too_many_tokens(self, tokens: int) -> None:
        """A call that is larger than a minute's tokens is refused, and takes none."""
        with self._bounds(tokens=30):
            self._judge(self._new_id(), 0, tokens)

    @rule(more=st.booleans())
    def admit_too_many_at_once(self, more: bool) -> None:
        """As many calls as may run are running; calls whose deadline has passed are none of them."""
        self._look()
        with self._bounds(concurrency=self.oracle.alive(Between(self.seen.now_us, self.seen.now_us)) + more):
            self._judge(self._new_id(), 0, 0)
            if more:
                self._judge(self._new_id(), 0, 0)

    @rule(more=st.booleans(), of_calls=st.booleans())
    def admit_at_the_plans_end(self, more: bool, of_calls: bool) -> None:
        """The period's calls, or the credit, have room for one call and no more."""
        key = self.spans[-1].key
        used, held = self.oracle.tallies[key], self.oracle.held(key)
        calls, nano = used.calls + held.calls + more, used.nano + held.nano + 40 * more
        with self._bounds(**({"calls": calls} if of_calls else {"nano": nano})):
            for _ in range(1 + more):
                self._judge(self._new_id(), 40, 0)

    @rule(requests=st.sampled_from([1, 2]))
    def admit_too_many_a_minute(self, requests: int) -> None:
        """One call more than may ask in a minute."""
        with self._bounds(requests=requests):
            for _ in range(requests + 1):
                self._judge(self._new_id(), 0, 0)

    @rule(more=st.booleans())
    def admit_at_a_budgets_end(self, more: bool) -> None:
        """A budget has room for one call and no more; it counts what is held in it, too."""
        if self.oracle.budgets:
            name = next(iter(self.oracle.budgets))
            with self._bounds():
                spent = self.oracle.budgets[name] + self.oracle.held_in(name)
                self.oracle.budget_limits[name] = spent + 40 * more
                for _ in range(1 + more):
                    self._judge(self._new_id(), 40, 0)

    @rule()
    def admit_in_ended_period(self) -> None:
        """A gateway whose clock is behind is told so, and nothing is written."""
        if len(self.spans) == 1:
            self._roll(0, 0)
        answer = self._do(self._admit(self._new_id(), self.spans[-2], 10, 10))
        assert isinstance(answer, WrongPeriod), answer

    @rule(pick=st.integers(0, 99))
    def settle_less(self, pick: int) -> None:
        """A call ends that used half of its hold."""
        self._end(pick, Fraction(1, 2), 0)

    @rule(pick=st.integers(0, 99))
    def settle_equal(self, pick: int) -> None:
        """A call ends that used all of its hold."""
        self._end(pick, Fraction(1), 0)

    @rule(pick=st.integers(0, 99))
    def settle_more(self, pick: int) -> None:
        """A call ends that used more than its hold, as where no limit asks for a bound."""
        self._end(pick, Fraction(1), 7)

    @rule(pick=st.integers(0, 99))
    def settle_zero(self, pick: int) -> None:
        """A call ends that is not charged."""
        self._end(pick, Fraction(0), 0)

    @precondition(lambda self: "done" in self._states())
    @rule(pick=st.integers(0, 99))
    def settle_again(self, pick: int) -> None:
        """A settlement that was sent twice moves nothing."""
        rid = self._pick(self._in_state("done"), pick)
        assert self._settle(rid, self.oracle.holds[rid].period, 33, 3, 1) == "DUP"

    @rule(pick=st.integers(0, 99), nano=st.sampled_from([0, 40, 300]))
    def settle_late(self, pick: int, nano: int) -> None:
        """A process that was taken for dead settles after the sweep."""
        if "void" not in self._states():
            self._open_calls()
            self._pass(31)
            self._sweep()
        rid = self._pick(self._in_state("void"), pick)
        assert self._settle(rid, self.oracle.holds[rid].period, nano, 5, 1) == "LATE"

    @rule(nano=st.sampled_from([0, 40]))
    def settle_unknown(self, nano: int) -> None:
        """A settlement whose hold the meter never saw, as after a loss of data."""
        assert self._settle(self._new_id(), self.spans[-1].key, nano, 5, 1) == "UNKNOWN"

    @precondition(lambda self: self.oracle.calls())
    @rule(pick=st.integers(0, 99))
    def extend(self, pick: int) -> None:
        """A heartbeat keeps an open hold, and revives no other."""
        rid = self._pick(self.oracle.calls(), pick)
        kept = self._do(self.bench.meter.extend(self.account, rid))
        assert kept == self.oracle.extended(rid, self._look())

    def _end(self, pick: int, share: Fraction, more: int) -> None:
        rid = self._pick(self._open_calls(), pick)
        hold = self.oracle.holds[rid]
        nano, tokens = int(hold.nano * share) + more, int(hold.tokens * share) + more
        self._settle(rid, hold.period, nano, tokens, calls=int(share > 0))
