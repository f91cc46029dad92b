"""Step 2 as a whole: the meter decides; while it is away, the lease that it granted beforehand, where the plan has one.

the meter answers                admitted or refused by its counters (admission.py)
it is full of usage that waits   503 `limiter_unavailable`, Free first (limits.py says at how much)
it is away, or not rebuilt yet   Free: 503 `limiter_unavailable` at once. Pro, Enterprise: from the lease, marked
                                 `degraded`; 503 when the lease is used up
"""

import time

import structlog
from django.utils import timezone

from billing.period import BillingPeriod
from gateway import errors
from gateway.admission import Hold, admit, counted_at, size_of
from gateway.authentication import Caller
from gateway.counters import Counters, MeterUnavailable, is_away
from gateway.errors import Refusal
from gateway.leases import Leases
from gateway.meter_watch import MeterWatch
from gateway.orders import Order

_log = structlog.get_logger(__name__)


class Limiter:
    """Admits calls."""

    def __init__(self, counters: Counters, watch: MeterWatch, leases: Leases) -> None:
        self._counters = counters
        self._watch = watch
        self._leases = leases

    async def admit(self, request_id: str, caller: Caller, order: Order) -> Hold:
        """Take a hold, or refuse with the one limit that bit."""
        if not self._watch.is_ready(caller.account_id):
            return self._from_lease(request_id, caller, order)
        if self._watch.waiting(caller.account_id) > caller.limits.backlog >= 0:
            raise errors.limiter_unavailable()  # the ledger lags: what waits for it must fit into the meter
        try:
            hold = await admit(request_id, caller, order, self._counters)
        except MeterUnavailable as failure:
            _log.warning("meter away at admission", error=str(failure), request_id=request_id)
            if is_away(failure):
                self._watch.failed(caller.account_id)
            return self._from_lease(request_id, caller, order)
        except Refusal as refusal:
            if refusal.status == 402:
                self._leases.drop(caller.account_id)
            raise
        if not caller.entitlements.fails_closed:
            self._leases.note(caller)
        return hold

    def _from_lease(self, request_id: str, caller: Caller, order: Order) -> Hold:
        """Take a call from the account's lease. Nothing is written: the settlement will say it all."""
        rights = caller.entitlements
        nano, tokens = size_of(order, rights)
        if rights.fails_closed or not self._leases.take(caller.account_id, nano):
            raise errors.limiter_unavailable()
        period = BillingPeriod.containing(timezone.now()).key
        budgets = tuple(counted.spend.name for counted in counted_at(caller.budgets, request_id))
        return Hold(request_id, caller, order, period, nano, tokens, None, time.monotonic(), budgets)
