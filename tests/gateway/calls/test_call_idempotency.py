"""Idempotency-Key: one charge per key, the first answer again, and no key that is lost or locked for ever."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import redis
from django.conf import settings
from django.utils import timezone

from billing.period import BillingPeriod
from gateway.meter_keys import keys_of
from tests.factories import Person
from tests.live import FakeUpstream, Web, chat_body, eventually, used

pytestmark = pytest.mark.usefixtures("no_hold_stays")
PERIOD = BillingPeriod.containing(timezone.now()).key


def ask(web: Web, person: Person, key: str, text: str = "say 5", **fields: Any) -> httpx2.Response:
    """Have a chat with an Idempotency-Key."""
    headers = {"Idempotency-Key": key}
    return web.post("/v1/chat/completions", person.secret, chat_body(text, **fields), headers=headers)


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Return (status, error code)."""
    return answer.status_code, answer.json()["error"]["code"]


def test_alice_repeats_a_call_and_gets_the_first_answer_for_nothing(
    web: Web, upstream: FakeUpstream, person: Callable[..., Person]
) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    first = ask(web, alice, key)
    before = upstream.seen()["calls"]
    again = ask(web, alice, key)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-turnpike-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["x-turnpike-cost"] == first.headers["x-turnpike-cost"]
    assert "idempotent-replayed" not in first.headers
    assert upstream.seen()["calls"] == before
    assert used(alice, PERIOD)["calls"] == 1


def test_the_same_key_for_another_request_or_by_another_account(
    web: Web, person: Callable[..., Person]
) -> None:
    alice, bob, key = person("Alice", "pro"), person("Bob"), uuid.uuid4().hex
    assert ask(web, alice, key).status_code == 200
    assert code(ask(web, alice, key, "say 6")) == (422, "idempotency_key_reused")
    assert "idempotent-replayed" not in ask(web, bob, key).headers
    assert used(alice, PERIOD)["calls"] == used(bob, PERIOD)["calls"] == 1


def test_while_the_first_one_runs_a_repeat_is_told_to_wait(
    web: Web, upstream: FakeUpstream, person: Callable[..., Person]
) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    before = upstream.seen()["calls"]
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(ask, web, alice, key, "wait 1500")
        eventually(lambda: upstream.seen()["calls"] > before, "the call runs")
        repeat = ask(web, alice, key, "wait 1500")
        assert code(repeat) == (409, "request_in_progress")
        assert int(repeat.headers["retry-after"]) > 0
        assert first.result().status_code == 200
    assert ask(web, alice, key, "wait 1500").headers["idempotent-replayed"] == "true"
    assert used(alice, PERIOD)["calls"] == 1


def test_thirty_at_once_with_one_key_are_one_call(
    web: Web, upstream: FakeUpstream, person: Callable[..., Person]
) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    before = upstream.seen()["calls"]
    with ThreadPoolExecutor(30) as clients:
        answers = list(clients.map(lambda _: ask(web, alice, key), range(30)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert upstream.seen()["calls"] == before + 1
    assert used(alice, PERIOD)["calls"] == 1


def test_a_call_that_failed_gives_its_key_back(web: Web, person: Callable[..., Person]) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    assert ask(web, alice, key, "status 500").status_code == 502
    again = ask(web, alice, key, "say 5")  # another body, even: the key is free
    assert again.status_code == 200
    assert "idempotent-replayed" not in again.headers


def test_a_refused_call_gives_its_key_back(web: Web, person: Callable[..., Person]) -> None:
    bob, key = person("Bob"), uuid.uuid4().hex
    for _ in range(20):
        web.chat(bob)
    assert ask(web, bob, key).status_code == 429
    assert ask(web, bob, key).status_code == 429  # and not 409


def test_a_stream_is_charged_once_and_not_replayed(web: Web, person: Callable[..., Person]) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    first = ask(web, alice, key, stream=True)
    assert first.status_code == 200
    assert b"[DONE]" in first.content
    again = ask(web, alice, key, stream=True)
    assert code(again) == (422, "idempotency_answer_gone")
    assert again.json()["error"]["original_request_id"] == first.headers["x-request-id"]
    assert used(alice, PERIOD)["calls"] == 1


def test_an_answer_that_the_cache_lost_is_said_to_be_gone(web: Web, person: Callable[..., Person]) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    first = ask(web, alice, key).headers["x-request-id"]
    with redis.Redis.from_url(settings.REDIS_URL) as cache:
        name = f"tp:answer:{alice.account.pk}:{first}"
        kept = cache.get(name)
        assert isinstance(kept, bytes)
        assert b"choices" not in kept  # sealed
        assert 0 < int(cache.ttl(name)) <= 86_400
        cache.delete(name)
    assert code(ask(web, alice, key)) == (422, "idempotency_answer_gone")


def test_a_key_whose_process_died_is_free_and_its_late_settlement_charges_nothing(
    web: Web, person: Callable[..., Person], meter: "redis.Redis"
) -> None:
    """What a killed process leaves: a claim, and a hold that was swept."""
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    first = ask(web, alice, key).headers["x-request-id"]
    keys = keys_of(str(alice.account.pk))
    meter.set(keys.hold(first), "void")
    again = ask(web, alice, key)
    assert again.status_code == 200
    assert "idempotent-replayed" not in again.headers
    assert meter.get(keys.hold(first)) == b"done"  # should it wake up, it is told DUP


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "schlüssel"])
def test_a_key_that_is_none_is_refused(web: Web, person: Callable[..., Person], key: str) -> None:
    alice = person("Alice", "pro")
    headers = {b"Idempotency-Key": key.encode()}
    body = httpx2.post(
        web.url + "/v1/chat/completions",
        json=chat_body(),
        headers={b"Authorization": f"Bearer {alice.secret}".encode()} | headers,
        timeout=30,
    )
    assert code(body) == (400, "invalid_request")
    assert body.json()["error"]["param"] == "Idempotency-Key"


def test_hugging_faces_words_have_it_too(web: Web, person: Callable[..., Person]) -> None:
    alice, key = person("Alice", "pro"), uuid.uuid4().hex
    path = "/hf-inference/models/" + chat_body()["model"] + "/v1/chat/completions"
    for _ in range(2):
        answer = web.post(path, alice.secret, chat_body(), headers={"Idempotency-Key": key})
        assert answer.status_code == 200
    assert answer.headers["idempotent-replayed"] == "true"
    other = web.post(path, alice.secret, chat_body("say 7"), headers={"Idempotency-Key": key})
    assert (other.status_code, other.json()["error_type"]) == (422, "validation")
