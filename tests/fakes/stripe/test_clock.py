"""What happens by itself as the fake's clock moves: renewal, draft, finalisation, payment, tries, the end."""

import pytest
import stripe

from tests.fakes.stripe.people import DAY, HOUR, NOW, customer, listening, price, subscribe
from tests.fakes.stripe.process import FakeStripe

FEBRUARY = NOW + 31 * DAY


def newest(fake: FakeStripe, subscription: stripe.Subscription) -> stripe.Invoice:
    return fake.client().v1.invoices.list({"subscription": subscription.id}).data[0]


def status(fake: FakeStripe, subscription: stripe.Subscription) -> str:
    return fake.client().v1.subscriptions.retrieve(subscription.id).status


def test_the_first_month_is_paid_at_once(fake: FakeStripe) -> None:
    made = subscribe(fake, customer(fake), price(fake))
    invoice = newest(fake, made)
    assert (made.status, invoice.status, invoice.amount_paid) == ("active", "paid", 900)
    assert made["items"].data[0].current_period_end == FEBRUARY


def test_a_renewal_is_a_draft_for_an_hour_then_finalised_and_paid(fake: FakeStripe) -> None:
    made = subscribe(fake, customer(fake), price(fake))
    fake.advance(to=FEBRUARY)
    invoice = newest(fake, made)
    assert (invoice.status, invoice.billing_reason) == ("draft", "subscription_cycle")
    fake.advance(seconds=HOUR - 1)
    assert newest(fake, made).status == "draft"
    fake.advance(seconds=1)
    assert newest(fake, made).status == "paid"


def test_a_draft_whose_webhook_was_not_heard_waits_72_hours(fake: FakeStripe) -> None:
    with listening() as endpoint:
        endpoint.answer = lambda event: 500 if event["type"] == "invoice.created" else 200
        made = subscribe(fake, customer(fake), price(fake))
        fake.client().v1.webhook_endpoints.create({"url": endpoint.url, "enabled_events": ["*"]})
        fake.control("settings", webhook_retry_seconds=[])
        fake.advance(to=FEBRUARY + 71 * HOUR)
        assert newest(fake, made).status == "draft"
        fake.advance(seconds=HOUR)
        assert newest(fake, made).status == "paid"


def test_a_draft_whose_webhook_was_heard_late_is_finalised_an_hour_after_that(fake: FakeStripe) -> None:
    with listening() as endpoint:
        refusals = [500, 500]
        endpoint.answer = lambda event: (
            refusals.pop() if event["type"] == "invoice.created" and refusals else 200
        )
        made = subscribe(fake, customer(fake), price(fake))
        fake.client().v1.webhook_endpoints.create(
            {"url": endpoint.url, "enabled_events": ["invoice.created"]}
        )
        fake.control("settings", webhook_retry_seconds=[2 * HOUR, 2 * HOUR])
        fake.advance(to=FEBRUARY + 4 * HOUR)
        assert newest(fake, made).automatically_finalizes_at == FEBRUARY + 5 * HOUR


def test_a_draft_that_is_told_not_to_advance_stays_until_it_is_finalised(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    made = subscribe(fake, customer(fake), price(fake))
    fake.advance(to=FEBRUARY)
    invoice = v1.invoices.update(newest(fake, made).id, {"auto_advance": False})
    fake.advance(days=5)
    v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 123, "description": "Usage"}]})
    v1.invoices.finalize_invoice(invoice.id, {"auto_advance": True})
    fake.advance(seconds=0)
    paid = newest(fake, made)
    assert (paid.status, paid.amount_paid) == ("paid", 1023)


def test_a_failed_payment_is_tried_again_and_then_the_subscription_ends(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    made = subscribe(fake, alice, price(fake))
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": alice.id})
    v1.customers.update(alice.id, {"invoice_settings": {"default_payment_method": bad.id}})
    fake.advance(to=FEBRUARY + HOUR)
    seen = [(0, newest(fake, made).attempt_count, status(fake, made))]
    for days in (3, 5, 7):
        fake.advance(days=days)
        seen.append((days, newest(fake, made).attempt_count, status(fake, made)))
    assert seen == [(0, 1, "past_due"), (3, 2, "past_due"), (5, 3, "past_due"), (7, 4, "canceled")]
    assert newest(fake, made).status == "open"


def test_a_new_card_during_the_tries_brings_the_subscription_back(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    made = subscribe(fake, alice, price(fake))
    for card in ("pm_card_chargeCustomerFail", "pm_card_visa"):
        method = v1.payment_methods.attach(card, {"customer": alice.id})
        v1.customers.update(alice.id, {"invoice_settings": {"default_payment_method": method.id}})
        if card != "pm_card_visa":
            fake.advance(to=FEBRUARY + HOUR)
            assert v1.customers.retrieve(alice.id).delinquent
    v1.invoices.pay(newest(fake, made).id)
    assert status(fake, made) == "active"
    assert not v1.customers.retrieve(alice.id).delinquent


def test_a_card_expires_with_the_clock(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake, "")
    card = v1.payment_methods.create(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2026}}
    )
    v1.payment_methods.attach(card.id, {"customer": alice.id})
    v1.customers.update(alice.id, {"invoice_settings": {"default_payment_method": card.id}})
    made = subscribe(fake, alice, price(fake))
    fake.advance(to=FEBRUARY + HOUR)
    (failed,) = [one for one in fake.objects("charge") if one["status"] == "failed"]
    assert failed["failure_code"] == "expired_card"
    assert status(fake, made) == "past_due"


