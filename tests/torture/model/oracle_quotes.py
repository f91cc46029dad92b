"""What the scripts must do with quotes: the rest of quota_model's oracle. A quote is a hold that no call has yet."""

from gateway.counters import MOST_QUOTES
from gateway.quote_holds import MOST_CALLS
from tests.torture.model.oracle import Between, CallOracle, Hold


class Oracle(CallOracle):
    """One account, its calls and its quotes."""

    def quotes(self, *states: str) -> list[str]:
        """The ids of the quotes in these states, of all where none is named."""
        return [
            rid for rid, hold in self.holds.items() if hold.is_quote and (not states or hold.state in states)
        ]

    def quote_refusals(self, period: str, nano: int, tokens: int, now: Between) -> set[str]:
        """The answers that are right for a new quote: those of a call, and "quotes" where there are too many."""
        right = self.refusals(period, nano, tokens, now)
        due = [self.holds[rid].is_due(now) for rid in self.quotes("open")]
        if "" in right and sum(it is not True for it in due) >= MOST_QUOTES:
            right = right | {"quotes"}
            if sum(it is False for it in due) >= MOST_QUOTES:
                right = right - {""}
        return right

    def quoted(self, rid: str, period: str, nano: int, tokens: int, now_ms: int, deadline: int) -> None:
        """A quote was taken, at the millisecond that the script said."""
        self.admitted(rid, period, nano, tokens, now_ms)
        hold = self.holds[rid]
        hold.is_quote, hold.early_deadline, hold.late_deadline = True, deadline, deadline

    def redemptions(self, quote_id: str, now: Between) -> set[str]:
        """What a call of its own may hear that redeems a quote. More than one: unsure."""
        hold = self.holds[quote_id]
        if hold.state != "open":
            return {{"redeemed": "USED", "expired": "EXPIRED", "gone": "NONE"}[hold.state]}
        due = hold.is_due(now)
        return {"OK", "EXPIRED"} if due is None else {"EXPIRED" if due else "OK"}

    def redeemed(self, quote_id: str, rid: str, now: Between) -> None:
        """A call has taken a quote's hold over: the same amounts, its own deadline."""
        quote = self.holds[quote_id]
        early, late = now.early // 1000 + self.hold_ms, now.late // 1000 + self.hold_ms
        self.holds[rid] = Hold(
            quote.period, quote.nano, quote.tokens, quote.tokens_limit, quote.at_ms, early, late,
            budgets=quote.budgets,
        )  # fmt: skip
        quote.state = "redeemed"

    def reopens(self, quote_id: str, rid: str, now: Between) -> bool | None:
        """Whether a call that failed leaves its quote open; None where that cannot be told."""
        quote = self.holds[quote_id]
        if self.holds[rid].state != "open" or quote.failures + 1 >= MOST_CALLS:
            return False
        due = quote.is_due(now)
        return None if due is None else not due

    def reopened(self, quote_id: str, rid: str) -> None:
        """A call failed and gave the hold back: it has its entry, and no counter moved."""
        quote, call = self.holds[quote_id], self.holds[rid]
        quote.state, quote.budgets, quote.failures = "open", call.budgets, quote.failures + 1
        call.state = "done"
        self.entries.append(("final", rid))

    def released(self, quote_id: str, now: Between) -> bool:
        """A quote is given back; returns what the script must answer."""
        hold = self.holds[quote_id]
        if hold.state != "open":
            return False
        hold.state = "gone"
        if hold.tokens_limit > 0:
            self.give_back(hold, 0, now)
        return True

    def swept(self, rid: str) -> None:
        """A hold was ended by the sweep. A quote leaves no entry."""
        if self.holds[rid].is_quote:
            self.holds[rid].state = "expired"
        else:
            super().swept(rid)
