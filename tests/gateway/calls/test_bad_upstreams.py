"""Upstreams that answer nonsense: a clean end, a true row, nothing leaked, and the token stays where it belongs."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from billing.models import PriceVersion, UnitPrice, UsageEvent
from gateway.dialects import CHAT
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from tests.factories import Person
from tests.live import FakeUpstream, Web, chat_body, eventually, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
MODEL = "tests/behind-a-token"
TOKEN = "hf_the_operators_token_for_this_upstream_only"


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


@pytest.fixture(scope="module")
def behind_a_token(web: Web, upstream: FakeUpstream) -> Iterator[str]:
    """A model at a router that wants a token, which is the scripted upstream."""
    row = Upstream(slug="tests-token", name="Wants a token", dialect=Dialect.HF_ROUTER, base_url=upstream.url)
    row.set_secret(TOKEN)
    row.save()
    model = CatalogModel.objects.create(model_id=MODEL, tasks=[CHAT])
    Serving.objects.create(model=model, upstream=row, provider="hf-inference")
    version = PriceVersion.objects.create(model=MODEL, source="a test")
    for unit in ("input_token", "output_token"):
        UnitPrice.objects.create(
            version=version, unit=unit, price=Decimal("0.000001"), upstream_cost=Decimal(0)
        )
    yield MODEL
    row.enabled = False
    row.save()


# --- Answers that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["garbage", "html", "empty", "half", "huge"])
def test_an_answer_that_is_none_is_502_and_free(web: Web, person: People, wish: str) -> None:
    alice, began = person("Alice", "pro"), time.monotonic()
    answer = web.chat(alice, wish)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "nginx" not in answer.text
    assert "127.0.0.1" not in answer.text
    assert time.monotonic() - began < 4
    row = only_row(alice)
    assert (row.status, row.error_code, row.nano_cost) == (502, "upstream_error", 0)


@pytest.mark.parametrize("wish", ["garbage 3", "binary 3", "endless", "half"])
def test_a_stream_of_nonsense_ends_with_one_error_and_is_free(web: Web, person: People, wish: str) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, wish, stream=True)
    told = answer.json() if answer.status_code == 502 else json.loads(events(answer.text)[-1])
    assert told["error"]["code"] == "upstream_error"
    assert "xxxx" not in answer.text
    assert "oops" not in answer.text
    row = only_row(alice)
    assert (row.error_code, row.nano_cost) == ("upstream_error", 0)


# --- Usage that cannot be true -------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wish", ["negative 4", "absurd 4", "textual 4"])
def test_usage_that_cannot_be_true_is_estimated_instead(
    web: Web, person: People, wish: str, stream: bool
) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, wish, stream=stream)
    assert answer.status_code == 200
    row = only_row(alice)
    assert row.estimated
    assert 0 < row.units["input_token"][0] < 100
    assert 0 < row.units["output_token"][0] <= 64
    assert 0 <= row.nano_cost < 100_000


def test_an_infinite_time_is_no_time(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    assert web.chat(alice, "infinite").status_code == 200
    row = only_row(alice)
    assert "compute_second" not in row.units
    assert "character" not in row.units


# --- The token -----------------------------------------------------------------------------------


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere(
    web: Web, upstream: FakeUpstream, person: People, behind_a_token: str
) -> None:
    alice = person("Alice", "pro")
    body = chat_body("say 2", model=behind_a_token)
    call = "/v1/chat/completions"
    eventually(lambda: web.post(call, alice.secret, body).status_code == 200, "the model is listed")
    assert upstream.seen()["headers"]["Authorization"] == f"Bearer {TOKEN}"
    for stream in (False, True):
        answer = web.post(
            call, alice.secret, body | chat_body("redirect", model=behind_a_token, stream=stream)
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert "location" not in answer.headers
        assert TOKEN not in answer.text + str(answer.headers)
    assert upstream.seen()["stolen"] == []


@pytest.mark.parametrize("wish", ["status 401", "status 403", "status 500", "garbage", "drop"])
def test_no_failure_shows_the_token(web: Web, person: People, behind_a_token: str, wish: str) -> None:
    alice = person("Alice", "pro")
    body = chat_body(wish, model=behind_a_token)
    eventually(
        lambda: web.post("/v1/chat/completions", alice.secret, body).status_code == 502, "the model is listed"
    )
    answer = web.post("/v1/chat/completions", alice.secret, body)
    assert TOKEN not in answer.text + str(answer.headers)
    assert TOKEN not in web.process.log.read_text()


def test_the_local_model_is_sent_no_token(
    web: Web, upstream: FakeUpstream, person: People, behind_a_token: str
) -> None:
    web.chat(person("Alice", "pro"), "say 1")
    assert "Authorization" not in upstream.seen()["headers"]
