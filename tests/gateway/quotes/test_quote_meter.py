"""Quotes and idempotency keys in the meter itself, on one server and on a cluster, where all must lie in one slot."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from django.utils import timezone

from accounts.ids import uuid7
from billing.period import BillingPeriod
from gateway import counters
from gateway.counters import Admitted, Counters, Denied, Limits, Offer, Settlement, Spend
from gateway.limits import Counter
from gateway.meter_keys import keys_of, shard_of
from gateway.quote_holds import MOST_CALLS, QuoteHolds
from gateway.quote_terms import Quote, Terms
from gateway.shards import Shards

PERIOD = BillingPeriod.containing(timezone.now())
NONE = Limits(-1, -1, -1, -1, -1)
TERMS = Terms("key", "/v1/chat/completions", "a/model", "USD", "print", [], {"request": 1})


class Account:
    """One account with one budget, on a meter of the test's own."""

    def __init__(self, client: Any) -> None:
        self.meter, self.quotes, self.id = Counters(client), QuoteHolds(Counters(client)), str(uuid7())
        self.budget = f"{self.id}:lifetime"

    async def open(self) -> "Account":
        await self.meter.seed(self.id, PERIOD, 0, 0)
        await self.meter.start(self.id, Counter(self.budget, "", 0, 2**46), 0, 0, "0-0")
        return self

    async def take(
        self, lasts_ms: int = 60_000, until_ms: int = 2**50, limits: Limits = NONE
    ) -> tuple[str, Any]:
        rid = str(uuid7())
        report = b'{"rid": "%s", "account": "%s", "period": "%s"}' % (
            rid.encode(), self.id.encode(), PERIOD.key.encode(),
        )  # fmt: skip
        offer, spends = Offer(TERMS.as_json(), lasts_ms, until_ms), [Spend(self.budget, 1_000)]
        return rid, await self.meter.admit(rid, self.id, PERIOD, limits, 100, 10, report, spends, offer)

    async def find(self, quote_id: str) -> Quote:
        found = await self.quotes.find(self.id, quote_id)
        assert found is not None
        return found

    async def held(self) -> tuple[int, int, int]:
        """Calls and nano-units held in the period, nano-units held in the budget."""
        used = await self.meter.usage_of(self.id, PERIOD.key)
        name = keys_of(self.id).budget(self.budget)
        return (
            used["held_calls"],
            used["held_nano"],
            int(await self.meter.client.hget(name, "held_nano") or 0),
        )


def on(url: str, story: Callable[[Account], Coroutine[Any, Any, None]]) -> None:
    """Tell a story on a meter that is empty before."""

    async def run() -> None:
        client = counters.connect(url, timeout=5.0)
        try:
            await client.flushdb()
            await story(await Account(client).open())
        finally:
            await client.aclose()

    asyncio.run(run())


