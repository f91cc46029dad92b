"""Calls that a limit refuses: which limit, what it says, and that it holds exactly under concurrency."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from billing.budget_window import Window
from billing.budgets import set_budget
from billing.money import Money
from billing.period import BillingPeriod
from gateway.meter_keys import keys_of
from tests.factories import Person
from tests.live import FakeUpstream, Web, chat_body, eventually, used

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def period() -> BillingPeriod:
    return BillingPeriod.containing(timezone.now())


def set_used(meter: Any, person: Person, **fields: int) -> None:
    """Pretend that the account has used so much of the period already."""
    meter.hset(keys_of(str(person.account.pk)).quota(period().key), mapping=fields)


def all_at_once(web: Web, person: Person, count: int, text: str) -> list[int]:
    """Make `count` calls at the same time and return their statuses."""

    async def run() -> list[int]:
        headers = {"Authorization": f"Bearer {person.secret}", "Content-Type": "application/json"}
        limits = httpx2.Limits(max_connections=count)
        async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=60) as client:
            url = web.url + "/v1/chat/completions"
            answers = await asyncio.gather(*(client.post(url, json=chat_body(text)) for _ in range(count)))
            return [answer.status_code for answer in answers]

    return asyncio.run(run())


def test_bob_on_free_gets_429_on_his_21st_call_in_a_minute(web: Web, person: People) -> None:
    bob = person("Bob")
    statuses = [web.chat(bob, "say 1").status_code for _ in range(20)]
    assert statuses == [200] * 20
    answer = web.chat(bob, "say 1")
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert error["scope"] == "account"
    assert (error["limit"], error["used"], error["limit_name"]) == (20, 20, "requests_per_minute")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


def test_alice_on_pro_is_not_stopped_there(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    assert {web.chat(alice, "say 1").status_code for _ in range(25)} == {200}


def test_bob_past_his_months_calls_gets_402_and_no_retry_after(web: Web, person: People, meter: Any) -> None:
    bob = person("Bob")
    web.chat(bob, "say 1")
    set_used(meter, bob, calls=999)
    assert web.chat(bob, "say 1").status_code == 200  # the 1,000th
    answer = web.chat(bob, "say 1")
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert (error["limit"], error["used"]) == (1000, 1000)
    assert error["resets_at"] == period().end.isoformat()
    assert "retry-after" not in answer.headers


def test_alice_past_her_included_calls_pays_as_she_goes(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro")
    web.chat(alice, "say 1")
    set_used(meter, alice, calls=50_000, nano=Money.of("7").nano)
    assert web.chat(alice, "say 1").status_code == 200


def test_bob_without_credit_gets_402(web: Web, person: People, meter: Any) -> None:
    bob = person("Bob")
    web.chat(bob, "say 1")
    set_used(meter, bob, nano=Money.of("0.10").nano - 100)
    error = web.chat(bob, "say 1").json()["error"]
    assert error["code"] == "insufficient_credit"
    assert error["limit"] == Money.of("0.10").nano


def test_alices_budget_is_a_limit_and_raising_it_helps_within_a_second(
    web: Web, person: People, meter: Any
) -> None:
    alice = person("Alice", "pro")
    budget = set_budget(alice.account, Window.MONTH, Money.of("3").nano)
    assert web.chat(alice, "say 1").headers["x-turnpike-budget-remaining"].startswith("2.999")
    counter = f"{budget.subject_id}:{budget.window_at(timezone.now()).key}"
    meter.hset(keys_of(str(alice.account.pk)).budget(counter), "nano", Money.of("3").nano - 10)
    answer = web.chat(alice, "say 1")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["scope"]) == (402, "budget_exceeded", "account")
    assert (error["limit_name"], error["window"]) == ("budget", "month")
    assert (error["limit"], error["used"]) == (Money.of("3").nano, Money.of("3").nano - 10)
    assert error["resets_at"] == period().end.isoformat()
    set_budget(alice.account, Window.MONTH, Money.of("7").nano)
    eventually(lambda: web.chat(alice, "say 1").status_code == 200, "the higher budget counts", 1.0)


def test_bob_may_have_two_calls_at_once(web: Web, person: People) -> None:
    bob = person("Bob")
    statuses = all_at_once(web, bob, 8, "wait 700")
    assert sorted(set(statuses)) == [200, 429]
    assert statuses.count(200) == 2


def test_exactly_the_quota_is_admitted_however_many_come_at_once(
    web: Web, upstream: FakeUpstream, person: People, meter: Any
) -> None:
    """Erin has no rates to hide behind; her plan is narrowed to 10 calls left. 60 come at once: 10 pass."""
    bob = person("Bob")
    web.chat(bob, "say 1")
    set_used(meter, bob, calls=990)
    keys = keys_of(str(bob.account.pk))
    before, admitted = upstream.seen()["calls"], 0
    for _ in range(30):  # two at once is Bob's limit, so the crowd comes again until nothing passes
        meter.delete(keys.minute)
        meter.hdel(keys.quota(period().key), "tat")
        statuses = all_at_once(web, bob, 12, "say 1")
        admitted += statuses.count(200)
        if set(statuses) == {402}:
            break
    assert admitted == 10
    assert upstream.seen()["calls"] == before + 10
    assert used(bob, period().key)["calls"] == 1000


def test_tokens_a_minute_are_limited_and_unused_ones_come_back(web: Web, person: People) -> None:
    bob = person("Bob")
    first = web.chat(bob, "say 1", max_tokens=1024)
    left = int(first.headers["x-ratelimit-remaining-tokens"])
    assert left < 20_000 - 1024 + 10
    second = web.chat(bob, "say 1", max_tokens=1)
    assert int(second.headers["x-ratelimit-remaining-tokens"]) > left
    # Each may use 15,000 tokens: a second one does not fit beside the first.
    assert sorted(all_at_once(web, bob, 2, "wait 700 " + "x" * 60_000)) == [200, 429]


def test_a_refusal_takes_nothing(web: Web, person: People, meter: Any) -> None:
    bob = person("Bob")
    web.chat(bob, "say 1")
    set_used(meter, bob, calls=1000)
    before = used(bob, period().key)
    assert web.chat(bob, "say 1").status_code == 402
    assert used(bob, period().key) == before
