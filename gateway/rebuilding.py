"""Counters that the meter lacks are made again: in a new period or window, for a new budget, after a loss of data.

A counter's figure is what the ledger says, and what of it is still on its way there. The two are added without a
gap and without counting a call twice:

1 note what waits in the usage stream, up to an entry L     if we die here or below: nothing was written
2 ask the ledger, without the calls noted in 1              an entry before L that is gone by now is in the ledger
3 start the counter, in one script: 1 + 2 + what came       refused (MOVED) if the ledger's writer was given any
  after L + the holds of open calls                         entry after L: 2 may have counted it. Look again, then.

Until it is done the answer is 503, never "unlimited". MeterUnavailable where the meter went away, or is another one.
"""

from collections.abc import Callable, Sequence

import orjson

from billing.budget_window import BudgetWindow
from billing.budgets import keys_counted
from billing.entitlements import BudgetLimit
from billing.ledger import ledger_totals, spent_nano
from billing.period import BillingPeriod
from gateway import errors
from gateway.counters import Counter, Counters, MeterUnavailable, Waiting
from gateway.threads import ask_ledger

_TRIES = 5
# From the ids of calls that are known already to (answered calls, nano-units) of the others in the ledger.
Total = Callable[[Sequence[str]], tuple[int, int]]


async def rebuild_quota(counters: Counters, account_id: str, period: BillingPeriod) -> None:
    """Start an account's counters of a billing period. Refusal `limiter_unavailable` where that cannot be done."""

    def total(known: Sequence[str]) -> tuple[int, int]:
        return ledger_totals(account_id, period.key, known)

    await _rebuild(counters, account_id, Counter.of_period(period), total)


async def rebuild_budget(
    counters: Counters, account_id: str, budget: BudgetLimit, window: BudgetWindow
) -> None:
    """Start the counter of a budget's subject in a window. Refusal `limiter_unavailable` as above."""
    keys = await ask_ledger(keys_counted, account_id, budget.scope, budget.subject_id)

    def total(known: Sequence[str]) -> tuple[int, int]:
        return 0, spent_nano(account_id, window, keys, known)

    counter = Counter.of_budget(budget.counter_name(window), window, keys)
    await _rebuild(counters, account_id, counter, total)


async def _rebuild(
    counters: Counters, account_id: str, counter: Counter, total: Callable[[Sequence[str]], tuple[int, int]]
) -> None:
    for _ in range(_TRIES):
        waiting = await counters.waiting(account_id)
        if waiting is None:
            break
        known, calls, nano = _counted(waiting, counter)
        recorded = await ask_ledger(total, known)
        calls, nano = calls + recorded[0], nano + recorded[1]
        match await counters.start(account_id, counter, calls, nano, waiting.last_id):
            case "SEEDED" | "KNOWN":
                return
            case "STALE":
                raise MeterUnavailable("the meter is another one now, or has lost its data")
    raise errors.limiter_unavailable()


def _counted(waiting: Waiting, counter: Counter) -> tuple[list[str], int, int]:
    """Return (request ids, answered calls, nano-units) of the waiting reports that the counter counts."""
    known, calls, nano = [], 0, 0
    for kind, text in waiting.reports:
        try:
            report = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue  # it will never enter the ledger's sums either
        if counter.counts(report) and kind != "abandoned":
            known.append(str(report.get("rid")))
            calls += 200 <= report.get("status", 0) < 300
            nano += report.get("nano", 0)
    return known, calls, nano
