"""What we rely on in Stripe, told once: on the fake, and on a Stripe sandbox where STRIPE_TEST_SECRET_KEY names one.

A sandbox has test clocks, so the same months go by there. What it makes is deleted with its clock.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import stripe

from tests.fakes.stripe.people import DAY, HOUR
from tests.fakes.stripe.process import FakeStripe

SANDBOX_KEY = os.environ.get("STRIPE_TEST_SECRET_KEY", "")
NO_KEY = "No sandbox: set STRIPE_TEST_SECRET_KEY to a sandbox's sk_test_ key to ask Stripe itself the same."
PATIENCE_SECONDS = 120


@dataclass
class Place:
    """Somewhere that speaks Stripe's API, with a test clock."""

    client: stripe.StripeClient
    clock: str
    began: int

    @property
    def v1(self) -> "stripe._v1_services.V1Services":
        """The services."""
        return self.client.v1

    def advance(self, until: int) -> None:
        """Move the test clock and wait until it is there."""
        self.v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": until})
        self.wait(
            lambda: self.v1.test_helpers.test_clocks.retrieve(self.clock).status == "ready",
            "the clock is ready",
        )

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Stripe does some things a moment later."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}"
            time.sleep(0.2)

    def customer(self, card: str = "pm_card_visa") -> stripe.Customer:
        """A customer of the clock, with a card."""
        made = self.v1.customers.create({"test_clock": self.clock, "email": "contract@example.com"})
        method = self.v1.payment_methods.attach(card, {"customer": made.id})
        self.v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": method.id}})
        return made

    def price(self, amount: int) -> stripe.Price:
        """A monthly price in dollars."""
        return self.v1.prices.create(
            {
                "currency": "usd",
                "unit_amount": amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Contract {amount}"},
            }
        )

    def newest(self, subscription: str) -> stripe.Invoice:
        """The newest invoice of a subscription."""
        return self.v1.invoices.list({"subscription": subscription, "limit": 1}).data[0]


