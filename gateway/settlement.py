"""Step 4, settle: the real amount replaces the hold, and the usage report enters the stream. One atomic step.

    1 price what was used         if we die here: the hold expires; the call is recorded as abandoned, no charge
    2 settle in the meter         if we die here: either nothing happened (as 1), or all of it did: recorded, charged
      2b the meter is away        the settlement goes to the spool, synced to disk, and is settled from there later
    3 the last byte goes out      so nobody ever holds an answer that is not accounted for

A settlement is safe to repeat (the script knows the request id), so doubt is always resolved by repeating.
"""

import time
from collections import deque
from typing import NamedTuple

import orjson
import structlog

from billing.money import NANO
from billing.pricing import Charge, Quantities, billable, capped
from gateway.admission import Hold
from gateway.counters import Counters, MeterUnavailable, Settlement, is_away
from gateway.meter_watch import MeterWatch
from gateway.metering import Usage
from gateway.quote_holds import QuoteHolds
from gateway.routing import Candidate
from gateway.spool import Spool

REMEMBERED = 10_000  # settlements of one process
_log = structlog.get_logger(__name__)


def decimal(nano: int, currency: str) -> str:
    """Write an amount as headers do: "0.000001234 USD"."""
    whole, part = divmod(nano, NANO)
    return f"{whole}.{part:09d} {currency}"


class Receipt(NamedTuple):
    """What the customer is told of a settled call."""

    nano: int
    currency: str
    price_version: int

    @property
    def cost(self) -> str:
        """The charge as a decimal with its currency: "0.000001234 USD"."""
        return decimal(self.nano, self.currency)


class Outcome(NamedTuple):
    """How a call ended. `charged` is False where the upstream failed; its cost is recorded all the same."""

    status: int
    usage: Usage
    served: Candidate  # who answered, or failed last
    error: str = ""
    charged: bool = True
    first_byte_ms: int | None = None
    stopped: bool = False  # a stream that was ended at its hold: it costs no more than that


class Settler:
    """Settles calls: in the meter, or in the spool while the meter is away.

    `lately` are the last settlements: the only other copy of what a wiped meter had not yet given to the ledger.
    """

    def __init__(self, counters: Counters, spool: Spool, watch: MeterWatch) -> None:
        self._counters = counters
        self._spool = spool
        self._watch = watch
        self._quotes = QuoteHolds(counters)
        self.lately: deque[Settlement] = deque(maxlen=REMEMBERED)

    async def settle(self, hold: Hold, outcome: Outcome) -> Receipt:
        """Account for a call that ended, durably, and return what it cost. Never raises for a meter that is away."""
        quantities = billable(outcome.usage.quantities, outcome.served.pin.rates)
        price = _price(hold, outcome, quantities)
        quote = None if outcome.charged else hold.order.quote
        await self.enter(
            _settlement(hold, outcome, quantities, price), quote.quote_id if quote is not None else ""
        )
        return Receipt(price.nano, hold.caller.entitlements.currency, outcome.served.pin.version_id)

    async def enter(self, settlement: Settlement, quote_id: str = "") -> None:
        """Put a settlement into the meter, or else into the spool, synced to disk before this returns.

        The quote of a call that failed is open again, then; but not where the settlement had to wait in the spool.
        """
        self.lately.append(settlement)
        if not self._watch.is_ready(settlement.account_id):
            self._spool.write(settlement)
            return
        try:
            answer = await (
                self._quotes.settle_failed(settlement, quote_id)
                if quote_id
                else self._counters.settle(settlement)
            )
        except MeterUnavailable as failure:
            _log.warning("meter away at settlement", error=str(failure), request_id=settlement.request_id)
            if is_away(failure):
                self._watch.failed(settlement.account_id)
            self._spool.write(settlement)
            return
        if answer != "OK":
            _log.warning("unusual settlement", answer=answer, request_id=settlement.request_id)


def _price(hold: Hold, outcome: Outcome, quantities: Quantities) -> Charge:
    if not outcome.charged:
        return Charge(0, {})
    price = outcome.served.pin.charge(quantities)
    return capped(price, hold.nano) if hold.is_cap or outcome.stopped else price


def _settlement(hold: Hold, outcome: Outcome, quantities: Quantities, price: Charge) -> Settlement:
    order, caller = hold.order, hold.caller
    report = {
        "rid": hold.request_id,
        "account": caller.account_id,
        "period": hold.period,
        "key": caller.key_id,
        "endpoint": order.endpoint.path,
        "task": order.task,
        "model": order.listed.model_id,
        "upstream": outcome.served.way.name,
        "status": outcome.status,
        "error": outcome.error,
        "currency": caller.entitlements.currency,
        "stream": order.stream,
        "estimated": outcome.usage.estimated,
        "price_version": outcome.served.pin.version_id,
        "units": {str(unit): [quantity, price.by_unit.get(unit, 0)] for unit, quantity in quantities.items()},
        "nano": price.nano,
        "upstream_nano": outcome.served.pin.upstream_cost_of(quantities),
        "latency_ms": round((time.monotonic() - hold.started) * 1000),
        "first_byte_ms": outcome.first_byte_ms,
    }
    if hold.degraded:
        report["degraded"] = True
    if order.quote is not None:
        report["quote"] = order.quote.quote_id
    return Settlement(
        request_id=hold.request_id,
        account_id=caller.account_id,
        period=hold.period,
        nano=price.nano,
        tokens=outcome.usage.tokens,
        calls=1 if 200 <= outcome.status < 300 else 0,
        report=orjson.dumps(report).decode(),
        budgets=hold.budgets,
    )
