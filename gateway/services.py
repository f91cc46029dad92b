"""What the calls of one process share: the meter, the upstreams, the caches; and what runs beside the calls.

Made when the process starts serving, closed when it stops: it waits for every settlement under way.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from gateway import announcements, counters, loops
from gateway.admission import Hold, admit, look
from gateway.authentication import Caller, Callers
from gateway.catalog import Catalog, load_catalog
from gateway.catalog_changes import catalog_fingerprint
from gateway.errors import Refusal, internal_error
from gateway.http import Call
from gateway.idempotency import Idempotency
from gateway.leases import Leases
from gateway.limiter import Limiter
from gateway.meter import connect
from gateway.meter_watch import AWAY_SECONDS, MeterWatch
from gateway.metering import Usage
from gateway.open_holds import OpenHolds
from gateway.orders import Order
from gateway.quotes import Quotes
from gateway.restoring import Restorer
from gateway.settlement import Outcome, Receipt, Settler
from gateway.spool import Spool
from gateway.threads import in_thread
from gateway.upstream import Upstreams

CATCH_UP_SECONDS = 0.5
FIRST_LOOKS_SECONDS = 3.0
CATALOG_SECONDS = 30.0
STOP_SECONDS = 10.0
MOST_DRAINS = 100
FEWEST_NEW_OBJECTS = 20_000
GIL_SECONDS = 0.0005
Result = TypeVar("Result")
_log = structlog.get_logger(__name__)


class Services:
    """The process's own. Use `Services.start()` to get one that runs."""

    catalog: Catalog

    def __init__(self) -> None:
        timeout = settings.METER_TIMEOUT_SECONDS
        self._meter = counters.connect(settings.METER_REDIS_URL, timeout=timeout, greet=self._greet)
        self._news = counters.connect(settings.METER_REDIS_URL, timeout=None)
        self.counters = counters.Counters(self._meter, hold_ms=round(settings.HOLD_SECONDS * 1000))
        self.spool = Spool(settings.VAR_DIR / "spool")
        self.watch = MeterWatch(self.counters, self._put_back)
        self._open = OpenHolds(self.counters, self.watch, settings.HOLD_SECONDS)
        self.settler = Settler(self.counters, self.spool, self.watch)
        self.leases = Leases(self.counters)
        self.limiter = Limiter(self.counters, self.watch, self.leases)
        self._cache = connect(settings.REDIS_URL, timeout=1.0)
        self.idempotency = Idempotency(self.counters, self._cache)
        self.quotes = Quotes(self.counters, self.watch)
        self._restorer = Restorer(self.counters, self.settler, self.spool, self._holds)
        self.callers = Callers()
        self.upstreams = Upstreams()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._settling = 0  # calls
        self._draining = 0
        self._beside: list[asyncio.Task[None]] = []
        self._catalog_changed = asyncio.Event()

    @classmethod
    async def start(cls) -> "Services":
        """Load what calls need and start what runs beside them."""
        services = cls()
        services.catalog = await in_thread(load_catalog)
        beside = (
            partial(announcements.listen, services._news, services._forget),
            services._refresh_catalog,
            services._open.keep_alive,
            services.watch.run,
            services._catch_up,
        )
        await services._first_looks()
        services._beside = [asyncio.create_task(loops.forever(loop)) for loop in beside]
        _let_calls_go_first()
        return services

    async def stop(self) -> None:
        """Finish the settlements under way, then close everything. Each step has an end, whatever an engine does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._all_settled()
        await loops.end(self._beside)
        closing = (self.upstreams.close, self._meter.aclose, self._news.aclose, self._cache.aclose)
        await loops.finish([asyncio.ensure_future(close()) for close in closing])

    async def admit(self, request_id: str, caller: Caller, order: Order) -> Hold:
        """Take a hold, or a quote's, and keep it alive until it is settled. A call that is cancelled meanwhile gives it
        back."""
        take = self.limiter.admit if order.quote is None else self.quotes.redeem
        try:
            hold = await take(request_id, caller, order)
        except asyncio.CancelledError:  # the script may have run, or may run yet
            self._start(self._give_back(request_id, caller, order))
            raise
        except Refusal:
            if order.mark is not None:
                await self.idempotency.release(order.mark)
            raise
        self._open[request_id] = hold
        return hold

    async def look_for(self, call: Call, refusal: Refusal) -> None:
        """Let a call that is refused before the meter was asked tell its caller's limits all the same."""
        if call.caller is None or call.meter or refusal.meter or refusal.status >= 500:
            return
        if not self.watch.is_ready(call.caller.account_id):
            return
        try:
            call.meter = await look(call.caller, call.id, self.counters)
        except RedisError as failure:
            _log.warning("meter away at a refusal", error=str(failure), request_id=call.id)

    async def settle(self, hold: Hold, outcome: Outcome) -> Receipt:
        """Settle a hold. Once begun it is finished, even if the call is cancelled."""
        self._open.pop(hold.request_id, None)
        settle = self.settler.settle if hold.order.mark is None else self._settle_marked
        self._settling += 1
        try:
            return await settle(hold, outcome)
        except asyncio.CancelledError:  # it may have been done; doing it again changes nothing
            self._start(settle(hold, outcome))
            raise
        finally:
            self._settling -= 1

    async def _settle_marked(self, hold: Hold, outcome: Outcome) -> Receipt:
        """Settle a call that has an Idempotency-Key: noted before it is charged, given back where it is not."""
        mark = hold.order.mark
        assert mark is not None
        is_charged = outcome.charged and 200 <= outcome.status < 300
        await (self.idempotency.answered if is_charged else self.idempotency.release)(mark)
        return await self.settler.settle(hold, outcome)

    async def give_up(self, hold: Hold, outcome: Outcome) -> None:
        """Settle a hold whose call failed, unless its settlement has begun already."""
        if hold.request_id in self._open:
            await self.settle(hold, outcome)

    def drain(self, work: Coroutine[Any, Any, None]) -> bool:
        """Let a stream run on without its client. False, and nothing begun, where too many do so already."""
        if self._draining >= MOST_DRAINS:
            work.close()
            return False
        self._draining += 1
        self._start(work).add_done_callback(self._drained)
        return True

    async def _all_settled(self) -> None:
        while self._settling or self._under_way:  # noqa: ASYNC110 - at the end; an event would cost every call
            await asyncio.sleep(0.01)

    def _drained(self, task: "asyncio.Task[None]") -> None:
        self._draining -= 1
        if not task.cancelled() and (failure := task.exception()):
            _log.warning("drain failed", error=repr(failure))

    def _start(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _give_back(self, request_id: str, caller: Caller, order: Order) -> None:
        """Settle what a call that was cancelled may hold. Admitting it again takes no second hold, and tells."""
        try:
            hold = await (
                admit(request_id, caller, order, self.counters)
                if order.quote is None
                else self.quotes.redeem(request_id, caller, order)
            )
        except (Refusal, RedisError):
            return  # it holds nothing, or the sweep shall have it
        failure = internal_error()
        served = hold.order.candidates[0]
        outcome = Outcome(failure.status, Usage(), served, "client_closed_request", charged=False)
        await (self.settler.settle if order.mark is None else self._settle_marked)(hold, outcome)

    def _forget(self, account_id: str | None) -> None:
        self.callers.forget(account_id)
        if account_id is None:
            self._catalog_changed.set()

    async def _refresh_catalog(self) -> None:
        known: object = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CATALOG_SECONDS):
                    await self._catalog_changed.wait()
            is_told = self._catalog_changed.is_set()
            self._catalog_changed.clear()
            try:
                found = await in_thread(catalog_fingerprint)
                if is_told or found != known:
                    self.catalog = await in_thread(load_catalog)
                    known = found
            except Exception as failure:
                _log.warning("catalog not refreshed", error=str(failure))

    async def _catch_up(self) -> None:
        """Enter what waited on disk once the meter is back, then ask for leases for the next time."""
        while True:
            try:
                if not self.spool.is_empty and self.watch.any_ready:
                    _log.info("spool entered", settlements=await self._restorer.empty_spool())
                if self.spool.is_empty and self.watch.all_ready:
                    await self.leases.renew({h.caller.account_id for h in self._holds() if h.degraded})
            except (RedisError, Refusal):
                pass  # still away, or the ledger is; the lines stay
            await asyncio.sleep(CATCH_UP_SECONDS)

    async def _first_looks(self) -> None:
        """Meet the meter before the first call does. One that is away is not waited for."""
        deadline = time.monotonic() + FIRST_LOOKS_SECONDS
        await self.watch.look()
        while self.watch.any_answers and not self.watch.all_ready and time.monotonic() < deadline:
            await asyncio.sleep(AWAY_SECONDS)
            await self.watch.look()

    def _greet(self, place: str, run_id: str) -> None:
        self.watch.greet(place, run_id)

    def _holds(self) -> list[Hold]:
        return list(self._open.values())

    async def _put_back(self, shards: Collection[int]) -> None:
        await self._restorer.put_back(shards)


def _let_calls_go_first() -> None:
    """Let the garbage collector pass over what stays for ever (Django, the catalog), and come less often: a full
    collection over it takes tens of milliseconds, in which no call goes on. And let a thread that reads the catalog, or
    a key, hand the interpreter back sooner than Python's 5 ms."""
    sys.setswitchinterval(GIL_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(FEWEST_NEW_OBJECTS, 20, 100)