@pytest.fixture(params=["fake", "sandbox"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The fake, and the sandbox. Without its key that is skipped, also where REQUIRE_ALL=1: few have one."""
    if request.param == "fake":
        fake: FakeStripe = request.getfixturevalue("fake")
        client = fake.client()
    elif not SANDBOX_KEY:
        pytest.skip(NO_KEY)
    else:
        assert "_test_" in SANDBOX_KEY, "STRIPE_TEST_SECRET_KEY moves real money. Use a sandbox's key."
        client = stripe.StripeClient(SANDBOX_KEY, max_network_retries=2)
    began = int(time.time()) // DAY * DAY - 60 * DAY
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": began, "name": "contract"})
    yield Place(client, clock.id, began)
    client.v1.test_helpers.test_clocks.delete(clock.id)


def test_a_renewal_waits_for_our_lines_and_is_then_finalised_and_paid(place: Place) -> None:
    v1 = place.v1
    made = v1.subscriptions.create(
        {"customer": place.customer().id, "items": [{"price": place.price(900).id}]}
    )
    end = made["items"].data[0].current_period_end
    place.advance(end + 60)
    place.wait(lambda: place.newest(made.id).billing_reason == "subscription_cycle", "the renewal is there")
    draft = place.newest(made.id)
    assert draft.status == "draft"
    v1.invoices.update(draft.id, {"auto_advance": False})
    lines = [
        {"amount": 123, "description": "Usage", "metadata": {"turnpike_line": str(uuid.uuid4())}},
        {"amount": -23, "description": "Credit", "metadata": {"turnpike_line": str(uuid.uuid4())}},
    ]
    v1.invoices.add_lines(draft.id, {"lines": lines})  # type: ignore[typeddict-item]
    place.advance(end + 3 * HOUR)
    assert v1.invoices.retrieve(draft.id).status == "draft"
    found = v1.invoices.line_items.list(draft.id, {"limit": 100})
    assert sorted(line.amount for line in found.data) == [-23, 123, 900]
    v1.invoices.finalize_invoice(draft.id, {"auto_advance": True})
    place.advance(end + 6 * HOUR)
    place.wait(lambda: v1.invoices.retrieve(draft.id).status == "paid", "it is paid")
    assert v1.invoices.retrieve(draft.id).amount_paid == 1000


def test_the_preview_of_a_change_is_what_it_charges(place: Place) -> None:
    v1 = place.v1
    made = v1.subscriptions.create(
        {"customer": place.customer().id, "items": [{"price": place.price(900).id}]}
    )
    item = made["items"].data[0]
    place.advance(place.began + 10 * DAY)
    items = [{"id": item.id, "price": place.price(2000).id}]
    details = {
        "items": items,
        "proration_behavior": "always_invoice",
        "proration_date": item.current_period_start,
    }
    asked = {"subscription": made.id, "subscription_details": details}
    preview = v1.invoices.create_preview(asked)  # type: ignore[arg-type]
    v1.subscriptions.update(made.id, details)  # type: ignore[arg-type]
    assert preview.total == place.newest(made.id).total == 1100


def test_a_key_gives_its_first_answer_again_and_takes_no_other_parameters(place: Place) -> None:
    v1, key = place.v1, f"contract-{uuid.uuid4()}"
    first = v1.customers.create({"test_clock": place.clock, "name": "Alice"}, {"idempotency_key": key})
    again = v1.customers.create({"name": "Alice", "test_clock": place.clock}, {"idempotency_key": key})
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        v1.customers.create({"test_clock": place.clock, "name": "Bob"}, {"idempotency_key": key})


def test_a_credit_notes_parts_equal_what_was_paid(place: Place) -> None:
    v1 = place.v1
    draft = v1.invoices.create({"customer": place.customer().id, "currency": "usd", "auto_advance": False})
    v1.invoices.add_lines(draft.id, {"lines": [{"amount": 1000, "description": "Usage"}]})
    v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})
    paid = v1.invoices.pay(draft.id)
    assert (paid.status, paid.amount_paid) == ("paid", 1000)
    lines = [{"type": "invoice_line_item", "invoice_line_item": paid.lines.data[0].id, "amount": 400}]
    with pytest.raises(stripe.InvalidRequestError):
        v1.credit_notes.create({"invoice": draft.id, "lines": lines, "refund_amount": 300})  # type: ignore[typeddict-item]
    note = v1.credit_notes.create({"invoice": draft.id, "lines": lines, "refund_amount": 400})  # type: ignore[typeddict-item]
    assert (note.total, note.post_payment_amount, len(note.refunds)) == (400, 400, 1)


def test_below_the_smallest_charge_the_amount_waits_on_the_balance(place: Place) -> None:
    v1 = place.v1
    customer = place.customer()
    draft = v1.invoices.create({"customer": customer.id, "currency": "usd", "auto_advance": False})
    v1.invoices.add_lines(draft.id, {"lines": [{"amount": 30, "description": "Usage"}]})
    done = v1.invoices.finalize_invoice(draft.id)
    assert (done.status, done.amount_due) == ("paid", 0)
    assert v1.customers.retrieve(customer.id).balance == 30


def test_a_card_that_declines_leaves_the_invoice_open(place: Place) -> None:
    v1 = place.v1
    customer = place.customer("pm_card_chargeCustomerFail")
    draft = v1.invoices.create({"customer": customer.id, "currency": "usd", "auto_advance": False})
    v1.invoices.add_lines(draft.id, {"lines": [{"amount": 1000, "description": "Usage"}]})
    v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})
    with pytest.raises(stripe.CardError) as refused:
        v1.invoices.pay(draft.id)
    assert refused.value.http_status == 402
    assert v1.invoices.retrieve(draft.id).status == "open"


def test_a_credit_note_on_an_open_invoice_makes_less_due(place: Place) -> None:
    v1 = place.v1
    customer = place.customer("pm_card_chargeCustomerFail")
    draft = v1.invoices.create({"customer": customer.id, "currency": "usd", "auto_advance": False})
    v1.invoices.add_lines(draft.id, {"lines": [{"amount": 1000, "description": "Usage"}]})
    issued = v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})
    lines = [{"type": "invoice_line_item", "invoice_line_item": issued.lines.data[0].id, "amount": 400}]
    note = v1.credit_notes.create({"invoice": draft.id, "lines": lines})  # type: ignore[typeddict-item]
    assert (note.subtotal, note.pre_payment_amount, note.post_payment_amount) == (400, 400, 0)
    now = v1.invoices.retrieve(draft.id)
    assert (now.status, now.subtotal, now.amount_remaining) == ("open", 1000, 600)
    listed = v1.credit_notes.list({"created": {"gte": place.began}, "customer": customer.id}).data
    assert [one.id for one in listed] == [note.id]


def test_a_change_that_must_be_confirmed_waits_beside_the_subscription(place: Place) -> None:
    v1 = place.v1
    customer = place.customer()
    cheap, dear = place.price(900), place.price(2000)
    made = v1.subscriptions.create({"customer": customer.id, "items": [{"price": cheap.id}]})
    card = v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": customer.id})
    v1.subscriptions.update(made.id, {"default_payment_method": card.id})
    item = made["items"].data[0]
    asked = {
        "items": [{"id": item.id, "price": dear.id}],
        "proration_behavior": "always_invoice",
        "proration_date": item.current_period_start,
    }
    with pytest.raises(stripe.CardError) as refused:
        v1.subscriptions.update(made.id, asked | {"payment_behavior": "error_if_incomplete"})  # type: ignore[arg-type]
    assert refused.value.http_status == 402
    waiting = v1.subscriptions.update(made.id, asked | {"payment_behavior": "pending_if_incomplete"})  # type: ignore[arg-type]
    assert waiting.pending_update
    assert waiting["items"].data[0].price.id == cheap.id
    invoice = place.newest(made.id)
    assert (invoice.status, invoice.total, bool(invoice.hosted_invoice_url)) == ("open", 1100, True)
    place.advance(place.began + 24 * HOUR)
    place.wait(lambda: v1.invoices.retrieve(invoice.id).status == "void", "it is dropped after 23 hours")
    assert v1.subscriptions.retrieve(made.id).pending_update is None


def test_no_more_of_a_payment_is_refunded_than_was_paid(place: Place) -> None:
    v1 = place.v1
    paid = v1.payment_intents.create(
        {
            "amount": 1000, "currency": "usd", "customer": place.customer().id, "payment_method": "pm_card_visa",
            "confirm": True, "off_session": True,
        }
    )  # fmt: skip
    assert v1.refunds.create({"payment_intent": paid.id, "amount": 400}).amount == 400
    with pytest.raises(stripe.InvalidRequestError):
        v1.refunds.create({"payment_intent": paid.id, "amount": 601})
    assert [one.amount for one in v1.refunds.list({"payment_intent": paid.id}).data] == [400]


def test_a_chargeback_names_the_payment_and_a_day_to_answer_by(place: Place) -> None:
    v1 = place.v1
    paid = v1.payment_intents.create(
        {
            "amount": 1000, "currency": "usd", "customer": place.customer().id, "confirm": True,
            "payment_method": "pm_card_createDispute", "off_session": True,
        }
    )  # fmt: skip
    place.wait(lambda: bool(v1.disputes.list({"payment_intent": paid.id}).data), "the bank takes it back")
    (dispute,) = v1.disputes.list({"payment_intent": paid.id}).data
    assert (dispute.amount, dispute.currency, dispute.status) == (1000, "usd", "needs_response")
    assert v1.disputes.retrieve(dispute.id, {"expand": ["charge"]}).charge.customer  # type: ignore[union-attr]
    assert dispute.evidence_details.due_by


def test_with_its_customer_a_subscription_ends(place: Place) -> None:
    v1 = place.v1
    customer = place.customer()
    made = v1.subscriptions.create({"customer": customer.id, "items": [{"price": place.price(900).id}]})
    v1.customers.delete(customer.id)
    assert v1.subscriptions.retrieve(made.id).status == "canceled"
