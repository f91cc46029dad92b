"""What the meter's scripts must do, in plain Python and knowing nothing of Redis: the other half of quota_model.

The scripts use the server's clock, which nobody here can read in the same moment. So the oracle is told two times, one
before and one after the script ran, and judges for both. Where they agree the script must too; where a deadline or a
rate falls between them (`unsure`, a few in ten thousand) what the script did is taken over.
"""

from dataclasses import dataclass, field

MINUTE_MS = 60_000
MINUTE_US = 60_000_000
NEVER = -1


@dataclass(frozen=True)
class Bounds:
    """The limits in force; -1 means none."""

    calls: int = NEVER
    nano: int = NEVER
    requests: int = NEVER
    tokens: int = NEVER
    concurrency: int = NEVER


@dataclass(frozen=True)
class Between:
    """A moment that lies between two readings of the server's clock, in µs."""

    early: int
    late: int


@dataclass
class Hold:
    """A call that was admitted, or a quote. Times in ms since an epoch that `pass_time` moves."""

    period: str
    nano: int
    tokens: int
    tokens_limit: int
    at_ms: int
    early_deadline: int
    late_deadline: int
    state: str = "open"  # open | done | void; of a quote: open | redeemed | expired | gone
    budgets: set[str] = field(default_factory=set)  # whose counters it is held in
    is_quote: bool = False
    failures: int = 0  # of a quote: the calls that gave its hold back

    def is_due(self, now: Between) -> bool | None:
        """Whether its deadline has passed; None where that cannot be told."""
        if self.late_deadline * 1000 <= now.early:
            return True
        return None if self.early_deadline * 1000 <= now.late else False


@dataclass
class Tally:
    """The counters of one period."""

    calls: int = 0
    nano: int = 0


