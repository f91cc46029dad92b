"""Quotes that are not taken, and calls that may not redeem one: each hears why, and nothing moves."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from accounts.keys import issue_key
from billing.budget_window import Window
from billing.budgets import set_budget
from gateway.counters import MOST_QUOTES
from tests.factories import Person
from tests.gateway.quotes.talk import code, counted, one, quote, redeem, taken
from tests.live import FakeUpstream, Web

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def with_another_key(person: Person) -> Person:
    """The same person with a second key."""
    key, secret = issue_key(person.account, "another", created_by=person.user)
    return Person(person.user, person.account, key, secret)


# --- Taking one ------------------------------------------------------------------------------------------------


def test_a_budget_that_does_not_cover_it_refuses_the_quote(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    set_budget(alice.account, Window.LIFETIME, 1)
    answer = quote(web, alice)
    assert code(answer) == (402, "budget_exceeded")
    assert counted(alice) == (0, 0, 0, 0)


def test_quotes_use_up_a_budget_until_they_are_given_back(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    first = taken(web, alice)
    set_budget(alice.account, Window.LIFETIME, first["max_cost_nano"] * 3 // 2)
    assert code(quote(web, alice)) == (402, "budget_exceeded")
    assert code(web.chat(alice)) == (402, "budget_exceeded")
    one(web, alice, first["id"], "DELETE")
    second = taken(web, alice)
    one(web, alice, second["id"], "DELETE")


def test_bob_has_as_many_quotes_as_calls_at_once(web: Web, person: People) -> None:
    bob = person("Bob")
    held = [taken(web, bob) for _ in range(2)]
    answer = quote(web, bob)
    assert code(answer) == (429, "concurrency_limit_exceeded")
    assert int(answer.headers["retry-after"]) > 0
    for each in held:
        one(web, bob, each["id"], "DELETE")


def test_nobody_piles_up_quotes_without_end(web: Web, person: People) -> None:
    alice = person("Alice", "enterprise")
    held = [taken(web, alice, expires_in=300) for _ in range(MOST_QUOTES)]
    answer = quote(web, alice)
    assert code(answer) == (429, "quote_limit_exceeded")
    assert 200 < int(answer.headers["retry-after"]) <= 300
    assert answer.json()["error"]["limit_name"] == "quotes"
    assert redeem(web, alice, held.pop()["id"]).status_code == 200
    held.append(taken(web, alice))
    for each in held:
        one(web, alice, each["id"], "DELETE")
    assert counted(alice)[2:] == (0, 0)


def test_a_model_that_is_not_there_or_too_dear_is_not_quoted(web: Web, person: People) -> None:
    bob = person("Bob")
    assert code(quote(web, bob, model="nobody/nothing")) == (404, "model_not_found")
    assert code(quote(web, bob, path="/v1/nothing")) == (404, "unknown_endpoint")
    assert code(quote(web, bob, path="/v1/chat/completions/../../")) == (404, "unknown_endpoint")


# --- Redeeming one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quote_id", ["", "nothing", "0" * 36, "{07}", "' or 1=1", "6c5d8d19-9b40-44bd-b7e8-cf775681892b"]
)
def test_a_quote_that_is_none_is_404_and_no_call_is_made(
    web: Web, upstream: FakeUpstream, person: People, quote_id: str
) -> None:
    alice, before = person("Alice", "pro"), upstream.seen()["calls"]
    assert code(redeem(web, alice, quote_id)) == (404, "quote_not_found")
    assert upstream.seen()["calls"] == before
    assert counted(alice) == (0, 0, 0, 0)


def test_a_call_is_no_quote(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    other = web.chat(alice).headers["x-request-id"]
    assert code(redeem(web, alice, other)) == (404, "quote_not_found")
    assert code(one(web, alice, other, "DELETE")) == (404, "quote_not_found")


def test_another_key_or_account_does_not_see_it(web: Web, person: People) -> None:
    alice, mallory = person("Alice", "pro"), person("Mallory", "pro")
    said = taken(web, alice)
    for stranger in (mallory, with_another_key(alice)):
        assert code(redeem(web, stranger, said["id"])) == (404, "quote_not_found")
        assert code(one(web, stranger, said["id"])) == (404, "quote_not_found")
        assert code(one(web, stranger, said["id"], "DELETE")) == (404, "quote_not_found")
    assert counted(alice) == (0, 0, 1, said["max_cost_nano"])
    assert redeem(web, alice, said["id"]).status_code == 200


def test_another_call_is_422_and_the_quote_stays_good(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    for other in ({"text": "say 6"}, {"max_tokens": 65}, {"stream": True}, {"model": "openai/gpt-oss-20b"}):
        assert code(redeem(web, alice, said["id"], **other)) == (422, "quote_mismatch")
    elsewhere = web.post(
        "/v1/embeddings", alice.secret, {"input": "a"}, headers={"X-Turnpike-Quote": said["id"]}
    )
    assert code(elsewhere) == (422, "quote_mismatch")
    raw = web.post("/v1/chat/completions", alice.secret, b"{", headers={"X-Turnpike-Quote": said["id"]})
    assert code(raw) == (422, "quote_mismatch")
    assert redeem(web, alice, said["id"]).status_code == 200


def test_a_second_call_is_409_and_hears_of_the_first(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    first = redeem(web, alice, said["id"])
    before = upstream.seen()["calls"]
    again = redeem(web, alice, said["id"])
    assert code(again) == (409, "quote_redeemed")
    assert again.json()["error"]["original_request_id"] == first.headers["x-request-id"]
    assert code(one(web, alice, said["id"], "DELETE")) == (409, "quote_redeemed")
    assert upstream.seen()["calls"] == before
    assert counted(alice)[0] == 1


def test_less_than_the_shortest_answer_is_refused_and_the_quote_stays_good(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    answer = redeem(web, alice, said["id"], headers={"X-Max-Cost": "0.000000001"})
    assert code(answer) == (400, "max_cost_too_low")
    assert Decimal(one(web, alice, said["id"]).json()["max_cost"]) == Decimal(said["max_cost"])
    assert redeem(web, alice, said["id"]).status_code == 200
