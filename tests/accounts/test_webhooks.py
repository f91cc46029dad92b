"""Customers' webhooks: what is sent is signed, comes at least once, is tried for three days, and never leads inside."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from accounts import mails
from accounts.keys import issue_key, revoke_key
from accounts.models import OutgoingMail, Role, WebhookDelivery, WebhookEndpoint
from accounts.webhooks import delivery, endpoints, events, sender
from accounts.webhooks.signing import new_secret, signature
from tests.browsing import join
from tests.factories import Person, make_person
from tests.fakes.receiver import Receiver, receiving

ALL = list(events.EVENTS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Alice's own server."""
    with receiving() as running:
        yield running


@pytest.fixture
def endpoint(alice: Person, receiver: Receiver) -> WebhookEndpoint:
    """Alice hears everything there."""
    return endpoints.add_endpoint(alice.account, f"{receiver.url}/hook?from=turnpike", ALL)[0]


def due_now() -> None:
    """Let every wait be over."""
    WebhookDelivery.objects.filter(state="pending").update(next_attempt_at=timezone.now())


def deliver() -> int:
    """What the tick does, after every wait is over."""
    due_now()
    return delivery.deliver_due()


def only() -> WebhookDelivery:
    """The one message there is."""
    return WebhookDelivery.objects.get()


# --- The message --------------------------------------------------------------------------------------------


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, as its reference libraries test it."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_alice_hears_of_a_new_key_in_a_message_that_only_we_can_have_signed(
    alice: Person, receiver: Receiver
) -> None:
    _, secret = endpoints.add_endpoint(alice.account, receiver.url, ["key.created"])
    key, key_secret = issue_key(alice.account, "Shop")
    assert delivery.deliver_due() == 1
    (got,) = receiver.got
    said = json.loads(got.body)
    assert said["type"] == "key.created"
    assert said["data"] == {"id": str(key.pk), "name": "Shop", "key": key.masked}
    assert key_secret not in got.body
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.{got.body}"
    mac = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed.encode(), hashlib.sha256)
    assert got.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert got.headers["content-type"] == "application/json"
    assert (only().state, only().status, only().attempts) == ("delivered", 204, 1)


def test_an_endpoint_hears_only_what_it_asked_for(alice: Person, receiver: Receiver) -> None:
    endpoints.add_endpoint(alice.account, receiver.url, ["key.revoked"])
    key, _ = issue_key(alice.account, "Shop")
    revoke_key(key)
    revoke_key(key)  # twice is once
    assert list(WebhookDelivery.objects.values_list("event", flat=True)) == ["key.revoked"]


def test_dave_hears_nothing_of_alices_keys(alice: Person, dave: Person, receiver: Receiver) -> None:
    endpoints.add_endpoint(dave.account, receiver.url, ALL)
    issue_key(alice.account, "Shop")
    assert not WebhookDelivery.objects.exists()


def test_news_that_is_rolled_back_is_told_to_nobody(alice: Person, endpoint: WebhookEndpoint) -> None:
    with transaction.atomic():
        issue_key(alice.account, "Shop")
        assert WebhookDelivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_an_event_that_nobody_announced_is_a_mistake_of_ours(alice: Person) -> None:
    with pytest.raises(KeyError):
        events.publish(alice.account, "key.eaten", {})


# --- Secrets ------------------------------------------------------------------------------------------------


def test_the_secret_is_in_no_column_and_every_endpoint_has_its_own(alice: Person, receiver: Receiver) -> None:
    row, secret = endpoints.add_endpoint(alice.account, receiver.url, ALL)
    _, other = endpoints.add_endpoint(alice.account, receiver.url, ALL)
    assert secret != other
    stored = WebhookEndpoint.objects.filter(pk=row.pk).values().get()
    assert secret.removeprefix("whsec_").encode() not in b"".join(
        bytes(value) if isinstance(value, memoryview) else str(value).encode() for value in stored.values()
    )
    assert base64.b64decode(secret.removeprefix("whsec_")) not in bytes(stored["sealed_secret"])


def test_a_secret_copied_onto_another_endpoint_does_not_open(alice: Person, receiver: Receiver) -> None:
    one, _ = endpoints.add_endpoint(alice.account, receiver.url, ALL)
    other, _ = endpoints.add_endpoint(alice.account, receiver.url, ALL)
    other.sealed_secret = one.sealed_secret
    with pytest.raises(ValueError, match="sealed for something else"):
        other.secrets_at(timezone.now())