def test_a_hold_changes_hands_and_no_counter_moves(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        quote_id, answer = await alice.take()
        assert isinstance(answer, Admitted)
        assert await alice.held() == (1, 100, 100)
        rid = str(uuid7())
        for _ in range(2):  # repeating changes nothing
            assert await alice.quotes.redeem(alice.id, quote_id, rid, b"{}") == ("OK", "")
            assert await alice.held() == (1, 100, 100)
        assert await alice.quotes.redeem(alice.id, quote_id, str(uuid7()), b"{}") == ("USED", rid)
        assert not await alice.quotes.release(alice.id, await alice.find(quote_id))
        assert (await alice.find(quote_id)).budgets == (alice.budget,)
        assert await alice.meter.extend(alice.id, rid)
        assert await alice.meter.open_holds() == 1
        assert await alice.meter.settle(Settlement(rid, alice.id, PERIOD.key, 40, 5, 1, "{}")) == "OK"
        assert await alice.held() == (0, 0, 0)
        assert (await alice.meter.usage_of(alice.id, PERIOD.key))["nano"] == 40
        assert await alice.meter.open_holds() == 0

    on(meter_url, story)


def test_a_call_that_failed_hands_the_hold_back_and_no_counter_moves(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        quote_id, _ = await alice.take()
        for number in range(1, MOST_CALLS + 1):
            rid = str(uuid7())
            assert await alice.quotes.redeem(alice.id, quote_id, rid, b"{}") == ("OK", "")
            failed = Settlement(rid, alice.id, PERIOD.key, 0, 0, 0, "{}")
            words = [await alice.quotes.settle_failed(failed, quote_id) for _ in range(2)]
            assert words == ["OK", "DUP"]
            is_open = number < MOST_CALLS
            assert (await alice.find(quote_id)).state == ("open" if is_open else "redeemed")
            assert await alice.held() == ((1, 100, 100) if is_open else (0, 0, 0))
            keys = keys_of(alice.id)
            assert await alice.meter.client.xlen(keys.stream) == number
            places = (keys.quotes, keys.open)
            assert [await alice.meter.client.zcard(name) for name in places] == [int(is_open)] * 2
            assert (await alice.meter.client.ttl(keys.quote(quote_id)) == -1) == is_open

    on(meter_url, story)


def test_a_budget_that_joined_the_call_goes_back_with_the_quote(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        (quote_id, _), rid = await alice.take(), str(uuid7())
        report = b'{"rid": "%s", "account": "%s", "period": "%s"}' % (
            rid.encode(), alice.id.encode(), PERIOD.key.encode(),
        )  # fmt: skip
        await alice.quotes.redeem(alice.id, quote_id, rid, report)
        late = f"{alice.id}:late"
        assert await alice.meter.start(alice.id, Counter(late, "", 0, 2**46), 0, 0, "0-0") == "SEEDED"
        await alice.quotes.settle_failed(Settlement(rid, alice.id, PERIOD.key, 0, 0, 0, "{}"), quote_id)
        quote = await alice.find(quote_id)
        assert quote.budgets == (alice.budget, late)
        assert await alice.quotes.release(alice.id, quote)
        held = [
            await alice.meter.client.hget(keys_of(alice.id).budget(name), "held_nano")
            for name in quote.budgets
        ]
        assert held == [b"0", b"0"]

    on(meter_url, story)


def test_a_quote_whose_time_or_call_is_over_is_not_opened_again(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        soon, _ = await alice.take(lasts_ms=200)
        swept, _ = await alice.take()
        first, second = str(uuid7()), str(uuid7())
        await alice.quotes.redeem(alice.id, soon, first, b"{}")
        await QuoteHolds(Counters(alice.meter.client, hold_ms=1)).redeem(alice.id, swept, second, b"{}")
        await asyncio.sleep(0.25)
        assert await alice.meter.sweep(shard_of(alice.id)) == [second]
        for quote_id, rid, word in ((soon, first, "OK"), (swept, second, "LATE")):
            settlement = Settlement(rid, alice.id, PERIOD.key, 0, 0, 0, "{}")
            assert await alice.quotes.settle_failed(settlement, quote_id) == word
            assert (await alice.find(quote_id)).state == "redeemed"
        assert await alice.held() == (0, 0, 0)

    on(meter_url, story)


def test_one_given_back_and_one_swept_free_everything_and_report_nothing(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        first, _ = await alice.take()
        second, _ = await alice.take(lasts_ms=1)
        quote = await alice.find(first)
        assert [await alice.quotes.release(alice.id, quote) for _ in range(2)] == [True, False]
        await asyncio.sleep(0.01)
        assert await alice.quotes.redeem(alice.id, second, str(uuid7()), b"{}") == ("EXPIRED", "")
        assert await alice.meter.sweep(shard_of(alice.id)) == [second]
        assert await alice.quotes.redeem(alice.id, second, str(uuid7()), b"{}") == ("EXPIRED", "")
        assert await alice.quotes.redeem(alice.id, first, str(uuid7()), b"{}") == ("NONE", "")
        assert await alice.held() == (0, 0, 0)
        keys = keys_of(alice.id)
        assert await alice.meter.client.xlen(keys.stream) == 0
        assert [await alice.meter.client.zcard(name) for name in (keys.quotes, keys.open)] == [0, 0]

    on(meter_url, story)


def test_it_outlives_neither_the_period_nor_a_window(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        soon = int(timezone.now().timestamp() * 1000) + 2_000
        for until_ms, most in ((soon, soon), (2**50, int(PERIOD.end.timestamp() * 1000))):
            quote_id, _ = await alice.take(lasts_ms=90 * 86_400_000, until_ms=until_ms)
            assert (await alice.find(quote_id)).until_ms == most

    on(meter_url, story)


def test_a_counter_that_is_built_anew_knows_the_quotes(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        await alice.take()
        await Shards(alice.meter.client).forget_counters(shard_of(alice.id))
        assert await alice.meter.seed(alice.id, PERIOD, 0, 0)
        assert (await alice.held())[:2] == (1, 100)

    on(meter_url, story)


def test_a_limit_that_bites_takes_nothing(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        for limits, name in (
            (Limits(-1, 99, -1, -1, -1), "spend"),
            (Limits(-1, -1, 0, -1, -1), "requests"),
            (Limits(-1, -1, -1, -1, 0), "concurrency"),
        ):
            quote_id, answer = await alice.take(limits=limits)
            assert isinstance(answer, Denied)
            assert answer.limit_name == name
            assert await alice.quotes.find(alice.id, quote_id) is None
        assert await alice.held() == (0, 0, 0)

    on(meter_url, story)


def test_an_idempotency_key_lives_where_its_account_does(meter_url: str) -> None:
    async def story(alice: Account) -> None:
        for number in range(2):
            name, rid = f"key-{number}", str(uuid7())
            claim = alice.meter.claim
            assert await claim(alice.id, name, rid, "p", 60, stream=False) == ["NEW"]
            assert (await claim(alice.id, name, str(uuid7()), "p", 60, stream=False))[0] == "BUSY"
            assert (await claim(alice.id, name, str(uuid7()), "q", 60, stream=False))[0] == "OTHER"
            assert await alice.meter.mark(alice.id, name, rid, "answered")
            assert await claim(alice.id, name, str(uuid7()), "p", 60, stream=True) == ["DONE", rid, "0"]
            assert await alice.meter.mark(alice.id, name, rid, "free")
            assert await claim(alice.id, name, str(uuid7()), "q", 60, stream=False) == ["NEW"]

    on(meter_url, story)
