"""Amounts in the fake: totals, balance, smallest charges, taxes, refunds, credit notes, cards."""

import pytest
import stripe

from tests.fakes.stripe.people import customer, draft, price, subscribe
from tests.fakes.stripe.process import FakeStripe


def paid_invoice(fake: FakeStripe, *amounts: int, currency: str = "usd") -> stripe.Invoice:
    v1 = fake.client().v1
    made = draft(fake, customer(fake), *amounts, currency=currency)
    v1.invoices.finalize_invoice(made.id)
    return v1.invoices.pay(made.id)


def test_lines_add_up_and_the_charge_is_the_total(fake: FakeStripe) -> None:
    invoice = paid_invoice(fake, 5000, -200, 37)
    (charge,) = fake.objects("charge")
    assert invoice.total == invoice.amount_paid == charge["amount"] == 4837


def test_a_finalised_invoice_takes_no_more_lines(fake: FakeStripe) -> None:
    invoice = paid_invoice(fake, 5000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        fake.client().v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1}]})
    assert refused.value.code == "invoice_not_editable"


def test_at_most_250_lines(fake: FakeStripe) -> None:
    invoice = draft(fake, customer(fake), *[1] * 250)
    with pytest.raises(stripe.InvalidRequestError, match="at most 250"):
        fake.client().v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1}]})


@pytest.mark.parametrize(("currency", "amount"), [("usd", 49), ("krw", 499), ("gbp", 29)])
def test_below_the_smallest_charge_the_amount_goes_to_the_balance(
    fake: FakeStripe, currency: str, amount: int
) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    done = v1.invoices.finalize_invoice(draft(fake, alice, amount, currency=currency).id)
    assert (done.status, done.amount_due, done.ending_balance) == ("paid", 0, amount)
    following = v1.invoices.finalize_invoice(draft(fake, alice, 1000, currency=currency).id)
    assert (following.starting_balance, following.amount_due) == (amount, 1000 + amount)


def test_won_have_no_cents(fake: FakeStripe) -> None:
    assert paid_invoice(fake, 12_900, currency="krw").amount_paid == 12_900


