"""Checkout, plan change with its preview, downgrade and undo, cancel and resume: the money and the stay agree."""

from datetime import datetime

import pytest
from django.utils import timezone

from billing.collection import following, subscribing
from billing.entitlements import entitlements_of
from billing.models import (
    BillingAlarm,
    PlanVersion,
    Statement,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripeSubscription,
    Subscription,
)
from billing.payments.provider import Declined, PaymentError
from billing.period import BillingPeriod
from billing.plan_in_force import included_credit_nano, plan_version_of
from tests.billing.stripe.conftest import BACK, DECEMBER, MID_MONTH, Both, deliver, plan, subscribe
from tests.factories import Person, make_person


def plan_at(person: Person, moment: datetime) -> str:
    return plan_version_of(person.account, moment)[0].plan.slug


def test_bob_subscribes_in_the_middle_of_the_month_and_pays_half_of_it(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    stay = Subscription.objects.get(account=bob.account)
    assert (stay.plan_version.plan.slug, stay.started_at, stay.ended_at) == ("pro", MID_MONTH, None)
    fee = Statement.objects.get(account=bob.account)
    assert (fee.kind, fee.state, fee.total_minor, fee.period) == ("fee", "paid", 450, "2026-11")
    assert fee.number
    assert entitlements_of(bob.account).plan == "pro"
    included = plan("pro").included_credit_nano
    assert stay.paid_from == MID_MONTH

    november = BillingPeriod.parse("2026-11")
    assert included_credit_nano(stay.plan_version, stay, november) == included // 2
    assert included_credit_nano(stay.plan_version, stay, november.next) == included


def test_a_lost_webhook_does_not_matter_to_bob_who_closed_the_window(both: Both, bob: Person) -> None:
    subscribing.subscribe_page(bob.account, plan("pro"), key="k1", back_url=BACK)
    page = StripeCheckout.objects.get()
    following.follow_all()
    assert plan_at(bob, MID_MONTH) == "free"
    both.fake.complete_checkout(page.pk)
    following.follow_all()
    assert plan_at(bob, MID_MONTH) == "pro"
    following.follow_all()
    assert Statement.objects.filter(account=bob.account).count() == 1


def test_bob_reads_on_stripes_page_what_he_then_pays(both: Both, bob: Person) -> None:
    subscribing.subscribe_page(bob.account, plan("pro"), key="k1", back_url=BACK)
    page = StripeCheckout.objects.get().pk
    assert both.get(f"/v1/checkout/sessions/{page}")["amount_total"] == 450
    both.fake.complete_checkout(page)
    assert [invoice["amount_paid"] for invoice in both.fake.objects("invoice")] == [450]


def test_the_webhook_of_a_subscription_begins_it_once_however_often_it_comes(both: Both, bob: Person) -> None:
    subscribing.subscribe_page(bob.account, plan("pro"), key="k1", back_url=BACK)
    both.fake.complete_checkout(StripeCheckout.objects.get().pk)
    (event,) = both.events("customer.subscription.created")
    assert [deliver(event), deliver(event)] == [200, 200]
    assert Subscription.objects.filter(account=bob.account).count() == 1


def test_a_page_asked_for_twice_with_one_key_is_one_page_and_one_customer(both: Both, bob: Person) -> None:
    pages = {subscribing.subscribe_page(bob.account, plan("pro"), key="k1", back_url=BACK) for _ in range(2)}
    assert len(pages) == 1
    assert StripeCustomer.objects.count() == 1
    assert len(both.fake.objects("customer")) == 1


def test_bob_begins_with_the_next_month_and_pays_nothing_now(both: Both, bob: Person) -> None:
    subscribe(both, bob, from_next=True)
    assert (plan_at(bob, MID_MONTH), plan_at(bob, DECEMBER)) == ("free", "pro")
    assert not Statement.objects.filter(account=bob.account, total_minor__gt=0).exists()


def test_nobody_subscribes_twice(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    with pytest.raises(PaymentError, match="subscription already"):
        subscribing.subscribe_page(bob.account, plan("pro"), key="k2", back_url=BACK)


def test_the_preview_of_an_upgrade_is_what_is_charged(both: Both, bob: Person, team: PlanVersion) -> None:
    subscribe(both, bob)
    both.later(days=4, hours=7)
    preview = subscribing.preview_change(bob.account, team)
    both.later(minutes=13)  # the customer reads
    subscribing.change(bob.account, team, key="up")
    charged = StripeInvoice.objects.get(reason="subscription_update")
    assert preview.total_minor == charged.total_minor == 550  # half of $20.00 less half of $9.00
    assert charged.status == "paid"
    assert plan_at(bob, timezone.now()) == "team"
    fee = Statement.objects.get(stripe_invoice=charged)
    assert [line.amount_minor for line in fee.lines.order_by("position")] == [-450, 1000]


def test_a_downgrade_comes_with_the_next_month_and_can_be_taken_back(
    both: Both, bob: Person, team: PlanVersion
) -> None:
    subscribe(both, bob, "team")
    subscribing.change(bob.account, plan("pro"), key="down")
    assert (plan_at(bob, MID_MONTH), plan_at(bob, DECEMBER)) == ("team", "pro")
    subscribing.change(bob.account, team, key="undo")
    assert (plan_at(bob, MID_MONTH), plan_at(bob, DECEMBER)) == ("team", "team")
    assert StripeInvoice.objects.count() == 1  # neither charged anything


def test_a_downgrade_is_charged_at_the_lower_price_from_the_next_month(
    both: Both, bob: Person, team: PlanVersion
) -> None:
    subscribe(both, bob, "team")
    subscribing.change(bob.account, plan("pro"), key="down")
    both.move(DECEMBER)
    following.follow_all()
    renewal = StripeInvoice.objects.get(reason="subscription_cycle")
    assert renewal.subtotal_minor == 900
    assert plan_at(bob, DECEMBER) == "pro"


def test_bob_cancels_resumes_and_cancels_again(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    subscribing.cancel(bob.account, key="c1")
    assert (plan_at(bob, MID_MONTH), plan_at(bob, DECEMBER)) == ("pro", "free")
    subscribing.resume(bob.account, key="r1")
    assert plan_at(bob, DECEMBER) == "pro"
    subscribing.cancel(bob.account, key="c2")
    both.move(DECEMBER)
    following.follow_all()
    assert StripeSubscription.objects.get().status == "canceled"
    assert plan_at(bob, DECEMBER) == "free"


def test_choosing_free_cancels_at_the_end_of_the_month(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    subscribing.change(bob.account, plan("free"), key="free")
    assert (plan_at(bob, MID_MONTH), plan_at(bob, DECEMBER)) == ("pro", "free")


def test_a_declined_upgrade_changes_nothing_and_says_what_to_do(
    both: Both, bob: Person, team: PlanVersion
) -> None:
    subscribe(both, bob)
    customer = StripeCustomer.objects.get().pk
    card = both.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)["id"]
    sub = StripeSubscription.objects.get()
    both.post(f"/v1/subscriptions/{sub.pk}", default_payment_method=card)
    with pytest.raises(Declined, match="declined"):
        subscribing.change(bob.account, team, key="up")
    following.follow_all()
    assert plan_at(bob, timezone.now()) == "pro"


def test_a_subscription_with_a_foreign_price_is_an_alarm_and_no_plan(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    product = both.post("/v1/products", name="Special")["id"]
    price = both.post(
        "/v1/prices", product=product, currency="usd", unit_amount=1, recurring={"interval": "month"}
    )
    sub = StripeSubscription.objects.get()
    both.post(
        f"/v1/subscriptions/{sub.pk}",
        items=[{"id": sub.item_id, "price": price["id"]}],
        proration_behavior="none",
    )
    following.follow_subscription(sub.pk)
    assert BillingAlarm.objects.get().kind == "unknown_price"
    assert Subscription.objects.get(account=bob.account).plan_version == plan("pro")


def test_a_customer_deleted_at_stripe_is_an_alarm_and_gets_a_new_one(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    gone = StripeCustomer.objects.get()
    both.fake.client().raw_request("delete", f"/v1/customers/{gone.pk}")
    for event in both.events("customer.deleted"):
        assert deliver(event) == 200
    assert BillingAlarm.objects.filter(kind="customer_deleted").exists()
    following.follow_all()
    assert plan_at(bob, timezone.now()) == "free"
    subscribe(both, bob)
    assert StripeCustomer.objects.filter(deleted_at=None).get().pk != gone.pk


def test_the_portal_changes_no_plan(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    url = subscribing.portal_page(bob.account, back_url=BACK, key="p1")
    assert url.startswith(both.fake.url)
    configuration = both.get("/v1/billing_portal/configurations")["data"][0]
    assert not configuration["features"]["subscription_update"]["enabled"]


def test_kim_pays_in_won(both: Both, price_list: None) -> None:
    kim = make_person("Kim", currency="KRW")
    subscribe(both, kim)
    fee = Statement.objects.get(account=kim.account)
    price = plan("pro", "KRW").price_minor
    assert price
    assert (fee.currency, fee.total_minor) == ("KRW", (price + 1) // 2)