def test_during_a_rotation_both_secrets_sign_and_afterwards_only_the_new_one(
    alice: Person, receiver: Receiver
) -> None:
    endpoint, old = endpoints.add_endpoint(alice.account, receiver.url, ALL)
    new = endpoints.rotate_secret(endpoint)
    issue_key(alice.account, "Shop")
    deliver()
    got = receiver.got[-1]
    parts = (got.headers["webhook-id"], int(got.headers["webhook-timestamp"]), got.body)
    both = [signature(secret, *parts) for secret in (new, old)]
    assert got.headers["webhook-signature"].split(" ") == both
    endpoint.refresh_from_db()
    later = timezone.now() + endpoints.OLD_SECRET_LIVES + timedelta(seconds=1)
    assert endpoint.secrets_at(later) == [new]


def test_a_secret_has_the_size_that_the_specification_asks_for() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64


# --- Failure ------------------------------------------------------------------------------------------------


def test_a_message_that_fails_is_sent_again_with_the_same_id_until_it_is_taken(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.answers.extend([500, 302])
    issue_key(alice.account, "Shop")
    assert delivery.deliver_due() == 1
    assert (only().state, only().status) == ("pending", 500)
    assert only().next_attempt_at is not None
    assert only().next_attempt_at > timezone.now()  # type: ignore[operator]
    assert delivery.deliver_due() == 0  # not before its time
    deliver()  # a redirect is no 2xx, and is not followed
    deliver()
    assert (only().state, only().attempts) == ("delivered", 3)
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [got.path for got in receiver.got] == ["/hook?from=turnpike"] * 3
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_the_waits_grow_to_about_three_days_and_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.random, "random", lambda: 0.0)  # type: ignore[attr-defined]
    waits = [delivery.wait_after(attempts) for attempts in range(1, len(delivery.WAITS) + 1)]
    assert waits == sorted(waits)
    assert timedelta(days=3) <= sum(waits, timedelta()) < timedelta(days=4)
    monkeypatch.setattr(delivery.random, "random", lambda: 1.0)  # type: ignore[attr-defined]
    assert delivery.wait_after(2) == waits[1] * 1.2


