"""POST /webhooks/stripe: only what Stripe signed, now, for us; kept once; a renewal held before the answer."""

import json
import time
from typing import Any

import pytest
import stripe
from django.test import Client
from pytest_django import Settings

from billing.collection import inbox
from billing.models import StripeSubscription, WebhookInbox
from billing.payments.provider import ProviderAway
from tests.billing.stripe.conftest import DECEMBER, Both, deliver, send, subscribe
from tests.factories import Person
from tests.fakes.stripe.process import WEBHOOK_SECRET


def an_event(**fields: Any) -> dict[str, Any]:
    """An event about nothing."""
    event = {
        "id": "evt_1", "object": "event", "type": "plan.created", "livemode": False, "created": int(time.time()),
        "data": {"object": {"id": "plan_1"}},
    }  # fmt: skip
    return event | fields


def body(**fields: Any) -> bytes:
    return json.dumps(an_event(**fields)).encode()


def signed(payload: bytes, secret: str = WEBHOOK_SECRET, at: int | None = None) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(payload.decode(), secret, at))


def test_a_signed_event_is_kept_and_a_replay_is_the_same_row(both: Both) -> None:
    assert [send(body()), send(body())] == [200, 200]
    assert WebhookInbox.objects.count() == 1


def test_a_tampered_event_is_refused(both: Both) -> None:
    header = signed(body())
    assert send(body(livemode=True), header) == 400
    assert send(body(), signed(body(), "whsec_mallory")) == 400
    assert send(body(), "t=1,v1=") == 400
    assert send(body(), "nonsense") == 400
    assert send(body(), "") in (200, 400)
    assert not WebhookInbox.objects.exclude(event_id="evt_1").exists()


def test_one_without_a_signature_is_refused(both: Both) -> None:
    assert Client().post("/webhooks/stripe", body(), content_type="application/json").status_code == 400
    assert not WebhookInbox.objects.exists()


@pytest.mark.parametrize("seconds", [-301, 310, 86_400])
def test_one_of_another_time_is_refused_past_and_future(both: Both, seconds: int) -> None:
    assert send(body(), signed(body(), at=int(time.time()) + seconds)) == 400
    assert not WebhookInbox.objects.exists()


def test_either_secret_signs_while_one_is_rotated(both: Both, settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", WEBHOOK_SECRET]
    assert send(body(), signed(body(), "whsec_new")) == 200
    assert send(body(id="evt_2"), signed(body(id="evt_2"))) == 200
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new"]
    assert send(body(id="evt_3"), signed(body(id="evt_3"))) == 400


def test_an_oversized_one_is_refused_before_it_is_looked_at(both: Both) -> None:
    large = body(padding="x" * inbox.MOST_BODY_BYTES)
    assert send(large, signed(large)) == 413
    assert not WebhookInbox.objects.exists()


def test_one_of_the_other_mode_or_of_another_account_is_refused(both: Both) -> None:
    for fields in ({"livemode": True}, {"account": "acct_somebody"}):
        payload = body(**fields)
        assert send(payload, signed(payload)) == 400
    assert not WebhookInbox.objects.exists()


def test_what_is_signed_but_no_event_is_refused(both: Both) -> None:
    for payload in (b"[]", b"{}", b"not json", b'{"object": "event", "data": 1}'):
        assert send(payload, signed(payload)) == 400


def test_without_stripe_there_is_no_such_address(price_list: None) -> None:
    assert Client().post("/webhooks/stripe", b"{}", content_type="application/json").status_code == 404


def test_only_post_is_answered(both: Both) -> None:
    assert Client().get("/webhooks/stripe").status_code == 405


def renewal(both: Both) -> dict[str, Any]:
    (event,) = (
        one
        for one in both.events("invoice.created")
        if one["data"]["object"]["billing_reason"] == "subscription_cycle"
    )
    return event


def test_a_renewal_that_cannot_be_held_answers_500_so_that_stripe_waits(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    both.move(DECEMBER)
    event = renewal(both)
    both.fake.control("faults", next=[{"fault": "rate_limit", "method": "POST"} for _ in range(3)])
    payload = json.dumps(event).encode()
    assert send(payload) == 500
    assert WebhookInbox.objects.filter(pk=event["id"]).exists()  # kept, and sent again by Stripe
    both.fake.control("faults", clear=True)
    assert send(payload) == 200
    assert both.get(f"/v1/invoices/{event['data']['object']['id']}")["auto_advance"] is False


def test_old_news_moves_nothing_backwards(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    (created,) = both.events("customer.subscription.created")
    sub = StripeSubscription.objects.get()
    both.fake.client().raw_request("delete", f"/v1/subscriptions/{sub.pk}")
    for event in both.events("customer.subscription.deleted"):
        deliver(event)
    created["data"]["object"]["status"] = "active"
    assert deliver(created) == 200
    sub.refresh_from_db()
    assert sub.status == "canceled"


def test_one_that_fails_waits_and_is_tried_again(
    both: Both, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(body())

    def broken(row: WebhookInbox) -> None:
        raise ValueError("not today")

    monkeypatch.setattr(inbox, "handle", broken)
    assert inbox.work() == 0
    row = WebhookInbox.objects.get()
    assert "not today" in row.error
    assert inbox.work() == 0  # not due yet
    monkeypatch.undo()
    WebhookInbox.objects.update(next_try_at=row.received_at)
    assert inbox.work() == 1


def test_what_was_not_delivered_is_caught_up_with(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    assert inbox.catch_up() == WebhookInbox.objects.count()
    inbox.work()
    assert inbox.catch_up() == 0


def test_stripe_away_leaves_the_rest_for_later(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    for event in both.events("customer.subscription.created"):
        send(json.dumps(event).encode())
    both.fake.control("outage", hours=1)
    with pytest.raises(ProviderAway):
        inbox.work()
    assert WebhookInbox.objects.get().done_at is None
