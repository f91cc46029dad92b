"""Alice does not pay: her calls are refused, then her account is suspended. She pays, Stripe's signed webhook comes,
and her next calls pass, in the processes that run already: web and worker as in production, Stripe a fake.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
import stripe
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from billing import dunning
from billing.collection import following, subscribing
from billing.collection.plans import sync_plans
from billing.invoicing import close_period
from billing.models import (
    Dunning,
    PlanVersion,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripeOperation,
    StripePrice,
    WebhookInbox,
)
from billing.partitions import ensure_partitions
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricing import Unit
from gateway.runner.lock import ROOT
from gateway.runner.procfile import read
from tests.factories import Person, make_report, record_calls
from tests.fakes.stripe.process import SECRET_KEY, WEBHOOK_SECRET, FakeStripe
from tests.live import FakeUpstream, Process, Web, eventually, start_web

PASSED, REFUSED, SUSPENDED = 200, 402, 403
BACK = "http://127.0.0.1:8000/billing/"
# Long over, so that no renewal may still come for it.
PERIOD = BillingPeriod.containing(timezone.now()).previous.previous
MOST_SECONDS = 5


@dataclass
class Till:
    """Web, worker and the fake Stripe, which know each other."""

    web: Web
    fake: FakeStripe

    def post(self, path: str, **params: object) -> dict[str, object]:
        """Somebody does something at Stripe."""
        found: dict[str, object] = json.loads(self.fake.client().raw_request("post", path, **params).body)
        return found

    def status(self, person: Person) -> int:
        """Make a call; return what it is answered."""
        return int(self.web.chat(person).status_code)

    def deliver(self, kind: str, about: str) -> None:
        """Stripe's newest event of a kind about an object, signed, posted to the web process."""
        listed = json.loads(self.fake.client().raw_request("get", "/v1/events", type=kind, limit=100).body)
        event = next(one for one in listed["data"] if one["data"]["object"]["id"] == about)
        payload = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(payload, WEBHOOK_SECRET)
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        answer = httpx2.post(f"{self.web.url}/webhooks/stripe", content=payload.encode(), headers=headers)
        assert answer.status_code == PASSED


@pytest.fixture
def till(
    live_database: dict[str, str],
    upstream: FakeUpstream,
    start_fake_stripe: Callable[..., FakeStripe],
    settings: Settings,
) -> Iterator[Till]:
    """A web process and a worker that collect with the fake Stripe. Their broker is theirs alone."""
    fake = start_fake_stripe()
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = SECRET_KEY, fake.url
    settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
    own_broker = urlunsplit(urlsplit(live_database["REDIS_URL"])._replace(path="/7"))
    env = live_database | {
        "MODEL_URL": upstream.url, "REDIS_URL": own_broker, "STRIPE_SECRET_KEY": SECRET_KEY,
        "STRIPE_API_BASE": fake.url, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }  # fmt: skip
    StripePrice.objects.all().delete()  # rows stay, and this is another fake
    StripeOperation.objects.filter(stem__contains="pl:").delete()
    sync_plans()
    worker = Process(read(ROOT / "Procfile", env)["worker"], env)
    try:
        for web in start_web(env):
            yield Till(web, fake)
    finally:
        worker.kill()


def _cannot_pay(till: Till, person: Person) -> StripeInvoice:
    """Subscribe, swap the card for one that declines, and let an old month's usage be charged to it."""
    ensure_partitions([PERIOD])
    record_calls(make_report(person, PERIOD.start, {Unit.INPUT_TOKEN: 150_000_000}))
    version = PlanVersion.objects.current(currency="USD").get(plan__slug="pro")
    subscribing.subscribe_page(person.account, version, key=f"{person.account.pk}", back_url=BACK)
    page = StripeCheckout.objects.get(account=person.account)
    till.fake.complete_checkout(page.pk)
    following.follow_checkout(page.pk)
    _put_card(till, person, "pm_card_chargeCustomerFail")
    statement = close_period(person.account, PERIOD)
    assert statement
    invoice = payment_provider().issue(statement).stripe_invoice
    assert invoice
    with pytest.raises(stripe.CardError):
        till.post(f"/v1/invoices/{invoice.pk}/pay")
    assert following.follow_invoice(invoice.pk)
    return StripeInvoice.objects.get(pk=invoice.pk)


def _put_card(till: Till, person: Person, token: str) -> str:
    customer = StripeCustomer.objects.get(account=person.account).pk
    card = str(till.post(f"/v1/payment_methods/{token}/attach", customer=customer)["id"])
    till.post(f"/v1/customers/{customer}", invoice_settings={"default_payment_method": card})
    return card


@pytest.mark.parametrize(
    ("days", "refusal"), [([8], REFUSED), ([8, 23], SUSPENDED)], ids=["limited", "suspended"]
)
def test_alice_calls_again_right_after_the_webhook_of_her_payment(
    till: Till,
    person: Callable[..., Person],
    days: list[int],
    refusal: int,
    record_property: Callable[..., None],
) -> None:
    alice = person("Alice")
    invoice = _cannot_pay(till, alice)
    assert till.status(alice) == PASSED  # within the days of grace
    for number in days:
        dunning.review(alice.account, timezone.now() + timedelta(days=number))
    eventually(lambda: till.status(alice) == refusal, "her calls are refused", MOST_SECONDS)
    assert till.status(alice) == refusal

    card = _put_card(till, alice, "pm_card_visa")
    till.post(f"/v1/invoices/{invoice.pk}/pay", payment_method=card)
    assert till.status(alice) == refusal  # we do not know of it yet
    till.deliver("invoice.paid", invoice.pk)
    heard = time.monotonic()
    eventually(lambda: till.status(alice) == PASSED, "her calls pass again", MOST_SECONDS)
    seconds = time.monotonic() - heard
    record_property("seconds_from_webhook_to_call", round(seconds, 3))
    print(f"from the webhook's answer to the first admitted call: {seconds:.3f} s")

    assert till.status(alice) == PASSED
    assert Dunning.objects.get(account=alice.account).ended_at
    assert Account.objects.get(pk=alice.account.pk).suspended_at is None
    assert WebhookInbox.objects.get(object_id=invoice.pk, type="invoice.paid").done_at
    assert till.web.process.is_running()
