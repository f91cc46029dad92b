"""The screens of webhooks: a secret that is seen once, messages that can be sent again, and each account's own."""

import json
import re
from collections.abc import Iterator

import pytest

from accounts.keys import issue_key
from accounts.models import Role, WebhookDelivery, WebhookEndpoint
from accounts.webhooks import delivery, endpoints
from accounts.webhooks.events import EVENTS
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_person
from tests.fakes.receiver import Receiver, receiving

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{40,}")
NEW = {"url": "http://127.0.0.1:9/hook", "description": "Ops", "events": ["key.created"]}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Alice's own server."""
    with receiving() as running:
        yield running


@pytest.fixture
def endpoint(alice: Person, receiver: Receiver) -> WebhookEndpoint:
    """Alice hears everything there."""
    return endpoints.add_endpoint(alice.account, receiver.url, list(EVENTS))[0]


def test_alice_sees_the_signing_secret_once(alice: Person) -> None:
    client = sign_in(alice)
    assert "No endpoints yet" in text_of(client.get("/settings/webhooks/"))
    added = client.post("/settings/webhooks/new/", NEW)
    (secret,) = set(SECRET.findall(added.content.decode()))
    assert "no-store" in added["Cache-Control"]
    endpoint = WebhookEndpoint.objects.get()
    assert secret in endpoint.secrets_at(endpoint.created_at)
    assert endpoint.created_by == alice.user
    for page in ("/settings/webhooks/", f"/settings/webhooks/{endpoint.pk}/"):
        assert not SECRET.search(client.get(page).content.decode())


def test_a_reload_that_sends_the_form_again_adds_no_second_endpoint(alice: Person) -> None:
    client = sign_in(alice)
    once = re.search(r'name="once" value="([^"]+)"', client.get("/settings/webhooks/new/").content.decode())
    assert once
    client.post("/settings/webhooks/new/", NEW | {"once": once[1]})
    again = client.post("/settings/webhooks/new/", NEW | {"once": once[1]}, follow=True)
    assert "added already" in text_of(again)
    assert WebhookEndpoint.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": ""}, "Enter the address"),
        ({"url": "hook"}, "Write it as https://host/path"),
        ({"url": "https://no-such-host.invalid/#part"}, "Leave out everything from the #"),
        ({"events": []}, "Choose at least one event."),
        ({"events": ["key.eaten"]}, "key.eaten"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused_in_words(
    alice: Person, wrong: dict[str, object], said: str
) -> None:
    assert said in text_of(sign_in(alice).post("/settings/webhooks/new/", NEW | wrong))
    assert not WebhookEndpoint.objects.exists()


def test_alice_sends_a_test_message_and_sees_what_became_of_it(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    client, page = sign_in(alice), f"/settings/webhooks/{endpoint.pk}/"
    assert "on its way" in text_of(client.post(f"{page}test/", follow=True))
    assert "Wait ten seconds" in text_of(client.post(f"{page}test/", follow=True))
    assert "Waiting" in text_of(client.get(page))
    delivery.deliver_due()
    said = text_of(client.get(page))
    assert "webhook.ping" in said
    assert "Delivered" in said
    assert "204" in said
    assert len(receiver.got) == 1


def test_a_message_opens_in_the_drawer_and_as_a_page(alice: Person, endpoint: WebhookEndpoint) -> None:
    issue_key(alice.account, "Shop")
    row, client = WebhookDelivery.objects.get(), sign_in(alice)
    address = f"/settings/webhooks/messages/{row.pk}/"
    drawer = client.get(address, headers={"X-Drawer": "1"}).content.decode()
    assert row.message_id in drawer
    assert "<html" not in drawer
    assert "Shop" in text_of(client.get(address))


def test_a_failed_message_is_sent_again_with_the_same_id(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    issue_key(alice.account, "Shop")
    row, client = WebhookDelivery.objects.get(), sign_in(alice)
    assert "on its way already" in text_of(
        client.post(f"/settings/webhooks/messages/{row.pk}/again/", follow=True)
    )
    WebhookDelivery.objects.update(state="failed", next_attempt_at=None)
    assert "on its way again" in text_of(
        client.post(f"/settings/webhooks/messages/{row.pk}/again/", follow=True)
    )
    delivery.deliver_due()
    assert [json.loads(got.body)["type"] for got in receiver.got] == ["key.created"]
    assert receiver.got[0].headers["webhook-id"] == row.message_id


def test_alice_rotates_switches_changes_and_removes(alice: Person, endpoint: WebhookEndpoint) -> None:
    client, page = sign_in(alice), f"/settings/webhooks/{endpoint.pk}/"
    before = endpoint.secrets_at(endpoint.created_at)
    rotated = client.post(f"{page}rotate/")
    (secret,) = set(SECRET.findall(rotated.content.decode()))
    assert "no-store" in rotated["Cache-Control"]
    endpoint.refresh_from_db()
    assert endpoint.secrets_at(endpoint.created_at) == [secret, *before]
    assert "The endpoint is off" in text_of(client.post(f"{page}switch/", follow=True))
    assert "Switched off by a member" in text_of(client.get(page))
    assert "The endpoint is on" in text_of(client.post(f"{page}switch/", follow=True))
    changed = {"url": endpoint.url, "description": "", "events": ["key.revoked"]}
    assert "is saved" in text_of(client.post(page, changed, follow=True))
    endpoint.refresh_from_db()
    assert endpoint.events == ["key.revoked"]
    assert "is removed" in text_of(client.post(f"{page}remove/", follow=True))
    assert not WebhookEndpoint.objects.exists()


# --- Who may ------------------------------------------------------------------------------------------------


def test_dave_gets_404_for_each_of_alices_pages(
    alice: Person, dave: Person, endpoint: WebhookEndpoint
) -> None:
    issue_key(alice.account, "Shop")
    message = WebhookDelivery.objects.get()
    client, page = sign_in(dave), f"/settings/webhooks/{endpoint.pk}/"
    assert client.get(page).status_code == 404
    assert client.get(f"/settings/webhooks/messages/{message.pk}/").status_code == 404
    for action in (f"{page}rotate/", f"{page}switch/", f"{page}test/", f"{page}remove/", page):
        assert client.post(action, NEW).status_code == 404, action
    assert client.post(f"/settings/webhooks/messages/{message.pk}/again/").status_code == 404
    assert endpoint.url not in client.get("/settings/webhooks/").content.decode()


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.ADMIN, 200), (Role.DEVELOPER, 200), (Role.BILLING, 403), (Role.VIEWER, 403)],
)
def test_who_sets_up_webhooks(alice: Person, endpoint: WebhookEndpoint, role: str, status: int) -> None:
    erin = make_person("Erin")
    join(erin, alice.account, role)
    answer = sign_in(erin, alice.account).get("/settings/webhooks/")
    assert answer.status_code == status
    if status == 403:
        assert "alice@example.com" in answer.content.decode()
        refused = sign_in(erin, alice.account).post(f"/settings/webhooks/{endpoint.pk}/remove/")
        assert refused.status_code == 403
        assert WebhookEndpoint.objects.exists()
