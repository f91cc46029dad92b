"""A customer's bank takes a payment back: an alarm for staff, and, when it is lost, one entry in the journal."""

import pytest
from django.test import Client

from billing.credit_balances import prepaid_nano
from billing.models import BillingAlarm, Dispute, JournalEntry
from billing.payments.provider import ProviderAway
from billing.refunds import refund_top_up
from tests.billing.stripe.conftest import Both, deliver
from tests.billing.stripe.stories import billed, bought, differences, renewal_of
from tests.factories import Person


def chargeback(both: Both, payment: str, *, won: bool) -> None:
    """The bank takes a payment back and decides; every webhook of it comes, twice."""
    made = both.fake.control("dispute", payment_intent=payment)
    for event in both.events("charge.dispute.created"):
        assert [deliver(event), deliver(event)] == [200, 200]
    alarm = BillingAlarm.objects.get()
    assert (alarm.kind, alarm.subject) == ("chargeback", made["id"])
    assert "Answer it at Stripe until" in alarm.detail
    both.fake.control(f"dispute/{made['id']}/close", won=won)
    for event in both.events("charge.dispute.closed"):
        assert [deliver(event), deliver(event)] == [200, 200]


def test_a_lost_chargeback_of_an_invoice_is_an_alarm_and_one_entry(
    both: Both, bob: Person, olivia: Client
) -> None:
    billed(both, bob, 250)
    chargeback(both, renewal_of(bob).payment_intent, won=False)
    entry = JournalEntry.objects.get(kind="chargeback")
    lines = {line.ledger_account: line.debit_minor - line.credit_minor for line in entry.lines.all()}
    assert lines == {"chargebacks": 1300, "cash": -1300}
    assert "for good" in BillingAlarm.objects.get().detail
    assert b"du_" in olivia.get("/admin/billing/dispute/").content
    assert differences() == []


def test_a_chargeback_that_we_win_books_nothing(both: Both, bob: Person) -> None:
    billed(both, bob, 250)
    chargeback(both, renewal_of(bob).payment_intent, won=True)
    assert not JournalEntry.objects.filter(kind="chargeback").exists()
    assert Dispute.objects.get().status == "won"


def test_a_lost_chargeback_of_a_top_up_takes_its_unused_credit(both: Both, bob: Person) -> None:
    top_up = bought(both, bob)
    refund_top_up(top_up, 500, reference="before")
    chargeback(both, top_up.payment, won=False)
    assert prepaid_nano(bob.account) == 0
    entry = JournalEntry.objects.get(kind="chargeback")
    lines = {line.ledger_account: line.debit_minor - line.credit_minor for line in entry.lines.all()}
    assert lines == {"chargebacks": 500, "cash": -500}  # $15.00 were unused, and are booked with their credit
    assert differences() == []


def test_away_while_a_chargeback_is_followed_it_is_done_later(both: Both, bob: Person) -> None:
    billed(both, bob, 250)
    both.fake.control("dispute", payment_intent=renewal_of(bob).payment_intent)
    (event,) = both.events("charge.dispute.created")
    both.fake.control("outage", hours=1)
    with pytest.raises(ProviderAway):
        deliver(event)
    assert not BillingAlarm.objects.exists()
    both.later(hours=2)
    assert deliver(event) == 200
    assert BillingAlarm.objects.get().kind == "chargeback"


def test_the_operators_first_page_counts_the_chargeback(both: Both, bob: Person, olivia: Client) -> None:
    billed(both, bob, 250)
    both.fake.control("dispute", payment_intent=renewal_of(bob).payment_intent)
    for event in both.events("charge.dispute.created"):
        deliver(event)
    assert b"1 billing alarm is open" in olivia.get("/admin/").content
