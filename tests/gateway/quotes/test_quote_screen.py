"""The Quotes page: what is open, by whom and until when, and which call redeemed what."""

from collections.abc import Callable

import pytest
from django.test import override_settings

from accounts.models import Role
from tests.browsing import join, sign_in, text_of
from tests.factories import Person
from tests.gateway.quotes.talk import one, redeem, taken
from tests.live import Web, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
PAGE = "/usage/quotes/"


def test_alice_sees_her_open_quote_and_the_call_that_redeemed_another(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    used, kept, gone = (taken(web, alice) for _ in range(3))
    call = redeem(web, alice, used["id"])
    one(web, alice, gone["id"], "DELETE")
    record_usage()
    page = sign_in(alice).get(PAGE)
    assert [line.quote_id for line in page.context["open"]] == [kept["id"]]
    assert [line.nano for line in page.context["open"]] == [kept["max_cost_nano"]]
    said = text_of(page)
    assert all(text in said for text in (used["id"], kept["id"], call.headers["x-request-id"], kept["model"]))
    assert gone["id"] not in said
    assert f"Quote {used['id']}" in text_of(sign_in(alice).get("/usage/"))
    one(web, alice, kept["id"], "DELETE")


def test_bob_has_none_and_is_told_how_to_take_one(web: Web, person: People) -> None:
    assert "No quotes yet" in text_of(sign_in(person("Bob")).get(PAGE))


def test_a_viewer_sees_them_and_mallory_does_not(web: Web, person: People) -> None:
    alice, victor, mallory = person("Alice", "pro"), person("Victor"), person("Mallory")
    join(victor, alice.account, Role.VIEWER)
    said = taken(web, alice)
    assert said["id"] in text_of(sign_in(victor, alice.account).get(PAGE))
    assert said["id"] not in text_of(sign_in(mallory).get(PAGE))
    one(web, alice, said["id"], "DELETE")


def test_while_the_meter_is_away_the_redeemed_ones_are_shown(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    said = taken(web, alice)
    redeem(web, alice, said["id"])
    record_usage()
    with override_settings(METER_REDIS_URL="redis://127.0.0.1:1/0"):
        page = sign_in(alice).get(PAGE)
    assert page.status_code == 503
    assert "cannot be read at the moment" in text_of(page)
    assert said["id"] in text_of(page)
