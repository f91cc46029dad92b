"""What the meter is asked and what it answers, as values. Its scripts: `gateway/counters.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from accounts.ids import millis_of
from billing.budget_window import BudgetWindow
from billing.period import BillingPeriod

if TYPE_CHECKING:  # it needs Django; the meter's commands and the fault runs begin without
    from billing.entitlements import Entitlements

# Entries that wait for the ledger in one shard before plans that fail closed are refused calls, and everybody is.
LONG_STREAM = 50_000
LONGEST_STREAM = 200_000
# A call that began in a window settles within minutes; a spooled settlement may come days later.
_KEEP_COUNTERS_MS = 40 * 86_400_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call is checked against, by `admit` and `backlog` before it. -1: without limit. Amounts in nano-units."""

    calls: int
    spend_nano: int
    requests_per_minute: int
    tokens_per_minute: int
    concurrency: int
    backlog: int = -1  # entries that wait for the ledger in the account's shard


def limits_of(rights: "Entitlements") -> Limits:
    """Return the limits in the form of the script, where -1 means without limit.

    While the ledger writer lags, plans that fail closed wait first: so the rest need not wait at all.
    """
    return Limits(
        calls=or_none(rights.calls_per_period),
        spend_nano=or_none(rights.spend_limit_nano),
        requests_per_minute=or_none(rights.requests_per_minute),
        tokens_per_minute=or_none(rights.tokens_per_minute),
        concurrency=or_none(rights.concurrency),
        backlog=LONG_STREAM if rights.fails_closed else LONGEST_STREAM,
    )


def or_none(limit: int | None) -> int:
    """Return a limit as scripts take it: -1 where there is none."""
    return -1 if limit is None else limit


@dataclass(frozen=True, slots=True)
class Spend:
    """A budget's counter for one call: whose and which window, and the most it may reach; -1 where it only counts."""

    name: str  # "<subject id>:<window>", such as "01a2…:day:1795532400"
    limit_nano: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What makes a hold a quote's: its terms (JSON), how long it lasts, and the moment that it may not outlive (ms)."""

    terms: bytes
    lasts_ms: int
    until_ms: int


class Admitted(
    NamedTuple
):  # made for every call, and so a tuple: a frozen dataclass takes thrice as long to make
    """The hold is taken. What is used now, this call included; without it where the call was denied.

    -1 stands for what is not known.
    """

    now_ms: int
    calls: int
    nano: int
    requests_this_minute: int
    tokens_free: int
    open_calls: int
    budget_left: int = -1  # of the budget with the least left; -1 without one that stops


@dataclass(frozen=True, slots=True)
class Denied:
    """A limit bit: `limit_name` is calls, spend, budget, requests, tokens, concurrency or quotes."""

    limit_name: str
    budget: int  # which of the budgets that were asked about, from 1; 0 for other limits
    limit: int
    used: int
    wait_ms: int
    meter: Admitted


@dataclass(frozen=True, slots=True)
class Missing:
    """The meter lacks counters: of the period, or of budgets (by their place). Rebuild them, then ask again."""

    quota: bool
    budgets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WrongPeriod:
    """By the meter's clock, which decides, it is another period."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class Tally:
    """One counter as it stands."""

    is_there: bool
    calls: int
    held_calls: int
    nano: int
    held_nano: int


@dataclass(frozen=True, slots=True)
class Look:
    """Where every limit of an account stands, from `Counters.peek`."""

    now_ms: int
    requests_this_minute: int
    oldest_leaves_ms: int  # until the oldest of these requests is a minute old
    tokens_free: int
    open_calls: int
    quota: Tally
    budgets: tuple[Tally, ...]

    def as_admitted(self) -> Admitted:
        """The same, in the words of an admission; without a budget's rest. -1 for what the meter does not know."""
        calls, nano = self.quota.calls + self.quota.held_calls, self.quota.nano + self.quota.held_nano
        if not self.quota.is_there:
            calls = nano = -1
        return Admitted(
            self.now_ms, calls, nano, self.requests_this_minute, self.tokens_free, self.open_calls
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An account's reports on their way to the ledger as (kind, report), and the entry read last."""

    last_id: str
    reports: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Counter:
    """What a missing counter counts: the calls of a billing period, or a budget's. Times in Unix milliseconds."""

    name: str
    period: str  # "" for a budget's
    start_ms: int
    end_ms: int
    key_ids: tuple[str, ...] | None = None  # whose calls count; None for every key's
    before: str = ""  # the period before; "" for a budget's

    @classmethod
    def of_period(cls, period: BillingPeriod) -> "Counter":
        """The calls and the spend of a billing period."""
        return cls(period.key, period.key, _ms(period.start), _ms(period.end), before=period.previous.key)

    @classmethod
    def of_budget(cls, name: str, window: BudgetWindow, key_ids: Sequence[str] | None) -> "Counter":
        """The spend of a budget's subject in a window."""
        keys = None if key_ids is None else tuple(key_ids)
        return cls(name, "", _ms(window.start), _ms(window.end), keys)

    @property
    def expires_ms(self) -> int:
        """When nothing can be counted here any more."""
        return self.end_ms + _KEEP_COUNTERS_MS

    def counts(self, report: dict[str, object]) -> bool:
        """Tell whether a call's report belongs here. The same rule as in `lua/seed.lua`."""
        if self.period:
            return report.get("period") == self.period
        began = began_ms(str(report.get("rid", "")))
        mine = self.key_ids is None or report.get("key") in self.key_ids
        return mine and began is not None and self.start_ms <= began < self.end_ms


def began_ms(request_id: str) -> int | None:
    """Return when a call began, in Unix milliseconds: the time inside its version-7 id. None if it has none."""
    try:
        return millis_of(request_id)
    except ValueError:
        return None


def moment(ms: int) -> datetime:
    """Return a time of the meter's as a moment in UTC."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
