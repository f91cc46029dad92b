"""Money goes back at Stripe: credit notes on open and paid invoices, refunds of top-ups. Once, and the books agree."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing import topups
from billing.collection import following
from billing.credit_balances import prepaid_nano
from billing.credit_notes import PayBack, credit_statement, due_minor, send_credit_notes
from billing.creditable import CreditNoteError
from billing.credits import CreditError
from billing.models import (
    CreditNote,
    Statement,
    StripeLine,
    StripeOperation,
    TopUp,
    TopUpRefund,
)
from billing.money import NANO
from billing.payments import attaching, issue_frozen_statements, operations
from billing.pricing import Unit
from billing.refunds import refund_top_up, send_refunds
from tests.billing.stripe.conftest import BACK, Both, subscribe
from tests.billing.stripe.stories import A_WEEK_LATER, billed, bought, differences, put_card, renewal_of, use
from tests.factories import EMBEDDING_MODEL, Person, make_report, record_calls

BAD_CARD = "pm_card_chargeCustomerFail"


def credit(statement: Statement, minor: int, pay_back: PayBack = PayBack.REFUND) -> CreditNote:
    """Staff take back so much of the statement's usage, and the provider is told."""
    line = statement.lines.get(kind="usage")
    note = credit_statement(
        statement,
        {line.pk: minor},
        reason=CreditNote.Reason.SERVICE,
        reference=f"test:{CreditNote.objects.count()}",
        pay_back=pay_back,
    )
    send_credit_notes()
    note.refresh_from_db()
    return note


def test_a_part_of_a_paid_invoice_goes_back_to_bobs_card(both: Both, bob: Person) -> None:
    """$5.00 of usage less $1.00 of credit were paid; $2.50 of the usage were wrong."""
    statement = billed(both, bob, 250)
    assert (statement.state, statement.total_minor) == ("paid", 400)
    note = credit(statement, 250)
    assert (note.total_minor, note.refund_minor, note.provider_error) == (250, 250, "")
    (there,) = both.fake.objects("credit_note")
    assert there["id"] == note.provider_reference
    assert (there["post_payment_amount"], there["memo"]) == (250, note.number)
    assert [one["amount"] for one in both.fake.objects("refund")] == [250]
    assert differences() == []


def test_a_part_of_a_paid_invoice_stays_on_bobs_balance_at_stripe(both: Both, bob: Person) -> None:
    note = credit(billed(both, bob, 250), 250, PayBack.BALANCE)
    assert (note.balance_minor, len(both.fake.objects("refund"))) == (250, 0)
    (customer,) = both.fake.objects("customer")
    assert customer["balance"] == -250
    assert differences() == []


def test_on_an_open_invoice_less_is_due_and_nothing_is_refunded(both: Both, bob: Person) -> None:
    statement = billed(both, bob, 250, BAD_CARD)
    assert (statement.state, renewal_of(bob).due_minor) == ("finalized", 1300)
    note = credit(statement, 250)
    assert (note.due_minor, note.refund_minor, due_minor(statement)) == (250, 0, 150)
    assert renewal_of(bob).due_minor == 1050
    assert both.fake.objects("refund") == []
    card = put_card(both, bob, "pm_card_visa")
    both.post(f"/v1/invoices/{renewal_of(bob).pk}/pay", payment_method=card)
    following.follow_invoice(renewal_of(bob).pk)
    assert [one["amount"] for one in both.fake.objects("charge") if one["paid"]][-1] == 1050
    assert differences() == []


def test_all_of_the_usage_of_an_open_invoice_is_credited_and_its_statement_is_settled(
    both: Both, bob: Person
) -> None:
    statement = billed(both, bob, 250, BAD_CARD)
    credit(statement, 500)
    statement.refresh_from_db()
    assert statement.state == "paid"
    assert renewal_of(bob).due_minor == 900  # the fee is still owed
    assert Statement.objects.get(stripe_invoice=renewal_of(bob), kind="fee").state == "finalized"
    assert differences() == []


