"""The fake's deliveries: signed as Stripe signs, retried, doubled, lost, out of order."""

import json

import pytest
import stripe

from tests.fakes.stripe.people import NOW, customer, listening
from tests.fakes.stripe.process import FakeStripe


def endpoint(fake: FakeStripe, url: str) -> stripe.WebhookEndpoint:
    return fake.client().v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})


def settled(fake: FakeStripe) -> None:
    """Wait until what is due is delivered."""
    fake.advance(seconds=0)


def test_the_signature_is_one_that_stripes_library_believes(fake: FakeStripe) -> None:
    with listening() as listener:
        secret = endpoint(fake, listener.url).secret
        made = customer(fake, "")
        settled(fake)
    body, signature = listener.got[0]
    assert secret is not None
    event = stripe.Webhook.construct_event(body, signature, secret)
    assert (event.type, event.data.object["id"], event.created) == ("customer.created", made.id, NOW)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body.replace(b"alice", b"bobby"), signature, secret)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")


def test_during_a_rotation_both_secrets_sign(fake: FakeStripe) -> None:
    with listening() as listener:
        made = endpoint(fake, listener.url)
        fresh = fake.control("roll", endpoint=made.id)["secret"]
        customer(fake, "")
        settled(fake)
    body, signature = listener.got[0]
    for secret in (str(made.secret), fresh):
        stripe.Webhook.construct_event(body, signature, secret)


def test_what_is_refused_is_tried_again_and_is_listed_as_undelivered_until_then(fake: FakeStripe) -> None:
    with listening() as listener:
        endpoint(fake, listener.url)
        listener.answer = lambda event: 500
        customer(fake, "")
        settled(fake)
        undelivered = fake.client().v1.events.list({"delivery_success": False})
        assert [one.type for one in undelivered.data] == ["customer.created"]
        listener.answer = lambda event: 200
        fake.advance(seconds=10)
        assert listener.types() == ["customer.created"] * 2
        assert fake.client().v1.events.list({"delivery_success": False}).data == []


@pytest.mark.parametrize(("fault", "times"), [("webhook_drop", 0), ("webhook_duplicate", 2)])
def test_an_event_is_lost_or_comes_twice(fake: FakeStripe, fault: str, times: int) -> None:
    with listening() as listener:
        endpoint(fake, listener.url)
        fake.control("faults", rates={fault: 1.0})
        customer(fake, "")
        settled(fake)
        assert len(listener.got) == times
    assert fake.state()["faults"]["fired"][fault] == 1


def test_what_was_lost_can_still_be_delivered(fake: FakeStripe) -> None:
    with listening() as listener:
        endpoint(fake, listener.url)
        fake.control("faults", rates={"webhook_drop": 1.0})
        customer(fake, "")
        settled(fake)
        assert len(fake.client().v1.events.list({"delivery_success": False}).data) == 1
        fake.control("deliver")
        assert listener.types() == ["customer.created"]


def test_events_come_out_of_order(fake: FakeStripe) -> None:
    with listening() as listener:
        endpoint(fake, listener.url)
        fake.control("hold", on=True)
        fake.control("faults", rates={"webhook_reorder": 1.0}, seed=3)
        made = customer(fake, "")
        for number in range(6):
            fake.client().v1.customers.update(made.id, {"name": str(number)})
        fake.control("hold", on=False)
        settled(fake)
    names = [json.loads(body)["data"]["object"]["name"] for body, _ in listener.got]
    assert len(names) == 7
    assert names != sorted(names, key=lambda name: name or "")


def test_a_forged_event_can_be_sent(fake: FakeStripe) -> None:
    with listening() as listener:
        secret = str(endpoint(fake, listener.url).secret)
        customer(fake, "")
        settled(fake)
        event = json.loads(listener.got[0][0])["id"]
        fake.control("send", event=event, secret="whsec_wrong")
        fake.control("send", event=event, when=NOW)
        forged, old = listener.got[1:]
    for body, signature in (forged, old):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, signature, secret)
