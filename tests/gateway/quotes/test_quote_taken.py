"""A quote is taken: it says what the call will cost at most, and sets that aside."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.budget_window import Window
from billing.budgets import set_budget
from billing.models import UsageEvent
from gateway.meter_keys import keys_of
from tests.factories import EMBEDDING_MODEL, Person
from tests.gateway.quotes.talk import PATH, code, counted, one, quote, taken
from tests.live import FakeUpstream, Web, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def test_alice_hears_what_her_call_costs_at_most_and_nothing_is_called(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice, before = person("Alice", "pro"), upstream.seen()["calls"]
    answer = quote(web, alice)
    said = answer.json()
    assert (answer.status_code, said["status"], said["object"]) == (201, "open", "quote")
    assert said["id"] == answer.headers["x-request-id"]
    assert Decimal(said["max_cost"]) * 10**9 == said["max_cost_nano"] > 0
    assert said["currency"] == "USD"
    rates = [{unit: Decimal(rate) for unit, rate in price["rates"].items()} for price in said["prices"]]
    assert said["assumes"]["output_token"] == 64
    most = max(sum(said["assumes"][unit] * rate for unit, rate in way.items()) for way in rates)
    assert said["max_cost_nano"] == round(most * 10**9)  # so anybody can check the sum
    assert counted(alice) == (0, 0, 1, said["max_cost_nano"])
    assert int(answer.headers["x-ratelimit-remaining-requests"]) == 599
    assert upstream.seen()["calls"] == before
    one(web, alice, said["id"], "DELETE")


def test_it_lasts_ten_minutes_or_as_long_as_was_asked_for(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    for seconds in (600, 60, 3600):
        said = taken(web, alice) if seconds == 600 else taken(web, alice, expires_in=seconds)
        lasts = datetime.fromisoformat(said["expires_at"]) - timezone.now()
        # Less where the month ends before.
        assert lasts <= timedelta(seconds=seconds)
        assert one(web, alice, said["id"]).json() == said
        one(web, alice, said["id"], "DELETE")


def test_it_ends_with_the_day_of_a_budget(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro", time_zone="UTC")
    set_budget(alice.account, Window.DAY, 10**9)
    set_budget(alice.account, Window.LIFETIME, 10**9)
    said = taken(web, alice, expires_in=3600)
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert datetime.fromisoformat(said["expires_at"]) <= midnight
    keys = keys_of(str(alice.account.pk))
    budgets = meter.hget(keys.quote(said["id"]), "counters").split()[1:]
    assert [int(meter.hget(name, "held_nano")) for name in budgets] == [said["max_cost_nano"]] * 2
    one(web, alice, said["id"], "DELETE")


def test_other_paths_can_be_quoted_too(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice, path="/v1/embeddings", body={"model": EMBEDDING_MODEL, "input": ["a", "b"]})
    assert (said["path"], said["model"]) == ("/v1/embeddings", EMBEDDING_MODEL)
    assert "output_token" not in said["assumes"]
    task = {"inputs": "a cat", "parameters": {"normalize": True}}
    path = f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/feature-extraction"
    other = taken(web, alice, path=path, body=task)
    assert other["model"] == EMBEDDING_MODEL
    for each in (said, other):
        one(web, alice, each["id"], "DELETE")


def test_a_quote_given_back_frees_everything_and_leaves_no_record(web: Web, person: People) -> None:
    bob = person("Bob")
    first = taken(web, bob)
    given = one(web, bob, first["id"], "DELETE")
    assert (given.status_code, given.json()["status"]) == (200, "given_back")
    assert counted(bob) == (0, 0, 0, 0)
    second = quote(web, bob)
    # All its tokens came back: what is left now is a whole minute's, but for the new one's.
    assert int(second.headers["x-ratelimit-remaining-tokens"]) > 20_000 - 2 * (64 + 100)
    assert code(one(web, bob, first["id"])) == (404, "quote_not_found")
    assert code(one(web, bob, first["id"], "DELETE")) == (404, "quote_not_found")
    one(web, bob, second.json()["id"], "DELETE")
    record_usage()
    assert not UsageEvent.objects.filter(account=bob.account).exists()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "body"),
        ({"body": []}, "body"),
        ({"body": {"messages": []}}, "messages"),
        ({"body": {"messages": [{"role": "user"}]}}, "model"),
        ({"body": {}, "path": 3}, "path"),
        ({"body": {}, "path": "/v1/audio/transcriptions"}, "path"),
        ({"body": {}, "expires_in": 0}, "expires_in"),
        ({"body": {}, "expires_in": 3601}, "expires_in"),
        ({"body": {}, "expires_in": True}, "expires_in"),
        ({"body": {}, "ttl": 60}, "ttl"),
    ],
)
def test_a_request_that_is_none_is_refused(
    web: Web, person: People, body: dict[str, object], param: str
) -> None:
    bob = person("Bob")
    answer = web.post(PATH, bob.secret, body)
    assert code(answer) == (400, "invalid_request"), answer.text
    assert answer.json()["error"]["param"] == param
    assert counted(bob)[2:] == (0, 0)


def test_wrong_verbs_and_bodies_that_are_no_json(web: Web, person: People) -> None:
    bob = person("Bob")
    assert code(web.post(PATH, bob.secret, b"model=x")) == (400, "invalid_request")
    assert code(web.post(PATH + "/" + "0" * 32, bob.secret, {})) == (405, "method_not_allowed")
    assert code(web.post(PATH, None, {})) == (401, "invalid_api_key")