def test_who_paid_before_stripe_heard_of_the_note_gets_it_back_on_the_card(both: Both, bob: Person) -> None:
    statement = billed(both, bob, 250, BAD_CARD)
    both.fake.control("outage", hours=1)
    note = credit(statement, 250)
    assert note.sent_at is None
    both.later(hours=2)
    card = put_card(both, bob, "pm_card_visa")
    both.post(f"/v1/invoices/{renewal_of(bob).pk}/pay", payment_method=card)
    send_credit_notes()
    assert [one["amount"] for one in both.fake.objects("refund")] == [250]
    assert differences() == []


@pytest.mark.parametrize("minor", [0, -1, 501])
def test_more_than_the_line_or_nothing_is_refused_with_what_is_left(
    both: Both, bob: Person, minor: int
) -> None:
    statement = billed(both, bob, 250)
    with pytest.raises(CreditNoteError, match="has 500 left to credit"):
        credit(statement, minor)
    credit(statement, 300)
    with pytest.raises(CreditNoteError, match="has 200 left to credit"):
        credit(statement, 201)
    assert len(both.fake.objects("credit_note")) == 1
    assert differences() == []


def test_what_was_credited_by_hand_at_stripe_is_refused_there_and_turns_reconciliation_red(
    both: Both, bob: Person
) -> None:
    statement = billed(both, bob, 250)
    line = StripeLine.objects.get(line__statement=statement, line__kind="usage")
    by_hand = [{"type": "invoice_line_item", "invoice_line_item": line.stripe_id, "amount": 400}]
    both.post("/v1/credit_notes", invoice=line.invoice_id, lines=by_hand, refund_amount=400)
    assert differences() == ["provider +400"]
    note = credit(statement, 200)
    assert note.sent_at is None
    assert "400 is credited already" in note.provider_error
    both.later(hours=2)  # it still waits: now it counts as ours
    assert differences() == ["provider +200"]


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "error_after", "cut_before", "rate_limit"])
def test_a_lost_answer_makes_one_credit_note(both: Both, bob: Person, fault: str) -> None:
    statement = billed(both, bob, 250)
    both.fake.control(
        "faults", next=[{"fault": fault, "path": "credit_notes$", "method": "POST"} for _ in range(3)]
    )
    assert credit(statement, 250).sent_at is None
    both.fake.control("faults", clear=True)
    both.later(minutes=5)
    assert send_credit_notes() == 1
    assert send_credit_notes() == 0
    (there,) = both.fake.objects("credit_note")
    assert CreditNote.objects.get().provider_reference == there["id"]
    assert [one["amount"] for one in both.fake.objects("refund")] == [250]
    assert differences() == []


