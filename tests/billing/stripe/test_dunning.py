"""A payment fails: days of grace, 402, suspended; each step once; a payment ends it all at once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account, OutgoingMail
from billing import dunning
from billing.collection import following
from billing.entitlements import entitlements_of
from billing.invoicing import close_period
from billing.models import Dunning, Statement, StripeCustomer, StripeInvoice, StripeSubscription
from billing.payments import issue_frozen_statements, mark_paid
from tests.billing.people import PERIOD, on_plan_since
from tests.billing.stripe.conftest import DECEMBER, Both, deliver, subscribe
from tests.browsing import sign_in, text_of
from tests.factories import Person


def put_card(both: Both, token: str) -> str:
    """The customer's card is another one now; return its id."""
    customer = StripeCustomer.objects.get().pk
    card = both.post(f"/v1/payment_methods/{token}/attach", customer=customer)["id"]
    both.post(f"/v1/customers/{customer}", invoice_settings={"default_payment_method": card})
    path = f"/v1/subscriptions/{StripeSubscription.objects.get().pk}"
    if both.get(path)["status"] != "canceled":
        both.post(path, default_payment_method=card)
    return str(card)


@pytest.fixture
def unpaid(both: Both, bob: Person) -> Person:
    """Bob's card declines the renewal of December."""
    subscribe(both, bob)
    put_card(both, "pm_card_chargeCustomerFail")
    both.move(DECEMBER)
    following.follow_all()
    both.move(DECEMBER + timedelta(hours=3))
    both.ticks()
    both.move(DECEMBER + timedelta(hours=6))
    both.ticks()
    return bob


def test_a_declined_renewal_begins_the_days_of_grace_and_is_mailed_once(both: Both, unpaid: Person) -> None:
    dunning.review_all()
    dunning.review_all()
    assert Dunning.objects.get().limited_at is None
    assert not entitlements_of(unpaid.account).payment_overdue
    mails = OutgoingMail.objects.filter(account=unpaid.account)
    assert [mail.subject for mail in mails] == ["A payment did not go through"]
    page = text_of(sign_in(unpaid).get("/billing/"))
    assert "Your card was declined" in page
    assert "Calls stop on" in page
    assert "Pay now" in page


def test_after_the_grace_calls_are_refused_then_the_account_is_suspended_and_a_payment_ends_it(
    both: Both, unpaid: Person
) -> None:
    both.later(days=7)
    dunning.review_all()
    assert entitlements_of(unpaid.account).payment_overdue
    both.later(days=14)
    dunning.review_all()
    assert Account.objects.get(pk=unpaid.account.pk).suspended_at
    card = put_card(both, "pm_card_visa")
    invoice = StripeInvoice.objects.get(status__in=("open", "uncollectible"))
    both.post(f"/v1/invoices/{invoice.pk}/pay", payment_method=card)
    paid = next(one for one in both.events("invoice.paid") if one["data"]["object"]["id"] == invoice.pk)
    assert deliver(paid) == 200
    account = Account.objects.get(pk=unpaid.account.pk)
    assert account.suspended_at is None
    assert not entitlements_of(account).payment_overdue
    subjects = list(OutgoingMail.objects.order_by("created_at").values_list("subject", flat=True))
    assert len(subjects) == len(set(subjects)) == 4


def test_a_card_that_asks_for_3d_secure_says_so(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    put_card(both, "pm_card_authenticationRequired")
    both.move(DECEMBER)
    following.follow_all()
    both.move(DECEMBER + timedelta(hours=6))
    both.ticks()
    both.later(hours=3)
    both.ticks()
    assert StripeInvoice.objects.get(status="open").failure == "authentication_required"
    assert "Your bank wants you to confirm a payment" in text_of(sign_in(bob).get("/billing/"))


def test_a_suspension_by_staff_stays_after_a_payment(both: Both, unpaid: Person) -> None:
    from accounts.suspension import suspend_account

    both.later(days=7)
    dunning.review_all()
    suspend_account(unpaid.account, "Abuse")
    invoice = StripeInvoice.objects.get(status="open")
    put_card(both, "pm_card_visa")
    both.post(f"/v1/invoices/{invoice.pk}/pay")
    following.follow_invoice(invoice.pk)
    account = Account.objects.get(pk=unpaid.account.pk)
    assert account.suspended_at
    assert account.suspension_reason == "Abuse"


def test_by_hand_a_statement_past_its_date_does_the_same(
    alice: Person, django_capture_on_commit_callbacks: object
) -> None:
    on_plan_since(PERIOD.start, alice)
    statement = close_period(alice.account, PERIOD)
    assert statement
    issue_frozen_statements()
    late = timezone.now() + timedelta(days=15)
    dunning.review_all(late)
    dunning.review_all(late + timedelta(days=8))
    assert entitlements_of(alice.account).payment_overdue
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        mark_paid(Statement.objects.get(pk=statement.pk))
    assert not entitlements_of(alice.account).payment_overdue
    assert Dunning.objects.get().ended_at


def test_a_plan_without_days_of_grace_is_never_limited(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    close_period(alice.account, PERIOD)
    issue_frozen_statements()
    stay = alice.account.subscriptions.get()
    version = stay.plan_version
    version.pk, version.number, version.grace_days = None, version.number + 50, None
    version._state.adding = True
    version.save()
    stay.plan_version = version
    stay.save()
    dunning.review_all(timezone.now() + timedelta(days=400))
    assert Dunning.objects.get().limited_at is None
