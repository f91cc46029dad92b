"""The hosted pages: what the customer sees and types, in English and Korean. They say that they are a fake."""

import httpx2
import pytest

from tests.fakes.stripe.people import customer, draft, price, subscribe
from tests.fakes.stripe.process import FakeStripe


def checkout(fake: FakeStripe, locale: str = "auto") -> str:
    """Return the address of a checkout for Pro."""
    session = fake.client().v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price(fake).id, "quantity": 1}],
            "success_url": "http://127.0.0.1:1/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1:1/left",
            "locale": locale,
        }
    )
    assert session.url is not None
    return session.url


@pytest.mark.parametrize(
    ("accepted", "said"), [("en", "This is a fake Stripe"), ("ko-KR", "가짜 Stripe입니다")]
)
def test_checkout_says_that_it_is_a_fake_and_what_is_bought(
    fake: FakeStripe, accepted: str, said: str
) -> None:
    page = httpx2.get(checkout(fake), headers={"Accept-Language": accepted}).text
    assert said in page
    assert "9.00 USD" in page
    assert "http://127.0.0.1:1/left" in page


def test_a_good_card_leads_back_and_a_bad_one_says_why(fake: FakeStripe) -> None:
    url = checkout(fake)
    refused = httpx2.post(url, data={"number": "4000000000000002", "email": "a@example.com"})
    assert "Your card was declined." in refused.text
    paid = httpx2.post(url, data={"number": "4242424242424242", "country": "KR", "email": "a@example.com"})
    assert paid.status_code == 303
    assert paid.headers["location"] == f"http://127.0.0.1:1/done?session={url.rpartition('/')[2]}"
    assert [one.status for one in fake.client().v1.subscriptions.list().data] == ["active"]


def test_in_the_portal_a_card_is_added_and_charged_from_then_on(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    alice = customer(fake)
    made = subscribe(fake, alice, price(fake))
    url = v1.billing_portal.sessions.create(
        {"customer": alice.id, "return_url": "http://127.0.0.1:1/back"}
    ).url
    assert "http://127.0.0.1:1/back" in httpx2.get(url).text
    httpx2.post(url, data={"do": "add", "number": "5555555555554444"})
    default = v1.customers.retrieve(alice.id, {"expand": ["invoice_settings.default_payment_method"]})
    assert default.to_dict()["invoice_settings"]["default_payment_method"]["card"]["brand"] == "mastercard"
    httpx2.post(url, data={"do": "cancel", "id": made.id})
    assert v1.subscriptions.retrieve(made.id).cancel_at_period_end
    httpx2.post(url, data={"do": "resume", "id": made.id})
    assert not v1.subscriptions.retrieve(made.id).cancel_at_period_end


def test_an_open_invoice_is_paid_on_its_page(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    invoice = v1.invoices.finalize_invoice(
        draft(fake, customer(fake, "pm_card_authenticationRequired"), 1000).id
    )
    assert invoice.hosted_invoice_url is not None
    assert "10.00 USD" in httpx2.get(invoice.hosted_invoice_url).text
    httpx2.post(invoice.hosted_invoice_url, data={"do": "confirm"})
    assert v1.invoices.retrieve(invoice.id).status == "paid"


def test_the_front_page_moves_the_clock(fake: FakeStripe) -> None:
    before = fake.now()
    assert httpx2.post(f"{fake.url}/_fake/move", data={"seconds": "3600"}).status_code == 303
    assert fake.now() == before + 3600
    subscribe(fake, customer(fake), price(fake))
    assert "active" in httpx2.get(f"{fake.url}/_fake/").text


def test_what_is_not_there_is_404(fake: FakeStripe) -> None:
    assert httpx2.get(f"{fake.url}/_fake/checkout/cs_gone").status_code == 404
