"""X-Max-Cost bounds one call in money; a stream that reaches what was set aside ends like one cut by max_tokens."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from billing.models import UsageEvent
from tests.factories import EMBEDDING_MODEL, Person
from tests.live import FakeUpstream, Web, chat_body, eventually, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def capped(web: Web, person: Person, cap: str, text: str = "say 3", **fields: Any) -> httpx2.Response:
    """Have a chat that may cost so much."""
    headers = {"X-Max-Cost": cap}
    return web.post("/v1/chat/completions", person.secret, chat_body(text, **fields), headers=headers)


def cost_of(person: Person) -> int:
    record_usage()
    return UsageEvent.objects.get(account=person.account).nano_cost


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def comments(answer: httpx2.Response) -> list[str]:
    return [line for line in answer.text.splitlines() if line.startswith(": turnpike")]


# --- X-Max-Cost ----------------------------------------------------------------------------------


def test_max_tokens_is_lowered_until_the_call_costs_no_more(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice = person("Alice", "pro")
    answer = capped(web, alice, "0.00001", max_tokens=1000)
    assert answer.status_code == 200
    sent = json.loads(upstream.seen()["body"])["max_tokens"]
    assert 1 <= sent < 1000
    assert answer.headers["x-turnpike-limited-by"] == "x-max-cost"
    assert answer.headers["x-turnpike-max-tokens"] == str(sent)
    assert cost_of(alice) <= 10_000


def test_a_cap_that_is_wide_enough_changes_nothing(web: Web, upstream: FakeUpstream, person: People) -> None:
    answer = capped(web, person("Alice", "pro"), "1", max_tokens=60)
    assert json.loads(upstream.seen()["body"])["max_tokens"] == 60
    assert "x-turnpike-limited-by" not in answer.headers


def test_a_cap_below_the_shortest_answer_is_refused_and_reaches_nobody(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    before = upstream.seen()["calls"]
    answer = capped(web, person("Alice", "pro"), "0.000000001")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "max_cost_too_low", "X-Max-Cost")
    assert error["limit"] == 1
    assert error["used"] > 1
    assert answer.headers["x-ratelimit-remaining-requests"] == "600"
    assert upstream.seen()["calls"] == before


@pytest.mark.parametrize("cap", ["", "much", "-1", "0", "NaN", "Infinity", "1e99", "$1", "1,5"])
def test_a_cap_that_is_no_amount_is_a_bad_request(web: Web, person: People, cap: str) -> None:
    answer = capped(web, person("Alice", "pro"), cap)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", "X-Max-Cost")
    assert "amount in USD above 0" in error["message"]


def test_a_task_without_max_tokens_is_capped_too(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    body = {"model": EMBEDDING_MODEL, "input": "x" * 40_000}
    answer = web.post("/v1/embeddings", alice.secret, body, headers={"X-Max-Cost": "0.00001"})
    assert answer.json()["error"]["code"] == "max_cost_too_low"


# --- Streams that go on --------------------------------------------------------------------------


def test_a_stream_that_ignores_max_tokens_ends_as_if_it_had_not(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice, left = person("Alice", "pro"), upstream.seen()["left"]
    answer = web.chat(alice, "slow 5", stream=True, max_tokens=10)  # 40 tokens
    found = events(answer)
    assert answer.text.endswith("data: [DONE]\n\n")
    last = found[-1]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert (last["id"], last["object"]) == ("fake", "chat.completion.chunk")
    assert last["usage"]["completion_tokens"] == 10
    assert len(found) - 1 <= 13
    assert comments(answer) == [
        ": turnpike: the answer reached max_tokens, which is what was set aside for it"
    ]
    eventually(lambda: upstream.seen()["left"] > left, "the upstream is closed")
    record_usage()
    row = UsageEvent.objects.get(account=alice.account)
    assert (row.status, row.error_code, row.estimated) == (200, "", True)
    assert row.units["output_token"][0] == 10


def test_who_asked_for_usage_gets_it_in_a_chunk_of_its_own(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, "slow 5", stream=True, max_tokens=10, stream_options={"include_usage": True})
    *_, last, usage = events(answer)
    assert last["choices"][0]["finish_reason"] == "length"
    assert "usage" not in last
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 10)


def test_a_stream_within_its_hold_is_left_alone(web: Web, person: People) -> None:
    answer = web.chat(person("Alice", "pro"), "say 10", stream=True, max_tokens=10)
    assert len(events(answer)) == 10
    assert comments(answer) == []


def test_a_capped_stream_says_so_before_and_at_its_end_and_costs_no_more(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    answer = capped(web, alice, "0.000005", "slow 2", stream=True, max_tokens=1000)
    assert answer.headers["x-turnpike-limited-by"] == "x-max-cost"
    assert comments(answer) == [": turnpike: the answer was limited by X-Max-Cost"]
    assert events(answer)[-1]["choices"][0]["finish_reason"] == "length"
    assert 0 < cost_of(alice) <= 5_000


def test_an_answer_shortened_by_the_plan_says_so(web: Web, person: People) -> None:
    bob = person("Bob")
    answer = web.chat(bob, "say 2", max_tokens=1_000_000)
    assert answer.headers["x-turnpike-limited-by"] == "plan"
    assert int(answer.headers["x-turnpike-max-tokens"]) < 1_000_000
