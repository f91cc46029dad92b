"""The rules of quota_model for quotes."""

import asyncio
from typing import Any

from hypothesis import strategies as st

from gateway.counters import MOST_QUOTES, Admitted, Denied, Offer, Settlement, Spend
from gateway.quote_terms import Quote, Terms
from tests.torture.model.bench import limits_of
from tests.torture.model.life import Life, rule
from tests.torture.model.oracle import Between

TERMS = Terms("key", "/v1/chat/completions", "a/model", "USD", "print", [], {})
LASTS = (1, 10, 30, 600)  # seconds
NEVER_MS = 2**50


class Quoting(Life):
    """Quotes are taken, redeemed, given back, and expire."""

    @rule(
        nano=st.sampled_from([0, 1, 40, 100]),
        tokens=st.sampled_from([0, 5, 30]),
        lasts=st.sampled_from(LASTS),
        soon=st.booleans(),
    )
    def take_quote(self, nano: int, tokens: int, lasts: int, soon: bool) -> None:
        """A quote is asked for, and perhaps a window of its budgets ends in 5 s."""
        self._take(nano, tokens, lasts, self.seen.now_us // 1000 + 5_000 if soon else NEVER_MS)

    @rule(lasts=st.sampled_from(LASTS[1:]))
    def take_too_many_quotes(self, lasts: int) -> None:
        """An account has no more than so many at once."""
        with self._bounds():
            rids = [self._new_id() for _ in range(MOST_QUOTES + 1 - len(self.oracle.quotes("open")))]
            answers = self._do(self._ask_quotes(rids, Offer(TERMS.as_json(), lasts * 1000, NEVER_MS)))
            now = self._look()
            for rid, answer in zip(rids, answers, strict=True):
                self._compare_quote(rid, (0, 0), answer, now, lasts, NEVER_MS)

    @rule(pick=st.integers(0, 99), late=st.sampled_from([0, 0, 0, 2, 31]))
    def redeem(self, pick: int, late: int) -> None:
        """A call redeems an open quote, perhaps too late."""
        quotes = self._open_quotes()
        if late:
            self._pass(late)
        self._redeem(self._pick(quotes, pick))

    @rule(pick=st.integers(0, 99), how=st.sampled_from(["redeemed", "expired", "gone"]))
    def redeem_one_that_is_over(self, pick: int, how: str) -> None:
        """A call names a quote that another has redeemed, that has expired, or that was given back."""
        self._redeem(self._pick(self._quotes_over(how), pick))

    @rule(pick=st.integers(0, 99))
    def redeem_again(self, pick: int) -> None:
        """A redemption that was sent twice moves nothing, whatever became of the call."""
        quote_id = self._pick(self._open_quotes(), pick)
        rid = self._redeem(quote_id)
        if rid in self.oracle.holds:
            self._fired("redeemed_again")
            assert self._ask_redeem(quote_id, rid) == ("OK", "")
            self._redeem(quote_id)

    @rule(pick=st.integers(0, 99), late=st.sampled_from([0, 0, 2, 31]), times=st.integers(1, 3))
    def fail(self, pick: int, late: int, times: int) -> None:
        """A call that redeemed a quote fails, perhaps late, and another after it; each end is sent twice."""
        quote_id = self._pick(self._open_quotes(), pick)
        for _ in range(times):
            rid = self._redeem(quote_id)
            if rid not in self.oracle.holds:
                return
            if late:
                self._pass(late)
            self._fail(quote_id, rid)

    @rule(pick=st.integers(0, 99), late=st.sampled_from([0, 0, 11]), is_named=st.booleans())
    def release(self, pick: int, late: int, is_named: bool) -> None:
        """A quote is given back, also after its deadline if the sweep has not come; perhaps a call names it then."""
        quote_id = self._pick(self._open_quotes(), pick)
        if late:
            self._pass(late)
        self._release(quote_id)
        if is_named:
            self._redeem(quote_id)

    @rule(pick=st.integers(0, 99), how=st.sampled_from(["redeemed", "expired", "gone"]))
    def release_one_that_is_over(self, pick: int, how: str) -> None:
        """What is over is not given back a second time."""
        self._release(self._pick(self._quotes_over(how), pick))

    @rule(lasts=st.sampled_from(LASTS[:3]))
    def let_quotes_expire(self, lasts: int) -> None:
        """Nobody redeems a quote in time."""
        with self._bounds():
            self._take(40, 20, lasts, NEVER_MS)
        self._pass(lasts + 1)
        self._sweep()

    # --- Words ---

    def _open_quotes(self) -> list[str]:
        """The quotes that are open; one is taken first if there is none."""
        if not self.oracle.quotes("open"):
            with self._bounds():
                self._take(40, 20, 600, NEVER_MS)
        return self.oracle.quotes("open")

    def _quotes_over(self, how: str) -> list[str]:
        """The quotes that ended so; one is ended first if there is none."""
        if not self.oracle.quotes(how):
            quote_id = self._open_quotes()[0]
            if how == "expired":
                self._pass(max(LASTS) + 1)
                self._sweep()
            elif how == "redeemed":
                self._redeem(quote_id)
            else:
                self._release(quote_id)
        return self.oracle.quotes(how) or self.oracle.quotes()

    def _take(self, nano: int, tokens: int, lasts: int, until: int) -> None:
        """Ask for a quote."""
        rid = self._new_id()
        answer = self._do(self._ask_quote(rid, nano, tokens, Offer(TERMS.as_json(), lasts * 1000, until)))
        self._compare_quote(rid, (nano, tokens), answer, self._look(), lasts, until)

    def _compare_quote(
        self, rid: str, size: tuple[int, int], answer: Any, now: Between, lasts: int, until: int
    ) -> None:
        """The answer must be the oracle's; an admission becomes a quote there too."""
        (nano, tokens), span = size, self.spans[-1]
        right = self.oracle.quote_refusals(span.key, nano, tokens, now)
        self.bench.judged += 1
        self.bench.unsure += len(right) > 1
        said = answer.limit_name if isinstance(answer, Denied) else ""
        assert isinstance(answer, Admitted | Denied), answer
        assert said in right, (answer, right)
        self._fired(f"refused_{said}" if said else "quoted")
        if isinstance(answer, Admitted):
            deadline = min(answer.now_ms + lasts * 1000, span.bounds_ms[1], until)
            self.oracle.quoted(rid, span.key, nano, tokens, answer.now_ms, deadline)

    async def _ask_quotes(self, rids: list[str], offer: Offer) -> list[Any]:
        return list(await asyncio.gather(*(self._ask_quote(rid, 0, 0, offer) for rid in rids)))

    async def _ask_quote(self, rid: str, nano: int, tokens: int, offer: Offer) -> Any:
        span, limits = self.spans[-1], limits_of(self.oracle.bounds)
        report = self._report(rid, span.key).encode()
        spends = [Spend(name, limit) for name, limit in self.oracle.budget_limits.items()]
        return await self.bench.meter.admit(
            *(rid, self.account, span, limits, nano, tokens, report, spends, offer)  # type: ignore[arg-type]
        )

    def _redeem(self, quote_id: str) -> str:
        """Redeem a quote by a new call, and return the call's id."""
        rid = self._new_id()
        word, other = self._ask_redeem(quote_id, rid)
        now = self._look()
        right = self.oracle.redemptions(quote_id, now)
        assert word in right, (word, right)
        self._fired(
            {"OK": "redeemed", "USED": "redeem_used", "EXPIRED": "redeem_late", "NONE": "redeem_gone"}[word]
        )
        assert (word == "USED") == (other in self.oracle.holds), (word, other)
        if word == "OK":
            self.oracle.redeemed(quote_id, rid, now)
        return rid

    def _fail(self, quote_id: str, rid: str) -> None:
        """The call fails: either its quote is open again, or it is settled as any."""
        period = self.oracle.holds[rid].period
        report, budgets = self._report(rid, period, nano=0, status=502), tuple(self.oracle.budgets)
        failed = Settlement(rid, self.account, period, 0, 0, 0, report, budgets)
        answers = [self._do(self.bench.quotes.settle_failed(failed, quote_id)) for _ in range(2)]
        now = self._look()
        is_open, right = quote_id.encode() in self.seen.quotes, self.oracle.reopens(quote_id, rid, now)
        assert right in (None, is_open), (quote_id, rid, is_open)
        self._fired("reopened" if is_open else "used_up")
        if is_open:
            self.oracle.reopened(quote_id, rid)
            assert answers == ["OK", "DUP"]
        else:
            assert answers == [self.oracle.settled(rid, period, 0, 0, 0, now), "DUP"]

    def _ask_redeem(self, quote_id: str, rid: str) -> tuple[str, str]:
        report = self._report(rid, self.oracle.holds[quote_id].period).encode()
        return self._do(self.bench.quotes.redeem(self.account, quote_id, rid, report))

    def _release(self, quote_id: str) -> None:
        hold = self.oracle.holds[quote_id]
        quote = Quote(quote_id, "open", TERMS, hold.period, hold.nano, hold.tokens, 0, "", ())
        done = self._do(self.bench.quotes.release(self.account, quote))
        self._fired("released" if done else "released_nothing")
        assert done == self.oracle.released(quote_id, self._look())
