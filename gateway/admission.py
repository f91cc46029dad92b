"""Step 2, may they: every limit of account and key in one atomic step, and a hold on what the call may cost.

The hold is an upper bound (`gateway/sizing.py`), so a charge never exceeds it where an amount must not be passed.
It is taken in the counters of the billing period and of every budget that the call counts towards, and stays in
those windows however late it is settled.

Where the meter is away this raises MeterUnavailable, and limiter.py says what then; nothing here answers "unlimited".
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from django.utils import timezone

from accounts.ids import uuid7_text
from billing.budget_window import BudgetWindow
from billing.entitlements import BudgetLimit, Entitlements
from billing.period import BillingPeriod
from gateway import errors
from gateway.authentication import Caller
from gateway.counters import (
    Admitted,
    Counters,
    Denied,
    Limits,
    Missing,
    Offer,
    Spend,
    WrongPeriod,
)
from gateway.errors import Refusal
from gateway.limits import began_ms, moment, or_none
from gateway.orders import Order
from gateway.rebuilding import rebuild_budget, rebuild_quota
from gateway.sizing import likely_tokens

_TRIES = 3
NO_LIMITS = Limits(calls=-1, spend_nano=-1, requests_per_minute=-1, tokens_per_minute=-1, concurrency=-1)


@dataclass(frozen=True, slots=True)
class Counted:
    """A budget in the window that a call belongs to: the one in which it began."""

    budget: BudgetLimit
    window: BudgetWindow

    @property
    def spend(self) -> Spend:
        """What the meter is asked: the counter's name, and its limit if it stops calls."""
        limit = self.budget.limit_nano if self.budget.hard_stop else -1
        return Spend(self.budget.counter_name(self.window), limit)


class Hold(NamedTuple):
    """An admitted call: who pays, at what prices, and how much is set aside for it."""

    request_id: str
    caller: Caller
    order: Order
    period: str
    nano: int
    tokens: int
    admitted: Admitted | None  # None: the meter was away, and the call lives on a lease
    started: float  # monotonic seconds
    budgets: tuple[str, ...] = ()  # the counters beside the period's that it is held in

    @property
    def is_cap(self) -> bool:
        """Whether the charge may not exceed the hold, whatever the upstream reports."""
        return self.caller.has_hard_limit or self.order.max_cost is not None

    @property
    def degraded(self) -> bool:
        """The meter did not decide on this call."""
        return self.admitted is None


async def admit(
    request_id: str, caller: Caller, order: Order, counters: Counters, offer: Offer | None = None
) -> Hold:
    """Take a call's hold, or with an `offer` a quote's, or refuse with the one limit that bit. Writes only in the
    meter, only if admitted.

    MeterUnavailable where the meter is away: a hold may have been taken or not, and expires if it was.
    """
    started = time.monotonic()
    rights = caller.entitlements
    nano, tokens = size_of(order, rights)
    counted = counted_at(caller.budgets, request_id)
    spends = [it.spend for it in counted]
    period = BillingPeriod.at(time.time())
    for _ in range(_TRIES):
        report = abandoned(request_id, caller, order, period.key)
        answer = await counters.admit(
            request_id, caller.account_id, period, caller.limits, nano, tokens, report, spends, offer
        )
        match answer:
            case Admitted():
                names = tuple(spend.name for spend in spends)
                return Hold(request_id, caller, order, period.key, nano, tokens, answer, started, names)
            case Denied():
                raise replace(_refusal(answer, period, counted), meter=answer.meter)
            case Missing():
                await rebuild(counters, caller.account_id, answer, period, counted)
            case WrongPeriod(now_ms):
                period = BillingPeriod.containing(datetime.fromtimestamp(now_ms / 1000, tz=UTC))
    raise errors.limiter_unavailable()