def test_credit_is_used_before_the_card(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    v1.customers.balance_transactions.create(alice.id, {"amount": -300, "currency": "usd"})
    done = v1.invoices.finalize_invoice(draft(fake, alice, 1000).id)
    assert (done.amount_due, v1.customers.retrieve(alice.id).balance) == (700, 0)


def test_a_negative_total_becomes_credit(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    done = v1.invoices.finalize_invoice(draft(fake, alice, -1000).id)
    assert (done.status, v1.customers.retrieve(alice.id).balance) == ("paid", -1000)


def test_a_customer_has_one_currency(fake: FakeStripe) -> None:
    alice = customer(fake)
    draft(fake, alice, 5)
    with pytest.raises(stripe.InvalidRequestError, match="combine currencies"):
        draft(fake, alice, 5, currency="krw")


def test_tax_is_added_where_the_customer_can_be_placed(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    made = v1.subscriptions.create(
        {
            "customer": customer(fake, address={"country": "KR"}).id,
            "items": [{"price": price(fake, 9900, "krw").id}],
            "automatic_tax": {"enabled": True},
            "expand": ["latest_invoice"],
        }
    )
    invoice = made.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.subtotal, invoice.total) == (9900, 10_890)


def test_a_place_that_is_not_known_keeps_the_invoice_a_draft(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = draft(fake, customer(fake), 1000)
    v1.invoices.update(invoice.id, {"automatic_tax": {"enabled": True}})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.invoices.finalize_invoice(invoice.id)
    assert refused.value.code == "customer_tax_location_invalid"
    assert v1.invoices.retrieve(invoice.id).status == "draft"
    assert "invoice.finalization_failed" in [one["type"] for one in fake.objects("event")]


# --- back ---------------------------------------------------------------------------------------------------


def test_a_refund_is_never_more_than_was_paid(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    paid_invoice(fake, 1000)
    charge = fake.objects("charge")[0]["id"]
    v1.refunds.create({"charge": charge, "amount": 400})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        v1.refunds.create({"charge": charge, "amount": 601})
    v1.refunds.create({"charge": charge})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.refunds.create({"charge": charge})
    assert refused.value.code == "charge_already_refunded"


def test_a_credit_notes_parts_must_equal_what_was_paid_back(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = paid_invoice(fake, 1000, 500)
    line = invoice.lines.data[0].id
    given = [{"type": "invoice_line_item", "invoice_line_item": line, "amount": 600}]
    with pytest.raises(stripe.InvalidRequestError, match="must equal the post payment"):
        v1.credit_notes.create({"invoice": invoice.id, "lines": given, "refund_amount": 500})  # type: ignore[typeddict-item]
    note = v1.credit_notes.create(
        {"invoice": invoice.id, "lines": given, "refund_amount": 500, "credit_amount": 100}  # type: ignore[typeddict-item]
    )
    assert (note.total, note.post_payment_amount, len(note.refunds)) == (600, 600, 1)
    assert v1.customers.retrieve(str(invoice.customer)).balance == -100


def test_a_line_is_credited_once(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = paid_invoice(fake, 1000, 500)
    given = [{"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[1].id, "amount": 400}]
    v1.credit_notes.create({"invoice": invoice.id, "lines": given, "credit_amount": 400})  # type: ignore[typeddict-item]
    with pytest.raises(stripe.InvalidRequestError, match="too much"):
        v1.credit_notes.create({"invoice": invoice.id, "lines": given, "credit_amount": 400})  # type: ignore[typeddict-item]


def test_a_credit_note_on_an_open_invoice_lowers_what_is_due(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = v1.invoices.finalize_invoice(draft(fake, customer(fake), 1000).id)
    v1.credit_notes.create({"invoice": invoice.id, "amount": 400})
    assert v1.invoices.retrieve(invoice.id).amount_remaining == 600
    assert v1.invoices.pay(invoice.id).amount_paid == 600


# --- cards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeDeclined", "card_declined"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
def test_a_bad_card_is_refused_when_it_is_saved(fake: FakeStripe, card: str, code: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        customer(fake, card)
    assert (refused.value.http_status, refused.value.code) == (402, code)


def test_a_card_may_be_saved_and_then_decline(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = v1.invoices.finalize_invoice(draft(fake, customer(fake, "pm_card_chargeCustomerFail"), 1000).id)
    with pytest.raises(stripe.CardError):
        v1.invoices.pay(invoice.id)
    after = v1.invoices.retrieve(invoice.id)
    assert (after.status, after.attempt_count) == ("open", 1)


def test_a_card_that_asks_waits_for_the_customer(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = v1.invoices.finalize_invoice(
        draft(fake, customer(fake, "pm_card_authenticationRequired"), 1000).id
    )
    with pytest.raises(stripe.CardError) as refused:
        v1.invoices.pay(invoice.id)
    assert refused.value.code == "card_declined"
    assert "invoice.payment_action_required" in [one["type"] for one in fake.objects("event")]
    fake.control(f"invoice/{invoice.id}/authenticate")
    assert v1.invoices.retrieve(invoice.id).status == "paid"


def test_checkout_makes_a_subscription_or_leaves_nothing(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price(fake).id, "quantity": 1}],
            "success_url": "http://127.0.0.1/done",
            "subscription_data": {"metadata": {"account": "a-1"}},
        }
    )
    assert fake.complete_checkout(session.id, "4000000000000002")["error"]["code"] == "card_declined"
    assert v1.subscriptions.list().data == []
    done = fake.complete_checkout(session.id, country="KR")
    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    made = v1.subscriptions.retrieve(str(done["subscription"]))
    assert (made.status, made.metadata["account"]) == ("active", "a-1")


def test_a_subscription_of_a_customer_without_a_card_is_not_made(fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        subscribe(fake, customer(fake, ""), price(fake))
    assert fake.objects("subscription") == []
    assert fake.objects("invoice") == []
