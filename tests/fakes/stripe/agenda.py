"""What happens by itself as time goes by: renewals, finalisations, payments, tries, expiries.

Each step runs at its own moment, in order, and its webhooks are delivered before the next: so an hour's draft is an
hour's draft, also when the clock is moved by a year.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from tests.fakes.stripe import checkout, collecting, pending, schedules, subscriptions
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.webhooks import Postman
from tests.fakes.stripe.world import Object, World

Step = tuple[int, int, Callable[[], object]]  # when, which first at the same moment, what


class Agenda:
    """Moves the clocks."""

    def __init__(self, world: World, postman: Postman) -> None:
        self.world, self.postman = world, postman
        self._moving = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def advance(self, until: int, clock: str | None = None) -> None:
        """Move a clock to `until`, doing on the way what is due."""
        async with self._moving:
            while True:
                if not self.postman.on_hold:
                    await self.postman.deliver()
                when = min((step[0] for step in self._steps(clock)), default=until + 1)
                retry = self._next_delivery(clock)
                if retry is not None and retry < min(when, until + 1):
                    self.world.set_time(retry, clock)
                    continue
                if when > until:
                    break
                self.world.set_time(when, clock)
                self._do_first(clock)
                await asyncio.sleep(0)
            self.world.set_time(until, clock)
            if not self.postman.on_hold:
                await self.postman.deliver()

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Hold while nothing moves: a delivery under way is finished first, test clocks on their way are dropped."""
        for task in self._tasks:
            task.cancel()
        async with self._moving, self.postman.at_rest():
            yield

    def _next_delivery(self, clock: str | None) -> int | None:
        if clock or self.postman.on_hold:
            return None
        now = self.world.now()
        later = [one["at"] for one in self.world.deliveries if one["at"] > now and not one.get("dropped")]
        return min(later, default=None)

    def _do_first(self, clock: str | None) -> None:
        _, _, work = min(self._steps(clock), key=lambda step: step[:2])
        work()

    def _steps(self, clock: str | None) -> Iterator[Step]:
        for invoice in self.world.every("invoice", test_clock=clock):
            yield from self._of_invoice(invoice)
        for subscription in self.world.every("subscription", test_clock=clock):
            if subscription["status"] not in subscriptions.OVER:
                yield from self._of_subscription(subscription)
        for schedule in self.world.every("subscription_schedule", test_clock=clock, status="active"):
            yield (
                schedule["current_phase"]["end_date"],
                0,
                partial(schedules.turn, self.world, schedule),
            )
        if clock is None:
            for session in self.world.every("checkout.session", status="open"):
                yield session["expires_at"], 5, partial(checkout.expire, self.world, {}, session["id"])

    def _of_invoice(self, invoice: Object) -> Iterator[Step]:
        if invoice["status"] == "draft" and invoice["auto_advance"] and invoice["automatically_finalizes_at"]:
            when = invoice["automatically_finalizes_at"]
            yield when, 3, partial(collecting.finalise_when_due, self.world, invoice)
        if invoice["status"] == "open" and invoice["next_payment_attempt"]:
            when = invoice["next_payment_attempt"]
            yield when, 4, partial(collecting.attempt_when_due, self.world, invoice)

    def _of_subscription(self, one: Object) -> Iterator[Step]:
        if one["status"] == "incomplete":
            yield (
                one["created"] + subscriptions.EXPIRES_AFTER,
                1,
                partial(subscriptions.expire, self.world, one),
            )
            return
        if "_pending" in one:
            yield one["_pending"]["expires"], 1, partial(pending.drop, self.world, one)
        end = subscriptions.period_end(self.world, one)
        if one["cancel_at"] and one["cancel_at"] <= end:
            yield one["cancel_at"], 1, partial(subscriptions.end_now, self.world, one)
        else:
            yield end, 2, partial(subscriptions.renew, self.world, one)

    # --- test clocks ----------------------------------------------------------------------------------------

    def create_clock(self, world: World, params: Object) -> Object:
        """POST /v1/test_helpers/test_clocks."""
        return world.new(
            "test_helpers.test_clock", "clock", frozen_time=params["frozen_time"], name=params.get("name"),
            status="ready", deletes_after=world.now() + 30 * 86_400, created=world.now(),
        )  # fmt: skip

    def advance_clock(self, world: World, params: Object, clock: str) -> Object:
        """POST /v1/test_helpers/test_clocks/{test_clock}/advance: answers at once, and moves meanwhile."""
        found = world.get("test_helpers.test_clock", clock)
        if found["status"] != "ready" or params["frozen_time"] <= found["frozen_time"]:
            raise Refusal(
                "A test clock advances to a later time, and only when it is ready.", param="frozen_time"
            )
        found["status"] = "advancing"
        found["status_details"] = {"advancing": {"target_frozen_time": params["frozen_time"]}}
        task = asyncio.ensure_future(self._move(found, params["frozen_time"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return found

    async def _move(self, clock: Object, until: int) -> None:
        await self.advance(until, clock["id"])
        clock |= {"status": "ready", "status_details": {}}
        self.world.emit("test_helpers.test_clock.ready", clock)
