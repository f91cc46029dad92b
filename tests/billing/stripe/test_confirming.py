"""A plan change that the card does not simply pay for: 3-D Secure, a decline, an expired card. The screen says what
to do next, and nothing changes before the money is there."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.collection import following
from billing.models import Dunning, PlanVersion, Statement, StripeInvoice, StripeSubscription
from billing.plan_in_force import plan_version_of
from tests.billing.stripe.conftest import DECEMBER, MID_MONTH, Both, deliver, subscribe
from tests.billing.stripe.stories import put_card
from tests.browsing import sign_in, text_of
from tests.factories import Person

ASKS = "pm_card_authenticationRequired"


def plan_now(person: Person) -> str:
    return plan_version_of(person.account, timezone.now())[0].plan.slug


def change_to(person: Person, slug: str) -> str:
    """Confirm the change on the screen; return what the Billing page says then."""
    form = {"once": str(uuid.uuid4())}
    return text_of(sign_in(person).post(f"/billing/plan/{slug}/", form, follow=True))


@pytest.fixture
def asked(both: Both, bob: Person, team: PlanVersion) -> StripeInvoice:
    """Bob is on Pro with a card that asks each time, and has chosen Team."""
    subscribe(both, bob)
    put_card(both, bob, ASKS)
    said = change_to(bob, "team")
    assert "Your bank wants you to confirm the payment. The plan changes as soon as you have." in said
    return StripeInvoice.objects.get(reason="subscription_update")


def test_the_screen_leads_to_the_confirmation_and_nothing_has_changed(
    both: Both, bob: Person, asked: StripeInvoice
) -> None:
    page = sign_in(bob).get("/billing/")
    assert "Your bank wants you to confirm the change of plan" in text_of(page)
    assert asked.hosted_url
    assert asked.hosted_url in page.content.decode()
    assert plan_now(bob) == "pro"
    assert asked.status == "open"
    assert asked.total_minor == 550
    assert not Dunning.objects.exists()  # nothing was given for it yet


@pytest.mark.parametrize("kind", ["invoice.paid", "customer.subscription.updated"])
def test_once_confirmed_the_webhook_changes_the_plan(
    both: Both, bob: Person, asked: StripeInvoice, kind: str
) -> None:
    both.fake.control(f"invoice/{asked.pk}/authenticate")
    assert plan_now(bob) == "pro"
    newest = both.events(kind)[0]
    assert [deliver(newest), deliver(newest)] == [200, 200]
    assert plan_now(bob) == "team"
    following.follow_invoice(asked.pk)
    fee = Statement.objects.get(stripe_invoice=asked)
    assert (fee.state, fee.total_minor) == ("paid", 550)
    assert StripeSubscription.objects.get().pending_invoice == ""
    page = text_of(sign_in(bob).get("/billing/"))
    assert "confirm the change of plan" not in page
    both.move(DECEMBER)
    following.follow_all()
    assert StripeInvoice.objects.get(reason="subscription_cycle").subtotal_minor == 2000


def test_without_a_webhook_looking_finds_it(both: Both, bob: Person, asked: StripeInvoice) -> None:
    both.fake.control(f"invoice/{asked.pk}/authenticate")
    following.follow_all()
    assert plan_now(bob) == "team"


def test_never_confirmed_it_is_dropped_and_owes_nothing(
    both: Both, bob: Person, asked: StripeInvoice
) -> None:
    both.move(MID_MONTH + timedelta(hours=24))
    following.follow_all()
    asked.refresh_from_db()
    assert asked.status == "void"
    assert {one.state for one in Statement.objects.filter(stripe_invoice=asked)} == {"void"}
    assert plan_now(bob) == "pro"
    assert not Dunning.objects.exists()
    assert "confirm the change of plan" not in text_of(sign_in(bob).get("/billing/"))


def test_two_clicks_are_one_invoice(both: Both, bob: Person, team: PlanVersion) -> None:
    subscribe(both, bob)
    put_card(both, bob, ASKS)
    form = {"once": str(uuid.uuid4())}
    for _ in range(2):
        sign_in(bob).post("/billing/plan/team/", form)
    assert StripeInvoice.objects.filter(reason="subscription_update").count() == 1


def test_a_declined_card_says_to_save_another(both: Both, bob: Person, team: PlanVersion) -> None:
    subscribe(both, bob)
    put_card(both, bob, "pm_card_chargeCustomerFail")
    said = change_to(bob, "team")
    assert "Your card was declined. Nothing has changed. Save another one, then try again." in said
    assert "Cards and address" in said  # the button to do it
    assert plan_now(bob) == "pro"
    assert not StripeInvoice.objects.filter(reason="subscription_update").exists()


def test_an_expired_card_says_so(both: Both, bob: Person, team: PlanVersion) -> None:
    subscribe(both, bob)
    card = put_card(both, bob, "pm_card_visa")
    both.fake.control("edit", id=card, fields={"card": _expired(both, card)})
    said = change_to(bob, "team")
    assert "Your card has expired. Save another one, then try again." in said
    assert plan_now(bob) == "pro"


def _expired(both: Both, card: str) -> dict[str, object]:
    found: dict[str, object] = both.get(f"/v1/payment_methods/{card}")["card"]
    return found | {"exp_month": 10, "exp_year": 2026}
