"""What a process remembers of its callers: read once for all that wait, again before it is old, anew after news."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from django.db import OperationalError

from accounts.keys import new_secret
from billing.entitlements import Entitlements
from gateway import authentication
from gateway.authentication import Caller, Callers
from gateway.errors import Refusal


class Ledger:
    """Stands in for the keys' rows: answers with what is in force when it was asked, after a while."""

    def __init__(self) -> None:
        self.asked = 0
        self.plan = "pro"
        self.is_away = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    async def was_asked(self, times: int) -> None:
        """Wait until a thread has begun to ask for so many times."""
        async with asyncio.timeout(5):
            while self.asked < times:  # noqa: ASYNC110 - it is another thread that counts
                await asyncio.sleep(0.01)

    def load_caller(self, secret: str) -> Caller | None:
        plan, is_away = self.plan, self.is_away
        self.asked += 1
        self.may_answer.wait(5)
        if is_away:
            raise OperationalError("no connection")
        if plan == "revoked":
            return None
        return Caller("alice", "key", None, cast(Entitlements, Rights(plan)))


class Rights:
    """As much of the entitlements as is looked at here."""

    suspended = payment_overdue = False
    valid_until = None

    def __init__(self, plan: str) -> None:
        self.plan = plan


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger of the test's own."""
    found = Ledger()
    monkeypatch.setattr(authentication, "load_caller", found.load_caller)
    return found


HEADER = b"Bearer " + new_secret().encode()


async def plan_of(callers: Callers) -> str:
    return (await callers.authenticate(HEADER)).entitlements.plan


def tell(story: Callable[[Callers], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await story(Callers())

    asyncio.run(run())


def test_thirty_calls_of_alice_at_once_ask_the_ledger_once(ledger: Ledger) -> None:
    async def story(callers: Callers) -> None:
        assert await asyncio.gather(*(plan_of(callers) for _ in range(30))) == ["pro"] * 30
        assert await plan_of(callers) == "pro"
        assert ledger.asked == 1

    tell(story)


def test_a_key_in_use_is_read_again_before_it_is_old_and_no_call_waits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "READ_AGAIN", 0.0)

    async def story(callers: Callers) -> None:
        assert await plan_of(callers) == "pro"
        ledger.plan = "enterprise"
        ledger.may_answer.clear()
        assert [await plan_of(callers) for _ in range(20)] == ["pro"] * 20  # while the ledger is silent
        await ledger.was_asked(2)
        monkeypatch.setattr(authentication, "READ_AGAIN", 0.8)
        ledger.may_answer.set()
        async with asyncio.timeout(5):
            while await plan_of(callers) != "enterprise":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        assert ledger.asked == 2

    tell(story)


def test_mallorys_key_revoked_while_it_is_read_opens_nothing_to_the_next_call(ledger: Ledger) -> None:
    async def story(callers: Callers) -> None:
        ledger.may_answer.clear()
        before = asyncio.create_task(plan_of(callers))
        await ledger.was_asked(1)
        ledger.plan = "revoked"
        callers.forget("alice")
        after = asyncio.create_task(plan_of(callers))
        await ledger.was_asked(2)
        ledger.may_answer.set()
        assert await before == "pro"  # it came before the news
        for call in (after, asyncio.create_task(plan_of(callers))):
            with pytest.raises(Refusal, match="key"):
                await call

    tell(story)


def test_a_ledger_that_is_away_is_told_to_all_who_wait_and_asked_again_by_the_next(ledger: Ledger) -> None:
    async def story(callers: Callers) -> None:
        ledger.is_away = True
        answers = await asyncio.gather(*(plan_of(callers) for _ in range(5)), return_exceptions=True)
        assert [cast(Refusal, answer).code for answer in answers] == ["limiter_unavailable"] * 5
        ledger.is_away = False
        assert await plan_of(callers) == "pro"
        assert ledger.asked == 2

    tell(story)


def test_a_call_that_leaves_does_not_take_the_answer_from_the_others(ledger: Ledger) -> None:
    async def story(callers: Callers) -> None:
        ledger.may_answer.clear()
        bob_leaves, alice_stays = (asyncio.create_task(plan_of(callers)) for _ in range(2))
        await ledger.was_asked(1)
        bob_leaves.cancel()
        await asyncio.sleep(0.01)
        ledger.may_answer.set()
        assert await alice_stays == "pro"

    tell(story)