def test_after_the_last_attempt_it_is_given_up_and_can_be_sent_again(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.answers.extend([503] * (len(delivery.WAITS) + 1))
    issue_key(alice.account, "Shop")
    for _ in range(len(delivery.WAITS) + 1):
        assert deliver() == 1
    assert (only().state, only().attempts) == ("failed", len(delivery.WAITS) + 1)
    assert deliver() == 0
    endpoints.send_again(only())
    deliver()
    assert only().state == "delivered"
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1


def test_nobody_there_and_nobody_answering_are_told_apart(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(sender, "TOTAL_SECONDS", 0.3)
        endpoints.add_endpoint(alice.account, f"http://127.0.0.1:{silent.getsockname()[1]}/", ["key.created"])
        endpoints.add_endpoint(alice.account, "http://127.0.0.1:9/", ["key.created"])
        issue_key(alice.account, "Shop")
        assert delivery.deliver_due() == 2
    found = {row.endpoint.url.rsplit(":", 1)[1]: row.error for row in WebhookDelivery.objects.all()}
    assert sorted(found.values()) == ["timeout", "unreachable"]
    assert found["9/"] == "unreachable"


def test_an_attempt_whose_process_died_is_made_by_somebody_else_after_its_lease(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    issue_key(alice.account, "Shop")
    (claimed,) = delivery._claim(timezone.now())  # and then this process dies
    assert delivery.deliver_due() == 0
    deliver()
    assert only().state == "delivered"
    assert only().attempts == 2
    delivery.record(claimed, sender.Outcome(status=500))  # it was not dead, only slow: not its row any more
    assert only().state == "delivered"


def test_a_slow_receiver_with_many_messages_leaves_room_for_the_others(
    alice: Person, dave: Person, receiver: Receiver
) -> None:
    endpoints.add_endpoint(alice.account, receiver.url, ["key.created"])
    endpoints.add_endpoint(dave.account, receiver.url + "/dave", ["key.created"])
    for number in range(20):
        issue_key(alice.account, f"Key {number}")
    issue_key(dave.account, "Dave's")
    assert delivery.deliver_due() == delivery.AT_ONCE_EACH + 1
    assert "/dave" in [got.path for got in receiver.got]


def test_an_endpoint_that_took_nothing_for_three_days_is_switched_off_and_its_owner_is_told(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    admin = make_person("Adam")
    join(admin, alice.account, Role.ADMIN)
    WebhookEndpoint.objects.update(failing_since=timezone.now() - delivery.PATIENCE - timedelta(minutes=1))
    receiver.answers.append(500)
    issue_key(alice.account, "Shop")
    issue_key(alice.account, "Bar")
    WebhookDelivery.objects.filter(body__contains="Bar").update(
        next_attempt_at=timezone.now() + timedelta(hours=1)
    )
    delivery.deliver_due()
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is not None
    assert endpoint.disabled_reason == "failures"
    assert not WebhookDelivery.objects.filter(state="pending").exists()
    assert events.publish(alice.account, "key.created", {}) == 0
    written = OutgoingMail.objects.order_by("to")
    assert [letter.to for letter in written] == ["adam@example.com", "alice@example.com"]
    assert endpoint.url in written[0].text
    with pytest.raises(endpoints.EndpointRefusedError, match="Switch it on first"):
        endpoints.send_again(WebhookDelivery.objects.all()[0])
    endpoints.enable(endpoint)
    assert events.publish(alice.account, "key.created", {}) == 1


def test_410_gone_switches_an_endpoint_off_at_once(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.answers.append(410)
    issue_key(alice.account, "Shop")
    delivery.deliver_due()
    endpoint.refresh_from_db()
    assert endpoint.disabled_reason == "gone"
    assert OutgoingMail.objects.count() == 1


def test_a_run_that_is_under_way_lets_no_second_one_begin(endpoint: WebhookEndpoint) -> None:
    from django.core.cache import cache

    cache.add("webhooks-being-sent", True, timeout=60)
    try:
        endpoints.ping(endpoint)
        assert delivery.deliver_due() == 0
    finally:
        cache.delete("webhooks-being-sent")
    assert delivery.deliver_due() == 1


def test_old_messages_are_forgotten_and_young_ones_kept(alice: Person, endpoint: WebhookEndpoint) -> None:
    issue_key(alice.account, "Old")
    WebhookDelivery.objects.update(created_at=timezone.now() - delivery.KEEP - timedelta(hours=1))
    issue_key(alice.account, "Young")
    assert delivery.forget_old() == 1
    assert "Young" in only().body


# --- Where messages may go ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "https://127.0.0.1/", "https://10.0.0.7/", "https://169.254.169.254/latest/",
        "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://localhost/",
        "https://me:secret@1.1.1.1/", "https://1.1.1.1:8443/", "https://1.1.1.1/#part", "ftp://1.1.1.1/",
        "https://0x7f000001/", "https://2130706433/", "not an address", "https://", "https://no-such-host.invalid/",
    ],
)  # fmt: skip
def test_mallory_cannot_point_a_webhook_inside(alice: Person, settings: Settings, url: str) -> None:
    settings.ALLOW_PRIVATE_WEBHOOKS = False
    with pytest.raises(ValueError, match=r"\w"):
        endpoints.add_endpoint(alice.account, url, ALL)
    assert not WebhookEndpoint.objects.exists()


def test_a_public_address_is_accepted(alice: Person, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_WEBHOOKS = False
    assert endpoints.add_endpoint(alice.account, "https://1.1.1.1/hook?x=1", ALL)


def test_a_name_that_turned_inwards_after_it_was_saved_is_not_dialled(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver, settings: Settings
) -> None:
    """The address was fine when it was saved; on the socket it is looked at again."""
    settings.ALLOW_PRIVATE_WEBHOOKS = False
    WebhookEndpoint.objects.update(url=receiver.url.replace("127.0.0.1", "localhost"))
    issue_key(alice.account, "Shop")
    delivery.deliver_due()
    assert receiver.got == []
    assert (only().status, only().error) == (None, "private_address")


def test_the_environments_proxy_is_not_used(
    alice: Person, endpoint: WebhookEndpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    endpoints.ping(endpoint)
    deliver()
    assert len(receiver.got) == 1


def test_an_account_has_at_most_so_many_endpoints(alice: Person, receiver: Receiver) -> None:
    for _ in range(endpoints.MOST_ENDPOINTS):
        endpoints.add_endpoint(alice.account, receiver.url, ALL)
    with pytest.raises(endpoints.EndpointRefusedError, match="Remove one first"):
        endpoints.add_endpoint(alice.account, receiver.url, ALL)


def test_a_test_message_goes_to_one_endpoint_and_not_twice_in_a_row(endpoint: WebhookEndpoint) -> None:
    endpoints.ping(endpoint)
    with pytest.raises(endpoints.EndpointRefusedError, match="ten seconds"):
        endpoints.ping(endpoint)
    assert only().event == "webhook.ping"


def test_a_member_switches_an_endpoint_off(alice: Person, endpoint: WebhookEndpoint) -> None:
    assert endpoints.disable(endpoint) is True
    assert endpoints.disable(endpoint) is False
    endpoint.refresh_from_db()
    assert endpoint.disabled_reason == "member"
    with pytest.raises(endpoints.EndpointRefusedError, match="switched off"):
        endpoints.ping(endpoint)
    assert not OutgoingMail.objects.exists()


def test_the_mail_says_it_in_the_receivers_language(alice: Person) -> None:
    alice.user.language = "ko"
    alice.user.save()
    endpoint = endpoints.add_endpoint(alice.account, "http://127.0.0.1:9/", ALL)[0]
    delivery._give_up(endpoint, "failures")
    assert mails.send_due() == 1
    assert "웹훅" in mail.outbox[0].subject
    payload: Any = mail.outbox[0].body
    assert f"/webhooks/{endpoint.pk}/" in payload
