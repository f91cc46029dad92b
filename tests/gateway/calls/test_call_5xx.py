"""Calls that fail upstream: each gets its status, nobody pays, no hold stays behind, one row says what happened."""

from collections.abc import Callable, Iterator

import pytest

from billing.models import UsageEvent
from tests.factories import Person
from tests.live import Web, any_port, record_usage, start_web

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ("status 500", 502, "upstream_error"),
        ("status 502", 502, "upstream_error"),
        ("status 429", 502, "upstream_error"),
        ("status 401", 502, "upstream_error"),
        ("status 503", 503, "model_loading"),
        ("status 504", 504, "upstream_timeout"),
        ("status 302", 502, "upstream_error"),
        ("drop", 502, "upstream_error"),
        ("hang", 504, "upstream_timeout"),
    ],
)
def test_an_upstream_that_fails_is_not_charged(
    web: Web, person: People, wish: str, status: int, code: str
) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, wish)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    row = only_row(alice)
    assert (row.status, row.error_code, row.nano_cost) == (status, code, 0)


@pytest.mark.parametrize("wish", ["status 400", "status 422"])
def test_a_request_that_the_upstream_refuses_is_the_customers_to_mend(
    web: Web, person: People, wish: str
) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, wish)
    assert answer.status_code == int(wish.split()[1])
    assert "told to say" in answer.json()["error"]["message"]
    assert only_row(alice).nano_cost == 0


def test_the_upstreams_refusal_of_our_token_is_not_shown_as_the_customers(web: Web, person: People) -> None:
    assert "token" in web.chat(person("Alice", "pro"), "status 403").json()["error"]["message"]


@pytest.fixture(scope="module")
def lonely_web(live_database: dict[str, str]) -> Iterator[Web]:
    """A gateway whose model server is not there."""
    nobody = f"http://127.0.0.1:{any_port()}"
    yield from start_web(live_database | {"MODEL_URL": nobody}, ready="/health/live")


def test_a_model_server_that_is_down_is_502(lonely_web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    answer = lonely_web.chat(alice)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "127.0.0.1" not in answer.text
    assert only_row(alice).status == 502
