"""A call redeems a quote: it takes the hold over, is priced as was quoted, and costs no more."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from billing.models import PriceVersion, UnitPrice, UsageEvent
from gateway.dialects import CHAT
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from gateway.quote_holds import MOST_CALLS
from tests.factories import Person
from tests.gateway.quotes.talk import code, counted, one, redeem, taken
from tests.live import FakeUpstream, Web, chat_body, eventually, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
MODEL = "tests/becomes-dearer"


def event_of(person: Person) -> UsageEvent:
    """The one record of a person's calls."""
    record_usage()
    return UsageEvent.objects.get(account=person.account)


def test_alices_call_takes_the_hold_over_and_is_charged_once(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    answer = redeem(web, alice, said["id"])
    assert answer.status_code == 200
    assert int(answer.headers["x-turnpike-price-version"]) in {p["price_version"] for p in said["prices"]}
    assert Decimal(answer.headers["x-turnpike-cost"].split()[0]) <= Decimal(said["max_cost"])
    assert counted(alice) == (1, event_of(alice).nano_cost, 0, 0)
    after = one(web, alice, said["id"]).json()
    assert (after["status"], after["request_id"]) == ("redeemed", answer.headers["x-request-id"])
    event = event_of(alice)
    assert str(event.request_id) == answer.headers["x-request-id"] != said["id"]
    assert str(event.quote_id) == said["id"]


def test_while_the_call_runs_there_is_one_hold(web: Web, upstream: FakeUpstream, person: People) -> None:
    alice, before = person("Alice", "pro"), upstream.seen()["calls"]
    said = taken(web, alice, "wait 1000")
    with ThreadPoolExecutor(1) as clients:
        running = clients.submit(redeem, web, alice, said["id"], "wait 1000")
        eventually(lambda: upstream.seen()["calls"] > before, "the call runs")
        assert counted(alice) == (0, 0, 1, said["max_cost_nano"])
        assert running.result().status_code == 200
    assert counted(alice)[2:] == (0, 0)


def test_the_last_of_bobs_calls_at_once_is_the_quotes_own(web: Web, person: People) -> None:
    bob = person("Bob")
    first, second = taken(web, bob), taken(web, bob)
    assert code(web.chat(bob)) == (429, "concurrency_limit_exceeded")
    assert redeem(web, bob, first["id"]).status_code == 200  # it has its place already
    assert redeem(web, bob, second["id"]).status_code == 200


def test_a_stream_redeems_a_quote_too(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice, stream=True)
    answer = redeem(web, alice, said["id"], stream=True)
    assert answer.status_code == 200
    assert b"[DONE]" in answer.content
    assert 0 < event_of(alice).nano_cost <= said["max_cost_nano"]


def test_spaces_and_the_order_of_fields_do_not_matter(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice, temperature=0.5)
    body = dict(reversed(chat_body("say 5", temperature=0.5).items()))
    answer = web.post(
        "/v1/chat/completions", alice.secret, json.dumps(body, indent=8).encode(),
        headers={"X-Turnpike-Quote": said["id"]},
    )  # fmt: skip
    assert answer.status_code == 200
    assert "x-turnpike-limited-by" not in answer.headers


def test_a_call_that_fails_costs_nothing_and_leaves_the_quote_open(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice, "status 500")
    failed = redeem(web, alice, said["id"], "status 500")
    assert failed.status_code == 502
    after = one(web, alice, said["id"]).json()
    assert (after["status"], after["request_id"], after["expires_at"]) == ("open", None, said["expires_at"])
    assert counted(alice) == (0, 0, 1, said["max_cost_nano"])
    event = event_of(alice)
    assert (str(event.request_id), event.status, event.nano_cost) == (failed.headers["x-request-id"], 502, 0)
    assert one(web, alice, said["id"], "DELETE").json()["status"] == "given_back"
    assert counted(alice) == (0, 0, 0, 0)


def test_the_third_call_that_fails_uses_the_quote_up(web: Web, person: People) -> None:
    """A quote passes the requests a minute once, so it is no way around them."""
    mallory = person("Mallory", "pro")
    said = taken(web, mallory, "status 500")
    failed = [redeem(web, mallory, said["id"], "status 500") for _ in range(MOST_CALLS)]
    assert [answer.status_code for answer in failed] == [502] * MOST_CALLS
    assert counted(mallory) == (0, 0, 0, 0)
    again = redeem(web, mallory, said["id"], "status 500")
    assert code(again) == (409, "quote_redeemed")
    assert again.json()["error"]["original_request_id"] == failed[-1].headers["x-request-id"]


def test_a_stream_that_breaks_leaves_the_quote_open(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice, "drop 3", stream=True)
    answer = redeem(web, alice, said["id"], "drop 3", stream=True)
    assert b"upstream_error" in answer.content
    assert one(web, alice, said["id"]).json()["status"] == "open"
    assert one(web, alice, said["id"], "DELETE").status_code == 200


def test_with_an_idempotency_key_a_call_that_failed_is_tried_again(web: Web, person: People) -> None:
    alice, key = person("Alice", "pro"), {"Idempotency-Key": uuid.uuid4().hex}
    said = taken(web, alice, "status 500")
    answers = [redeem(web, alice, said["id"], "status 500", headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2
    assert one(web, alice, said["id"], "DELETE").status_code == 200


def test_of_thirty_at_once_one_redeems_it(web: Web, upstream: FakeUpstream, person: People) -> None:
    alice, before = person("Alice", "pro"), upstream.seen()["calls"]
    said = taken(web, alice)
    with ThreadPoolExecutor(30) as clients:
        answers = list(clients.map(lambda _: redeem(web, alice, said["id"]), range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 29
    assert upstream.seen()["calls"] == before + 1
    assert counted(alice)[0] == 1


def test_with_an_idempotency_key_a_repeat_gets_the_first_answer(web: Web, person: People) -> None:
    alice, key = person("Alice", "pro"), {"Idempotency-Key": uuid.uuid4().hex}
    said = taken(web, alice)
    first = redeem(web, alice, said["id"], headers=key)
    again = redeem(web, alice, said["id"], headers=key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert counted(alice)[0] == 1


def test_x_max_cost_bounds_a_quoted_call_further(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    half = f"{Decimal(said['max_cost']) * 3 / 4:f}"
    answer = redeem(web, alice, said["id"], headers={"X-Max-Cost": half})
    assert answer.status_code == 200
    assert answer.headers["x-turnpike-limited-by"] == "x-max-cost"


# --- A price that changes --------------------------------------------------------------------------------------


def set_price(price: str) -> int:
    """Set the price of a token of MODEL from now on; return the version's number."""
    version = PriceVersion.objects.create(model=MODEL, source="a test")
    for unit in ("input_token", "output_token"):
        UnitPrice.objects.create(
            version=version, unit=unit, price=Decimal(price), upstream_cost=Decimal(price) / 2
        )
    return version.pk


@pytest.fixture
def dear_model(web: Web, upstream: FakeUpstream) -> Iterator[None]:
    """A model of this test's own, behind the scripted upstream, at 1 millionth of a dollar a token."""
    row, _ = Upstream.objects.get_or_create(
        slug="tests-quotes",
        defaults={"name": "Quotes", "dialect": Dialect.OPENAI, "base_url": upstream.url},
    )
    model, _ = CatalogModel.objects.get_or_create(model_id=MODEL, defaults={"tasks": [CHAT]})
    set_price("0.000001")
    Serving.objects.get_or_create(model=model, upstream=row)
    yield
    row.enabled = False
    row.save()


def test_a_quote_keeps_its_price_when_the_price_book_changes(
    web: Web, person: People, dear_model: None
) -> None:
    alice = person("Alice", "pro")
    eventually(lambda: web.chat(alice, model=MODEL).status_code == 200, "the model is there")
    said = taken(web, alice, model=MODEL)
    (price,) = said["prices"]
    dearer = set_price("0.000100")

    def is_dearer() -> bool:
        new = taken(web, alice, model=MODEL)
        one(web, alice, new["id"], "DELETE")
        return bool(new["prices"][0]["price_version"] == dearer)

    eventually(is_dearer, "the new price is known")
    answer = redeem(web, alice, said["id"], model=MODEL)
    assert answer.headers["x-turnpike-price-version"] == str(price["price_version"])
    assert int(web.chat(alice, model=MODEL).headers["x-turnpike-price-version"]) == dearer
    record_usage()
    _, quoted, plain = UsageEvent.objects.filter(account=alice.account).order_by("request_id")
    assert quoted.nano_cost <= said["max_cost_nano"]
    assert plain.nano_cost == 100 * quoted.nano_cost
    assert plain.upstream_nano_cost == 100 * quoted.upstream_nano_cost