async def hold_again(hold: Hold, counters: Counters) -> None:
    """Put an open call's hold back into a meter that may have lost it. One that it has stays as it is."""
    if hold.degraded:
        return
    report = abandoned(hold.request_id, hold.caller, hold.order, hold.period)
    period, account_id = BillingPeriod.parse(hold.period), hold.caller.account_id
    counted = counted_at(hold.caller.budgets, hold.request_id)
    spends = [Spend(it.spend.name, -1) for it in counted]
    for _ in range(_TRIES):
        answer = await counters.admit(
            hold.request_id, account_id, period, NO_LIMITS, hold.nano, hold.tokens, report, spends
        )
        if not isinstance(answer, Missing):
            return
        await rebuild(counters, account_id, answer, period, counted)


async def look(caller: Caller, request_id: str, counters: Counters) -> Admitted:
    """Return where a caller's limits stand, without a call. Counters that are missing stay so. Only looks."""
    period = BillingPeriod.containing(timezone.now())
    spends = [it.spend for it in counted_at(caller.budgets, request_id)]
    tokens = or_none(caller.entitlements.tokens_per_minute)
    found = await counters.peek(caller.account_id, period, tokens, spends)
    left = [
        max(spend.limit_nano - tally.nano - tally.held_nano, 0)
        for spend, tally in zip(spends, found.budgets, strict=True)
        if spend.limit_nano >= 0 and tally.is_there
    ]
    return found.as_admitted()._replace(budget_left=min(left, default=-1))


async def rebuild(
    counters: Counters, account_id: str, missing: Missing, period: BillingPeriod, counted: Sequence[Counted]
) -> None:
    """Start the counters that are missing: in a new period or window, for a new budget, after a loss of data."""
    if missing.quota:
        await rebuild_quota(counters, account_id, period)
    for place in missing.budgets:
        await rebuild_budget(counters, account_id, counted[place].budget, counted[place].window)


def counted_at(budgets: Sequence[BudgetLimit], request_id: str) -> list[Counted]:
    """Return the windows that a call belongs to: by the time inside its id, as in the ledger."""
    if not budgets:
        return []
    began = began_ms(request_id) or 0
    return [Counted(budget, budget.window_at(began)) for budget in budgets]


def size_of(order: Order, rights: Entitlements) -> tuple[int, int]:
    """Return (nano-units, tokens) to hold."""
    tokens = likely_tokens(order.input_bytes, order.max_output_tokens, rights.tokens_per_minute)
    return order.most_nano, tokens


def new_request_id() -> str:
    """Return the id of a new call. Made here at the edge; a client's own id is never trusted."""
    return uuid7_text()


def abandoned(request_id: str, caller: Caller, order: Order, period: str) -> bytes:
    """Return the report that the sweep emits should this process die: the call happened, at no charge."""
    report = {
        "rid": request_id,
        "account": caller.account_id,
        "period": period,
        "key": caller.key_id,
        "endpoint": order.endpoint.path,
        "task": order.task,
        "model": order.listed.model_id,
        "upstream": order.candidates[0].way.name,
        "status": 500,
        "error": "abandoned",
        "currency": caller.entitlements.currency,
        "stream": order.stream,
    }
    if order.quote is not None:
        report["quote"] = order.quote.quote_id
    return orjson.dumps(report)


def _refusal(denied: Denied, period: BillingPeriod, counted: Sequence[Counted]) -> Refusal:
    """Put the limit that bit into words."""
    wait = max(1, -(-denied.wait_ms // 1000))
    match denied.limit_name:
        case "calls":
            return errors.quota_exceeded(denied.limit, denied.used, period.end)
        case "spend":
            return errors.insufficient_credit(denied.limit, denied.used, period.end)
        case "budget":
            bit = counted[denied.budget - 1]
            ends = bit.window.resets_at
            return errors.budget_exceeded(
                bit.budget.scope, bit.budget.window, denied.limit, denied.used, ends
            )
        case "requests" | "tokens":
            again = moment(denied.meter.now_ms) + timedelta(milliseconds=denied.wait_ms)
            return errors.rate_limit_exceeded(denied.limit_name, denied.limit, denied.used, wait, again)
        case "concurrency":
            return errors.concurrency_limit_exceeded(denied.limit, denied.used)
        case "quotes":
            return errors.quote_limit_exceeded(denied.limit, wait)
        case _:
            return errors.limiter_unavailable()
