"""A way that fails before the first byte is followed by the next: said, counted once, charged once."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from billing.models import UsageEvent
from gateway.dialects import CHAT
from gateway.models import Dialect
from gateway.routing import FEWEST_CALLS
from tests.factories import Person
from tests.fakes.catalog import TOKEN, add_model, add_price, add_upstream, switch_off
from tests.fakes.scripted import Scripted, scripted
from tests.live import Web, any_port, record_usage, start_web

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
MODEL, THREE, DOWN, RESTING = (
    "fall/two-ways",
    "fall/three-ways",
    "fall/first-is-down",
    "fall/first-keeps-failing",
)
VARIED = "fall/first-fails-in-every-way"  # apart, so that no other test finds its way resting
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
MESSAGE = {"role": "assistant", "content": "toll"}
ANSWER = json.dumps({"id": "x", "choices": [{"index": 0, "message": MESSAGE}], "usage": USAGE}).encode()
STREAM = {"Content-Type": "text/event-stream"}
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"toll "}}]}\n\n'
LAST = b'data: {"id":"x","choices":[],"usage":' + json.dumps(USAGE).encode() + b"}\n\ndata: [DONE]\n\n"


@pytest.fixture(scope="module")
def sick() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def well() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def two_ways_web(live_database: dict[str, str], sick: Scripted, well: Scripted) -> Iterator[Web]:
    """A gateway whose fastest upstream is sick; the next one is well, and dearer."""
    first = add_upstream("fall-sick", Dialect.OPENAI, sick.url)
    second = add_upstream("fall-well", Dialect.OPENAI, well.url)
    third = add_upstream("fall-third", Dialect.OPENAI, sick.url)
    nobody = add_upstream("fall-nobody", Dialect.OPENAI, f"http://127.0.0.1:{any_port()}")
    failing = add_upstream("fall-failing", Dialect.OPENAI, sick.url)
    add_model(MODEL, [CHAT], first, second, fastest_first=True)
    add_model(
        VARIED, [CHAT], add_upstream("fall-varied", Dialect.OPENAI, sick.url), second, fastest_first=True
    )
    add_model(THREE, [CHAT], first, third, second, fastest_first=True)
    add_model(DOWN, [CHAT], nobody, second, fastest_first=True)
    add_model(RESTING, [CHAT], failing, second, fastest_first=True)
    add_price("fall/*", input_token="0.000001", output_token="0.000001")
    for model in (MODEL, VARIED, THREE, DOWN, RESTING):
        add_price(model, "fall-well", input_token="0.000002", output_token="0.000004")
    yield from start_web(live_database | {"MODEL_URL": ""})
    switch_off("fall-")


@pytest.fixture(autouse=True)
def _as_usual(sick: Scripted, well: Scripted) -> None:
    sick.answer(b'{"error":{"message":"told to"}}', status=500)
    well.answer(ANSWER)


def chat(web: Web, person: Person, model: str = MODEL, **fields: Any) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50} | fields
    return web.post("/v1/chat/completions", person.secret, body)


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429, 401, 403, 302])
def test_alices_call_goes_on_to_the_next_way_and_says_so(
    two_ways_web: Web, sick: Scripted, well: Scripted, person: People, status: int
) -> None:
    alice = person("Alice", "enterprise")
    sick.answer(b"{}", status=status, headers={"Location": well.url, "Retry-After": "5"})
    answer = chat(two_ways_web, alice, VARIED)
    assert (answer.status_code, answer.json()) == (200, json.loads(ANSWER))
    assert answer.headers["x-inference-provider"] == "fall-well"
    assert answer.headers["x-turnpike-attempts"] == "2"
    assert (len(sick.came), len(well.came)) == (1, 1)
    assert json.loads(well.came[0].body)["model"] == VARIED
    row = only_row(alice)  # one event, for the one who served, at their prices
    assert (row.upstream, row.status, row.error_code) == ("fall-well", 200, "")
    assert row.nano_cost == int((10 * Decimal("0.000002") + 5 * Decimal("0.000004")) * 10**9)


def test_an_answer_that_is_no_json_is_a_failure_of_its_way(
    two_ways_web: Web, sick: Scripted, person: People
) -> None:
    sick.answer(b"<html>hello</html>", headers={"Content-Type": "text/html"})
    answer = chat(two_ways_web, person("Alice", "enterprise"))
    assert answer.headers["x-inference-provider"] == "fall-well"


def test_an_answer_that_breaks_off_is_a_failure_of_its_way(
    two_ways_web: Web, sick: Scripted, person: People
) -> None:
    sick.answer(b'{"choices":', breaks=True)
    answer = chat(two_ways_web, person("Alice", "enterprise"))
    assert (answer.status_code, answer.headers["x-inference-provider"]) == (200, "fall-well")


def test_a_server_that_is_down_is_followed_by_the_next(two_ways_web: Web, person: People) -> None:
    answer = chat(two_ways_web, person("Alice", "enterprise"), DOWN)
    assert (answer.status_code, answer.headers["x-turnpike-attempts"]) == (200, "2")


def test_a_third_way_is_the_last(two_ways_web: Web, sick: Scripted, person: People) -> None:
    answer = chat(two_ways_web, person("Alice", "enterprise"), THREE)
    assert (answer.status_code, answer.headers["x-turnpike-attempts"]) == (200, "3")
    assert len(sick.came) == 2


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_fault_of_alices_own_request_is_told_to_her_and_tried_nowhere_else(
    two_ways_web: Web, sick: Scripted, well: Scripted, person: People, status: int
) -> None:
    alice = person("Alice", "enterprise")
    sick.answer(b'{"error":{"message":"no such voice"}}', status=status)
    answer = chat(two_ways_web, alice)
    assert answer.status_code == (422 if status == 422 else 400)
    assert "no such voice" in answer.json()["error"]["message"]
    assert well.came == []
    assert only_row(alice).nano_cost == 0


def test_a_way_that_alice_names_is_not_replaced_by_another(
    two_ways_web: Web, well: Scripted, person: People
) -> None:
    alice = person("Alice", "enterprise")
    assert chat(two_ways_web, alice, MODEL + ":fall-sick").status_code == 502
    assert well.came == []
    assert only_row(alice).upstream == "fall-sick"


def test_when_all_fail_the_last_failure_is_told_and_nobody_pays(
    two_ways_web: Web, well: Scripted, person: People
) -> None:
    alice = person("Alice", "enterprise")
    well.answer(b"{}", status=503, headers={"Retry-After": "9"})
    answer = chat(two_ways_web, alice)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")
    row = only_row(alice)
    assert (row.nano_cost, row.upstream, row.error_code) == (0, "fall-well", "model_loading")


def test_a_stream_falls_back_before_its_first_byte(two_ways_web: Web, well: Scripted, person: People) -> None:
    alice = person("Alice", "enterprise")
    well.answer(EVENT, EVENT, LAST, headers=STREAM)
    answer = chat(two_ways_web, alice, stream=True)
    assert answer.text == (EVENT + EVENT + b"data: [DONE]\n\n").decode()
    assert answer.headers["x-inference-provider"] == "fall-well"
    assert only_row(alice).units["output_token"][0] == 5


def test_nothing_falls_back_after_the_first_byte(
    two_ways_web: Web, sick: Scripted, well: Scripted, person: People
) -> None:
    alice = person("Alice", "enterprise")
    sick.answer(EVENT, EVENT, headers=STREAM, breaks=True)
    text = chat(two_ways_web, alice, stream=True).text
    assert text.count("toll ") == 2
    assert '"upstream_error"' in text
    assert "[DONE]" not in text
    assert well.came == []
    row = only_row(alice)
    assert (row.upstream, row.nano_cost, row.status) == ("fall-sick", 0, 502)


def test_each_upstream_gets_its_own_token_and_never_alices(
    two_ways_web: Web, sick: Scripted, well: Scripted, person: People
) -> None:
    alice = person("Alice", "enterprise")
    chat(two_ways_web, alice)
    assert (len(sick.came), len(well.came)) == (1, 1)
    for came in (*sick.came, *well.came):
        assert came.headers["authorization"] == f"Bearer {TOKEN}"
        assert alice.secret not in str(came)


def test_a_way_that_keeps_failing_is_left_alone(two_ways_web: Web, sick: Scripted, person: People) -> None:
    alice = person("Alice", "enterprise")
    statuses = {chat(two_ways_web, alice, RESTING).status_code for _ in range(FEWEST_CALLS)}
    assert statuses <= {200, 502}  # 502 where the retry budget was used up
    before = len(sick.came)
    assert before == FEWEST_CALLS
    answer = chat(two_ways_web, alice, RESTING)
    assert (answer.status_code, answer.headers["x-turnpike-attempts"]) == (200, "1")
    assert len(sick.came) == before
