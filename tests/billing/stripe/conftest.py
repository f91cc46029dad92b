"""The fake Stripe beside the tests, with both clocks in step: ours and the fake's stand still until moved."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from billing.collection import following, inbox, subscribing
from billing.collection.plans import sync_plans
from billing.invoicing import close_due_periods
from billing.models import PlanVersion, StripeCheckout, StripeInvoice
from billing.payments import issue_frozen_statements
from tests.factories import Person
from tests.fakes.stripe.process import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

MID_MONTH: datetime = datetime(2026, 11, 16, tzinfo=UTC)  # half of November: half a fee
DECEMBER: datetime = datetime(2026, 12, 1, tzinfo=UTC)
BACK = "http://127.0.0.1:8000/billing/"


@dataclass
class Both:
    """The fake, with our clock in step."""

    fake: FakeStripe
    monkeypatch: pytest.MonkeyPatch

    def move(self, to: datetime) -> None:
        """Move both clocks."""
        self.fake.advance(to=int(to.timestamp()))
        self.monkeypatch.setattr(timezone, "now", lambda: to)

    def later(self, **how: float) -> None:
        """Move both clocks on by a stretch."""
        self.move(timezone.now() + timedelta(**how))

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type, newest first."""
        client = self.fake.client()
        found = client.raw_request("get", "/v1/events", type=kind, limit=100)
        listed: list[dict[str, Any]] = json.loads(found.body)["data"]
        return listed

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """An object, as Stripe has it."""
        found: dict[str, Any] = json.loads(self.fake.client().raw_request("get", path, **params).body)
        return found

    def post(self, path: str, **params: Any) -> dict[str, Any]:
        """Somebody does something at Stripe, not we."""
        found: dict[str, Any] = json.loads(self.fake.client().raw_request("post", path, **params).body)
        return found

    def ticks(self) -> None:
        """A round of beat: close, follow, issue, follow."""
        close_due_periods()
        following.follow_all()
        issue_frozen_statements()
        following.follow_all()


@pytest.fixture
def both(
    still_fake_stripe: Callable[[int], FakeStripe],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    price_list: None,
) -> Both:
    """Stripe is the provider, the plans are there, and it is the 16th of November."""
    fake = still_fake_stripe(int(MID_MONTH.timestamp()))
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_API_BASE = fake.url
    settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
    monkeypatch.setattr(timezone, "now", lambda: MID_MONTH)
    monkeypatch.setattr(following, "FOLLOW_AGAIN", timedelta(0))
    sync_plans()
    return Both(fake, monkeypatch)


def plan(slug: str, currency: str = "USD") -> PlanVersion:
    """The plan as it is sold now."""
    return PlanVersion.objects.current(currency=currency).get(plan__slug=slug)


def subscribe(both: Both, person: Person, slug: str = "pro", **how: Any) -> None:
    """Go through Checkout, and come back."""
    key = f"{person.account.pk}:{StripeCheckout.objects.count()}"
    version = plan(slug, person.account.currency)
    subscribing.subscribe_page(person.account, version, key=key, back_url=BACK, **how)
    page = StripeCheckout.objects.latest("created_at")
    both.fake.complete_checkout(page.pk)
    following.follow_checkout(page.pk)


def lines_at_stripe(both: Both, invoice: StripeInvoice) -> list[tuple[str, int]]:
    """What an invoice says at Stripe: (our line's id or the description, amount)."""
    found = both.get(f"/v1/invoices/{invoice.pk}/lines", limit=100)["data"]
    return [(line["description"], line["amount"]) for line in found]


def send(payload: bytes, signature: str | None = None, secret: str = WEBHOOK_SECRET) -> int:
    """Post an event as Stripe does; return the status of the answer."""
    header = signature or stripe.WebhookSignature.generate_signature_header(payload.decode(), secret)
    answer = Client().post(
        "/webhooks/stripe", payload, content_type="application/json", headers={"Stripe-Signature": header}
    )
    return answer.status_code


def deliver(event: dict[str, Any]) -> int:
    """Deliver an event, signed, and work on it."""
    status = send(json.dumps(event).encode())
    inbox.work()
    return status


from tests.billing.stripe.drafts import december, held, team  # noqa: E402, F401  they need what is above
