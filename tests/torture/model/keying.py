"""The rules of quota_model for idempotency keys."""

from hypothesis import strategies as st

from tests.torture.model.life import Life, rule
from tests.torture.model.oracle import Between

SECONDS = 100  # that a mark lasts; a claim without a hold counts for 30


class Keying(Life):
    """Calls come with keys, come again, and come with the key of another."""

    @rule(stream=st.booleans(), is_admitted=st.booleans())
    def claim(self, stream: bool, is_admitted: bool) -> None:
        """A call comes with a key of its own, and perhaps gets as far as its hold."""
        self._begin(stream, is_admitted)

    @rule(pick=st.integers(0, 99), other=st.booleans())
    def claim_again(self, pick: int, other: bool) -> None:
        """Another call comes with a key that was used: a repeat, or another request."""
        self._claim(self._name(pick), self._new_id(), "other" if other else "print", stream=False)

    @rule(pick=st.integers(0, 99))
    def claim_twice(self, pick: int) -> None:
        """A claim that was sent twice is the same claim."""
        name = self._name(pick)
        mark = self.keys.marks[name]
        self._claim(name, mark.rid, mark.print, stream=mark.stream)

    @rule()
    def claim_a_running_calls(self) -> None:
        """A repeat comes while the first call runs, and another request with its key."""
        name, _ = self._begin(False, True)
        self._claim(name, self._new_id(), "print", stream=False)
        self._claim(name, self._new_id(), "other", stream=False)

    @rule(stream=st.booleans())
    def claim_an_answered_calls(self, stream: bool) -> None:
        """A repeat comes when the first call is charged."""
        name, rid = self._begin(stream, True)
        self._mark(name, rid, "answered")
        self._settle(rid, self.oracle.holds[rid].period, 40, 5, 1)
        self._claim(name, self._new_id(), "print", stream=False)

    @rule(is_admitted=st.booleans())
    def claim_a_lost_calls(self, is_admitted: bool) -> None:
        """The first call's process died: a repeat gets the key, and should it wake up after all it charges nothing."""
        name, rid = self._begin(False, is_admitted)
        self._pass(31)
        self._sweep()
        self._claim(name, self._new_id(), "print", stream=False)
        period = self.oracle.holds[rid].period
        assert self._settle(rid, period, 40, 5, 1) == "DUP"

    @rule()
    def claim_one_given_back(self) -> None:
        """The first call failed and gave its key back: it is free, for another request too."""
        name, rid = self._begin(False, False)
        self._mark(name, rid, "free")
        self._claim(name, self._new_id(), "other", stream=False)

    @rule()
    def claim_an_old_one(self) -> None:
        """A key whose time is over is as good as new."""
        name, _ = self._begin(False, False)
        self._pass(SECONDS + 1)
        self._claim(name, self._new_id(), "other", stream=False)

    @rule(
        pick=st.integers(0, 99),
        state=st.sampled_from(["answered", "free", "free"]),
        is_own=st.sampled_from([True, True, False]),
    )
    def mark(self, pick: int, state: str, is_own: bool) -> None:
        """A call notes that it is answered, or gives its key back; nobody does so for another."""
        name = self._name(pick)
        self._mark(name, self.keys.marks[name].rid if is_own else self._new_id(), state)

    # --- Words ---

    def _name(self, pick: int) -> str:
        """A key that was claimed; one is claimed first if there is none."""
        if not self.keys.marks:
            self._begin(False, False)
        return self._pick(list(self.keys.marks), pick)

    def _begin(self, stream: bool, is_admitted: bool) -> tuple[str, str]:
        """Claim a new key for a new call; return both."""
        name, rid = f"key-{len(self.keys.marks)}-{self.number}", self._new_id()
        self._claim(name, rid, "print", stream=stream)
        if is_admitted:
            with self._bounds():
                self._judge(rid, 40, 5)
        return name, rid

    def _claim(self, name: str, rid: str, print_: str, *, stream: bool) -> None:
        """The answer must be the oracle's; a claim becomes one there too."""
        asked = self.bench.meter.claim(self.account, name, rid, print_, SECONDS, stream=stream)
        word, *rest = self._do(asked)
        now = self._look()
        right = self.keys.answer(name, rid, print_, now)
        was = self.keys.marks.get(name)
        self.bench.judged += 1
        self.bench.unsure += right is None
        assert right is None or word == right.replace("FREED", "NEW"), (word, rest, right, was)
        self._fired(f"claim_{(right or word).lower()}")
        if word != "NEW":
            assert was is not None
            assert rest == [was.rid, *([str(int(was.stream))] if word == "DONE" else [])], (rest, was)
            return
        if right == "FREED" and was is not None:
            self.oracle.taken_over(was.rid, self.spans[-1].key)
        self.keys.claimed(name, rid, print_, now, SECONDS, stream)

    def _mark(self, name: str, rid: str, state: str) -> None:
        done = self._do(self.bench.meter.mark(self.account, name, rid, state))
        now: Between = self._look()
        is_known, mark = self.keys.is_known(name, now), self.keys.marks[name]
        assert is_known is None or done == (is_known and mark.rid == rid), (done, mark)
        if done:
            self._fired(f"mark_{state}")
            mark.state = state
            if state == "free":
                del self.keys.marks[name]
