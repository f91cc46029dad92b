"""Statements become invoices: the renewal's draft, a standalone one, by card or sent."""

from datetime import timedelta

import pytest

from billing.collection import following, subscribing
from billing.models import (
    PlanVersion,
    Statement,
    StripeInvoice,
    StripeLine,
)
from billing.payments import mark_paid, void
from billing.payments.provider import PaymentError
from tests.billing.stripe.conftest import DECEMBER, Both, lines_at_stripe, subscribe
from tests.billing.stripe.stories import A_WEEK_LATER, issue, ours_once, use
from tests.factories import Person, make_report, record_calls


def test_usage_goes_on_the_renewals_draft_with_the_coming_fee(both: Both, held: Statement) -> None:
    issued = issue(held)
    invoice = StripeInvoice.objects.get(reason="subscription_cycle")
    assert issued.stripe_invoice == invoice
    assert issued.state in {"finalized", "paid"}  # Stripe charges the card by itself, within the hour
    assert invoice.subtotal_minor == issued.total_minor + 900
    ours_once(both, issued)
    both.later(hours=2)
    following.follow_all()
    assert Statement.objects.get(pk=held.pk).state == "paid"
    fee = Statement.objects.get(kind="fee", period="2026-12")
    assert (fee.total_minor, fee.state, fee.stripe_invoice) == (900, "paid", invoice)
    invoices = both.fake.objects("invoice")
    assert sum(one["total"] for one in invoices) == sum(each.total_minor for each in Statement.objects.all())


def test_a_line_carries_quantity_times_price_its_period_and_our_id(both: Both, held: Statement) -> None:
    issue(held)
    invoice = StripeInvoice.objects.get(reason="subscription_cycle")
    found = both.get(f"/v1/invoices/{invoice.pk}/lines", limit=100)["data"]
    line = next(one for one in found if "input tokens" in one["description"])
    assert "100,000,000 input tokens × $" in line["description"]
    assert line["period"]["end"] == int(DECEMBER.timestamp())
    assert line["metadata"]["turnpike_statement"] == str(held.pk)


def test_a_month_without_calls_lets_the_fee_go_out_alone(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    both.move(DECEMBER)
    following.follow_all()
    both.later(hours=1)
    both.ticks()
    assert StripeInvoice.objects.get(reason="subscription_cycle").status == "draft"
    both.later(hours=1)
    both.ticks()
    both.later(hours=2)
    both.ticks()
    assert StripeInvoice.objects.get(reason="subscription_cycle").status == "paid"


def test_late_usage_goes_with_the_next_statement_and_says_its_month(
    both: Both, held: Statement, bob: Person
) -> None:
    issue(held)
    both.later(hours=3)
    following.follow_all()
    use(bob, 50)  # recorded in December, made in November
    january = DECEMBER + timedelta(days=31)
    both.move(january)
    following.follow_all()
    both.move(january + timedelta(hours=2))
    both.ticks()
    late = Statement.objects.get(account=bob.account, kind="usage", period="2026-12")
    assert late.stripe_invoice
    assert any("November 2026" in text for text, _ in lines_at_stripe(both, late.stripe_invoice))


def test_enterprise_gets_its_invoice_sent_with_days_to_pay(both: Both, bob: Person) -> None:
    from billing.seeding import subscribe as put_on

    put_on(bob.account, "enterprise")
    use(bob)
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    usage = Statement.objects.get(account=bob.account)
    invoice = usage.stripe_invoice
    assert invoice
    assert (usage.state, invoice.is_charged) == ("finalized", False)
    assert usage.due_at == DECEMBER + timedelta(hours=2, days=30)


def test_bobs_free_statement_of_nothing_makes_no_invoice(both: Both, bob: Person) -> None:
    record_calls(make_report(bob, A_WEEK_LATER))
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    assert Statement.objects.get(account=bob.account).state == "paid"
    assert both.fake.objects("invoice") == []


def test_staff_mark_a_sent_invoice_as_paid_and_void_another(both: Both, bob: Person, alice: Person) -> None:
    from billing.seeding import subscribe as put_on

    for person in (bob, alice):
        put_on(person.account, "enterprise")
        use(person)
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    ours = Statement.objects.filter(state="finalized").order_by("created_at")
    first, second = ours
    assert mark_paid(first).state == "paid"
    assert void(second).state == "void"
    statuses = {one["status"] for one in both.fake.objects("invoice")}
    assert statuses == {"paid", "void"}


def test_a_fee_statement_cannot_be_voided_beside_usage(both: Both, held: Statement) -> None:
    issued = issue(held)
    with pytest.raises(PaymentError, match="another statement"):
        void(issued)


def test_the_final_usage_of_who_cancelled_stands_on_an_invoice_of_its_own(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    subscribing.cancel(bob.account, key="c")
    use(bob)
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    usage = Statement.objects.get(account=bob.account, kind="usage")
    assert usage.stripe_invoice
    assert usage.stripe_invoice.reason == "manual"
    ours_once(both, usage)


def test_late_usage_of_who_cancelled_gets_a_final_invoice(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    subscribing.cancel(bob.account, key="c")
    use(bob)
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    use(bob, 50)  # recorded in December, made in November, after Bob has left
    both.move(DECEMBER + timedelta(days=31, hours=2))
    both.ticks()
    first, late = Statement.objects.filter(account=bob.account, kind="usage").order_by("created_at")
    assert (first.total_minor, late.total_minor) == (100, 100)
    assert late.stripe_invoice
    assert (late.stripe_invoice.reason, late.stripe_invoice.subscription_id) == ("manual", "")
    ours_once(both, first, late)


def test_usage_before_and_after_an_upgrade_keeps_its_prices_and_never_stands_on_its_invoice(
    both: Both,
    bob: Person,
    team: PlanVersion,
) -> None:
    subscribe(both, bob)
    use(bob, 250)
    both.move(A_WEEK_LATER + timedelta(hours=1))
    subscribing.change(bob.account, team, key="up")
    use(bob, 250, A_WEEK_LATER + timedelta(hours=2))
    both.move(DECEMBER)
    following.follow_all()
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    (usage,) = Statement.objects.filter(account=bob.account, kind="usage")
    upgrade = StripeInvoice.objects.get(reason="subscription_update")
    assert not StripeLine.objects.filter(invoice=upgrade, line__kind="usage").exists()
    assert {line.amount_minor for line in usage.lines.filter(kind="usage")} == {1000}
    assert usage.stripe_invoice
    assert usage.stripe_invoice.reason == "subscription_cycle"
    ours_once(both, usage)


def test_below_the_smallest_charge_it_counts_as_paid_and_waits_on_the_balance(
    both: Both, bob: Person
) -> None:
    subscribe(both, bob)
    subscribing.cancel(bob.account, key="c")
    use(bob, 65)  # $1.30 less $1.00 of credit
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    usage = Statement.objects.get(account=bob.account, kind="usage")
    assert (usage.total_minor, usage.state) == (30, "paid")
    (customer,) = both.fake.objects("customer")
    assert customer["balance"] == 30