def test_an_end_at_the_periods_end_can_be_taken_back_until_then(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    made = subscribe(fake, customer(fake), price(fake))
    v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    v1.subscriptions.update(made.id, {"cancel_at_period_end": False})
    fake.advance(to=FEBRUARY)
    assert status(fake, made) == "active"
    v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    fake.advance(days=28)
    assert status(fake, made) == "canceled"


def test_a_preview_equals_the_charge(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    made = subscribe(fake, customer(fake), price(fake))
    dearer = price(fake, 2900, name="Team")
    now = fake.advance(days=10)
    change = {
        "items": [{"id": made["items"].data[0].id, "price": dearer.id}],
        "proration_behavior": "always_invoice",
        "proration_date": now,
    }
    preview = v1.invoices.create_preview({"subscription": made.id, "subscription_details": change})  # type: ignore[arg-type]
    v1.subscriptions.update(made.id, change)  # type: ignore[arg-type]
    assert newest(fake, made).total == preview.total == -round(900 * 21 / 31) + round(2900 * 21 / 31)


def test_a_cheaper_plan_waits_for_the_periods_end(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    dear, cheap = price(fake, 2900, name="Team"), price(fake)
    made = subscribe(fake, customer(fake), dear)
    schedule = v1.subscription_schedules.create({"from_subscription": made.id})
    phase = schedule.phases[0]
    present = {"items": [{"price": dear.id}], "start_date": phase.start_date, "end_date": phase.end_date}
    following = {
        "items": [{"price": cheap.id}],
        "duration": {"interval": "month"},
        "proration_behavior": "none",
    }
    v1.subscription_schedules.update(schedule.id, {"phases": [present, following]})  # type: ignore[arg-type]
    fake.advance(to=FEBRUARY + HOUR)
    assert newest(fake, made).total == 900
    fake.advance(days=28)
    assert v1.subscription_schedules.retrieve(schedule.id).status == "completed"
    assert status(fake, made) == "active"


def test_the_31st_becomes_the_28th_and_then_the_31st_again(fake: FakeStripe) -> None:
    fake.advance(days=30)
    made = subscribe(fake, customer(fake), price(fake))
    ends = []
    for _ in range(3):
        ends.append(fake.client().v1.subscriptions.retrieve(made.id)["items"].data[0].current_period_end)
        fake.advance(to=ends[-1])
    assert [(end - NOW) // DAY for end in ends] == [58, 89, 119]  # 28 February, 31 March, 30 April


def test_a_test_clock_moves_its_own_customers_only(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    clock = v1.test_helpers.test_clocks.create({"frozen_time": NOW})
    theirs = subscribe(fake, customer(fake, test_clock=clock.id), price(fake))
    others = subscribe(fake, customer(fake), price(fake))
    v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": FEBRUARY + HOUR})
    while v1.test_helpers.test_clocks.retrieve(clock.id).status != "ready":
        pass
    assert len(v1.invoices.list({"subscription": theirs.id}).data) == 2
    assert len(v1.invoices.list({"subscription": others.id}).data) == 1


def test_a_change_that_the_card_does_not_pay_changes_nothing_if_so_asked(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    made = subscribe(fake, alice, price(fake))
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": alice.id})
    v1.customers.update(alice.id, {"invoice_settings": {"default_payment_method": bad.id}})
    with pytest.raises(stripe.CardError):
        v1.subscriptions.update(
            made.id,
            {
                "items": [{"id": made["items"].data[0].id, "price": price(fake, 2900, name="Team").id}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    after = v1.subscriptions.retrieve(made.id)
    assert (after["items"].data[0].price.unit_amount, after.status) == (900, "active")
    assert len(fake.objects("invoice")) == 1