def test_killed_after_stripes_answer_it_is_the_same_credit_note(
    both: Both, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = billed(both, bob, 250)

    def die(operation: StripeOperation, answer: dict[str, Any]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(operations, "_answered", die)
    with pytest.raises(KeyboardInterrupt):
        credit(statement, 250)
    monkeypatch.undo()
    assert send_credit_notes() == 1
    assert len(both.fake.objects("credit_note")) == 1


def test_lines_on_two_invoices_get_a_credit_note_on_each(
    both: Both, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "LINES_AT_ONCE", 1)
    real: Callable[..., None] = attaching._send
    sent: list[int] = []

    def then_somebody_finalises(statement: Statement, invoice: Any, lines: Any) -> None:
        real(statement, invoice, lines)
        sent.append(1)
        if len(sent) == 1:
            both.post(f"/v1/invoices/{invoice.pk}/finalize")

    monkeypatch.setattr(attaching, "_send", then_somebody_finalises)
    _use_embeddings(bob)
    statement = billed(both, bob, 250)
    for _ in range(4):
        issue_frozen_statements()
    both.later(hours=2)
    following.follow_all()
    usage = list(statement.lines.filter(kind="usage"))
    assert len({row.invoice_id for row in StripeLine.objects.filter(line__in=usage)}) == 2
    statement.refresh_from_db()
    note = credit_statement(
        statement,
        {line.pk: 50 for line in usage},
        reason=CreditNote.Reason.MISTAKE,
        reference="both",
        pay_back=PayBack.REFUND,
    )
    send_credit_notes()
    note.refresh_from_db()
    assert note.provider_error == ""
    assert sum(one["total"] for one in both.fake.objects("credit_note")) == note.total_minor == 100
    assert len(note.provider_reference.split(", ")) == 2


def _use_embeddings(person: Person) -> None:
    units = {Unit.INPUT_TOKEN: 250_000_000}
    record_calls(make_report(person, A_WEEK_LATER, units, model=EMBEDDING_MODEL))


def test_what_stripe_gave_up_is_voided_not_credited(both: Both, bob: Person) -> None:
    statement = billed(both, bob, 250, BAD_CARD)
    both.post(f"/v1/invoices/{renewal_of(bob).pk}/mark_uncollectible")
    following.follow_invoice(renewal_of(bob).pk)
    statement.refresh_from_db()
    assert statement.state == "uncollectible"
    with pytest.raises(CreditNoteError, match="Void it instead"):
        credit(statement, 100)


def test_paid_back_by_other_means_is_refused_where_stripe_collected(both: Both, bob: Person) -> None:
    with pytest.raises(CreditNoteError, match="pay it back there"):
        credit(billed(both, bob, 250), 250, PayBack.OUT_OF_BAND)


# --- top-ups ------------------------------------------------------------------------------------------------


def test_what_is_left_of_a_top_up_goes_back_once(both: Both, bob: Person) -> None:
    top_up = bought(both, bob)
    for _ in range(2):  # two clicks
        refund_top_up(top_up, 1500, reference="click", note="Bob asked for it")
    assert (send_refunds(), send_refunds()) == (1, 0)
    assert [one["amount"] for one in both.fake.objects("refund")] == [1500]
    assert prepaid_nano(bob.account) == 5 * NANO
    assert TopUpRefund.objects.get().provider_reference.startswith("re_")
    assert differences() == []


def test_used_credit_does_not_go_back(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    top_up = bought(both, bob)
    use(bob, 250, timezone.now())  # $5.00, of which $1.00 is included: $4.00 of the $20.00 are gone
    with pytest.raises(CreditError, match="1600 of it are left"):
        refund_top_up(top_up, 1601, reference="all")
    refund_top_up(top_up, 1600, reference="rest")
    send_refunds()
    assert [one["amount"] for one in both.fake.objects("refund")] == [1600]


@pytest.mark.parametrize("fault", ["cut_after", "error_after", "rate_limit"])
def test_a_refund_whose_answer_is_lost_happens_once(both: Both, bob: Person, fault: str) -> None:
    top_up = bought(both, bob)
    refund_top_up(top_up, 500, reference="one")
    both.fake.control(
        "faults", next=[{"fault": fault, "path": "refunds$", "method": "POST"} for _ in range(3)]
    )
    assert send_refunds() == 0
    assert TopUpRefund.objects.get().provider_error
    both.fake.control("faults", clear=True)
    both.later(minutes=5)
    assert send_refunds() == 1
    assert [one["amount"] for one in both.fake.objects("refund")] == [500]


def test_a_top_up_that_was_refunded_at_stripe_already_says_so(both: Both, bob: Person) -> None:
    top_up = bought(both, bob)
    both.post("/v1/refunds", payment_intent=top_up.payment)
    refund_top_up(top_up, 500, reference="again")
    assert send_refunds() == 0
    assert "already been refunded" in TopUpRefund.objects.get().provider_error


def test_one_that_was_not_paid_is_not_given_back(both: Both, bob: Person) -> None:
    topups.start_top_up(bob.account, 2000, BACK)
    with pytest.raises(CreditError, match="not paid"):
        refund_top_up(TopUp.objects.get(), 100, reference="none")


def test_olivia_refunds_a_top_up_in_the_admin(both: Both, bob: Person, olivia: Client) -> None:
    top_up = bought(both, bob)
    form = {"_form_submitted": "1", "amount": "5.00", "reason": "Bob asked for it"}
    for amount, made in (("20.01", 0), ("5.00", 1)):
        olivia.post(f"/admin/billing/topup/{top_up.pk}/refund/", form | {"amount": amount}, follow=True)
        assert TopUpRefund.objects.count() == made
    assert TopUpRefund.objects.get().amount_minor == 500
    assert olivia.get(f"/admin/billing/topup/{top_up.pk}/change/").status_code == 200