@dataclass
class CallOracle:
    """One account and its calls."""

    hold_ms: int
    bounds: Bounds = field(default_factory=Bounds)
    tallies: dict[str, Tally] = field(default_factory=dict)  # by period; only seeded ones
    holds: dict[str, Hold] = field(default_factory=dict)
    minute: list[int] = field(default_factory=list)  # ms at which calls were admitted
    tat: Between = field(default_factory=lambda: Between(0, 0))  # GCRA's theoretical arrival time
    budgets: dict[str, int] = field(default_factory=dict)  # what is used of each, over all periods
    budget_limits: dict[str, int] = field(default_factory=dict)
    settled_nano: int = 0  # of all calls of this life
    entries: list[tuple[str, str]] = field(default_factory=list)  # (kind, request id) of the usage stream
    unsure: int = 0

    def open_in(self, period: str) -> list[Hold]:
        """The open holds of a period."""
        return [hold for hold in self.holds.values() if hold.state == "open" and hold.period == period]

    def open_ids(self) -> set[str]:
        """The request ids of all open holds."""
        return {rid for rid, hold in self.holds.items() if hold.state == "open"}

    def calls(self) -> list[str]:
        """The request ids of all calls that were admitted."""
        return [rid for rid, hold in self.holds.items() if not hold.is_quote]

    def open_calls(self) -> list[str]:
        """The request ids of the calls that run."""
        return [rid for rid in self.calls() if self.holds[rid].state == "open"]

    def alive(self, now: Between) -> int:
        """How many open holds surely have not come to their deadlines."""
        return sum(self.holds[rid].is_due(now) is False for rid in self.open_ids())

    def held(self, period: str) -> Tally:
        """What is held in a period."""
        found = self.open_in(period)
        return Tally(len(found), sum(hold.nano for hold in found))

    def held_in(self, budget: str) -> int:
        """What is held in a budget, over all periods."""
        return sum(h.nano for h in self.holds.values() if h.state == "open" and budget in h.budgets)

    def start_budget(self, name: str) -> None:
        """A budget is set while calls run: what was used before counts, and open calls join it."""
        self.budgets[name], self.budget_limits[name] = self.settled_nano, NEVER
        for hold in self.holds.values():
            if hold.state == "open":
                hold.budgets.add(name)

    def refusals(self, period: str, nano: int, tokens: int, now: Between) -> set[str]:
        """The answers that are right for a new call: names of limits, or "" for admitted. More than one: unsure."""
        used, held = self.tallies[period], self.held(period)
        if 0 <= self.bounds.calls < used.calls + held.calls + 1:
            return {"calls"}
        if 0 <= self.bounds.nano < used.nano + held.nano + nano:
            return {"spend"}
        for name, limit in self.budget_limits.items():
            if 0 <= limit < self.budgets[name] + self.held_in(name) + nano:
                return {"budget"}
        extremes = ((now.early, self.tat.late), (now.late, self.tat.early))
        rest = {self._refusal_by_time(tokens, moment, tat) for moment, tat in extremes}
        return rest if self._surely_open(now) else rest | {"", "concurrency"}

    def _surely_open(self, now: Between) -> bool:
        return all(hold.is_due(now) is not None for hold in self.holds.values() if hold.state == "open")

    def _refusal_by_time(self, tokens: int, moment: int, tat: int) -> str:
        if 0 <= self.bounds.requests < self._in_last_minute(moment) + 1:
            return "requests"
        if self.bounds.tokens >= 0 and not self._has_tokens(tokens, moment, tat):
            return "tokens"
        alive = sum(h.late_deadline * 1000 > moment for h in self.holds.values() if h.state == "open")
        return "concurrency" if 0 <= self.bounds.concurrency < alive + 1 else ""

    def _in_last_minute(self, moment: int) -> int:
        return sum(moment - at * 1000 <= MINUTE_US for at in self.minute)

    def _has_tokens(self, tokens: int, moment: int, tat: int) -> bool:
        if self.bounds.tokens == 0:
            return False
        after = max(min(tat, moment + MINUTE_US), moment) + _cost(tokens, self.bounds.tokens)
        return after <= moment + MINUTE_US

    def admitted(self, rid: str, period: str, nano: int, tokens: int, now_ms: int) -> None:
        """A hold was taken, at the millisecond that the script said."""
        deadline = now_ms + self.hold_ms
        self.holds[rid] = Hold(period, nano, tokens, self.bounds.tokens, now_ms, deadline, deadline)
        self.holds[rid].budgets = set(self.budgets)
        if self.bounds.requests >= 0:
            self.minute.append(now_ms)
        # Also of a call without a limit of tokens, which costs none: what calls used past a whole minute's tokens, more
        # than they held, is forgotten with any admission, lest a clock that stepped back lock the account.
        cost = _cost(tokens, self.bounds.tokens) if self.bounds.tokens >= 0 else 0
        early, late = now_ms * 1000, now_ms * 1000 + 999
        self.tat = Between(
            max(min(self.tat.early, early + MINUTE_US), early) + cost,
            max(min(self.tat.late, late + MINUTE_US), late) + cost,
        )

    def settled(self, rid: str, period: str, nano: int, tokens: int, calls: int, now: Between) -> str:
        """A call's settlement; returns what the script must answer."""
        hold = self.holds.get(rid)
        if hold and hold.state == "done":
            return "DUP"
        outcome, kind = {"open": ("OK", "final"), "void": ("LATE", "late"), "": ("UNKNOWN", "final")}[
            hold.state if hold else ""
        ]
        if period in self.tallies:
            self.tallies[period].calls += calls
            self.tallies[period].nano += nano
        for name in hold.budgets if hold else self.budgets:
            self.budgets[name] += nano
        self.settled_nano += nano
        if hold and hold.state == "open" and hold.tokens_limit > 0:
            self.give_back(hold, tokens, now)
        self.holds[rid] = hold or Hold(period, nano, tokens, NEVER, 0, 0, 0)
        self.holds[rid].state = "done"
        self.entries.append((kind, rid))
        return outcome

    def give_back(self, hold: Hold, used: int, now: Between) -> None:
        """What was not used, but not what the rate has given back by itself since the call was admitted."""
        unused = hold.tokens - used
        if unused and self.tat.late > 0:
            moved = unused * MINUTE_US // hold.tokens_limit
            end = hold.at_ms * 1000 + _cost(hold.tokens, hold.tokens_limit)
            most, least = (max(0, end + 999 - now.early), max(0, end - now.late))
            self.tat = Between(self.tat.early - min(moved, most), self.tat.late - min(moved, least))

    def extended(self, rid: str, now: Between) -> bool:
        """A heartbeat; returns what the script must answer."""
        hold = self.holds.get(rid)
        if not hold or hold.state != "open":
            return False
        early, late = now.early // 1000 + self.hold_ms, now.late // 1000 + self.hold_ms
        hold.early_deadline, hold.late_deadline = (
            max(hold.early_deadline, early),
            max(hold.late_deadline, late),
        )
        return True

    def due(self, now: Between) -> tuple[set[str], set[str]]:
        """The holds that a sweep must end, and those that it may."""
        opened = {rid: self.holds[rid].is_due(now) for rid in self.open_ids()}
        return {rid for rid, due in opened.items() if due}, {
            rid for rid, due in opened.items() if due is None
        }

    def swept(self, rid: str) -> None:
        """A hold was ended by the sweep."""
        self.holds[rid].state = "void"
        self.entries.append(("abandoned", rid))

    def taken_over(self, rid: str, period: str) -> None:
        """The key of a call that was lost went to another: should it settle after all, it is a repetition."""
        self.holds[rid] = self.holds.get(rid) or Hold(period, 0, 0, NEVER, 0, 0, 0)
        self.holds[rid].state = "done"

    def pass_time(self, ms: int) -> None:
        """Let time pass: every time that is remembered moves back."""
        for hold in self.holds.values():
            hold.at_ms -= ms
            hold.early_deadline -= ms
            hold.late_deadline -= ms
        self.minute = [at - ms for at in self.minute]
        if self.tat.late > 0:
            self.tat = Between(self.tat.early - ms * 1000, self.tat.late - ms * 1000)


def _cost(tokens: int, per_minute: int) -> int:
    return -(-tokens * MINUTE_US // per_minute) if per_minute else 0
