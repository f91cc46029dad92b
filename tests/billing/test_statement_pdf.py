"""The PDF says what the statement says, in English and in Korean, and is the same every time."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import translation
from pypdf import PdfReader
from pytest_django import Settings

from billing.invoicing import close_period
from billing.models import PlanVersion, PriceVersion, Statement, UnitPrice
from billing.money import Money
from billing.payments import ManualProvider, mark_paid, void
from billing.pdf import statement_pdf
from billing.pricing import Unit
from billing.subscriptions import start_subscription
from billing.wording import day, month
from tests.billing.people import PERIOD, on_plan_since
from tests.factories import CHAT_MODEL, Person, make_report, record_calls

MILLION = 1_000_000


@pytest.fixture
def seller(settings: Settings) -> None:
    """Who issues the invoices."""
    settings.SELLER_NAME = "Turnpike Ltd"
    settings.SELLER_ADDRESS = "1 Toll Road\nSpringfield"


@pytest.fixture
def issued(alice: Person, seller: None) -> Statement:
    """Alice's issued statement: $9.00 for Pro, $3.00 of usage, $2.00 of credit."""
    on_plan_since(PERIOD.start, alice)
    alice.account.name = "Alice's Bookshop"
    alice.account.billing_address = "12 Station Road\nBusan"
    alice.account.tax_id = "123-45-67890"
    alice.account.save()
    record_calls(make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 150 * MILLION}))
    return _issue(alice)


def _issue(person: Person) -> Statement:
    statement = close_period(person.account, PERIOD)
    assert statement
    return ManualProvider().issue(statement)


def _text(pdf: bytes) -> str:
    """The PDF's words, with every run of white space as one space."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


def test_alices_invoice_in_english(issued: Statement) -> None:
    text = _text(statement_pdf(issued, "en"))
    assert issued.due_at
    for words in (
        f"Invoice number {issued.number}",
        f"Billing period {month(PERIOD.key)}",
        "Turnpike Ltd 1 Toll Road Springfield",
        "Alice's Bookshop 12 Station Road Busan alice@example.com Tax ID: 123-45-67890",
        f"$10.00 due on {day(issued.due_at)}",
        f"Pro plan {month(PERIOD.key)} 1 $9.00",
        f"{CHAT_MODEL} input tokens 150,000,000 $0.02 per 1M $3.00",
        "Subtotal $12.00",
        f"Included credit, {month(PERIOD.key)} -$2.00",
        "Total $10.00",
        "Page 1 of 1",
        f"{issued.number} with your payment",
    ):
        assert words in text


def test_alices_invoice_in_korean(issued: Statement) -> None:
    text = _text(statement_pdf(issued, "ko"))
    with translation.override("ko"):
        period = month(PERIOD.key)
    assert period == f"{PERIOD.year}년 {PERIOD.month}월"
    for words in (
        issued.number or "",
        period,
        "150,000,000",
        "US$0.02",
        "US$3.00",
        "US$12.00",
        "-US$2.00",
        "US$10.00",
    ):
        assert words in text
    assert "$10.00 due" not in text


def test_an_invoice_comes_in_its_owners_language(issued: Statement, alice: Person) -> None:
    alice.user.language = "ko"
    alice.user.save()
    assert statement_pdf(issued) == statement_pdf(issued, "ko") != statement_pdf(issued, "en")


def test_the_same_statement_gives_the_same_bytes(issued: Statement) -> None:
    assert statement_pdf(issued, "ko") == statement_pdf(Statement.objects.get(), "ko")


def test_a_paid_invoice_says_when_and_a_void_one_that_nothing_is_owed(issued: Statement) -> None:
    other = Statement.objects.get()
    paid = mark_paid(issued, datetime(2026, 11, 30, tzinfo=UTC))
    assert "$10.00 paid on November 30, 2026" in _text(statement_pdf(paid, "en"))
    assert "with your payment" not in _text(statement_pdf(paid, "en"))
    other.state = Statement.State.VOID
    assert "nothing is owed for this invoice" in _text(statement_pdf(other, "en"))


def test_bobs_invoice_of_nothing_asks_for_nothing(bob: Person) -> None:
    record_calls(make_report(bob, PERIOD.start))
    text = _text(statement_pdf(_issue(bob), "en"))
    assert "$0.00: nothing to pay" in text
    assert "due" not in text.lower()


def test_a_frozen_statement_can_be_looked_at_before_it_is_issued(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    frozen = close_period(alice.account, PERIOD)
    assert frozen
    assert "$9.00, not issued yet" in _text(statement_pdf(frozen, "en"))


def test_an_interim_invoice_says_from_when_to_when(bob: Person) -> None:
    record_calls(make_report(bob, PERIOD.start))
    until = PERIOD.start + timedelta(days=9, hours=12)
    statement = close_period(bob.account, PERIOD, until=until)
    assert statement
    assert f"{PERIOD.key}-01 00:00 UTC – {PERIOD.key}-10 12:00 UTC" in _text(statement_pdf(statement, "en"))


def test_won_have_no_decimals(bob: Person) -> None:
    """Bob pays in won: 9,900 for the plan; 1,234,567 tokens at ₩27.5 per million are ₩33.95, so ₩34."""
    pro = PlanVersion.objects.current().get(plan__slug="pro")
    own = PlanVersion.objects.create(plan=pro.plan, number=2, currency="KRW", price_minor=9900)
    bob.account.currency = "KRW"
    bob.account.save()
    start_subscription(bob.account, own, at=PERIOD.start)
    price = PriceVersion.objects.create(
        model=CHAT_MODEL, upstream="local", currency="KRW", effective_from=PERIOD.start, source="a test"
    )
    UnitPrice.objects.create(version=price, unit=Unit.INPUT_TOKEN, price=Decimal("27.5e-6"))
    record_calls(make_report(bob, PERIOD.start, {Unit.INPUT_TOKEN: 1_234_567}))
    statement = _issue(bob)
    assert statement.total_minor == Money.of(9934, "KRW").minor == 9934
    for language in ("en", "ko"):
        text = _text(statement_pdf(statement, language))
        assert "₩9,934" in text
        assert "₩27.5" in text
        assert ".00" not in text


def test_a_long_invoice_goes_over_pages_and_repeats_its_headings(alice: Person) -> None:
    record_calls(
        *[
            make_report(
                alice,
                PERIOD.start,
                {Unit.COMPUTE_SECOND: (number + 1) * MILLION},
                model=f"sentence-transformers/a-model-with-a-rather-long-name-for-a-narrow-column-{number}",
                upstream="hf-router",
            )
            for number in range(80)
        ]
    )
    statement = close_period(alice.account, PERIOD)
    assert statement
    pages = PdfReader(io.BytesIO(statement_pdf(statement, "en"))).pages
    assert len(pages) >= 3
    for number, page in enumerate(pages, start=1):
        text = " ".join(page.extract_text().split())
        assert f"Page {number} of {len(pages)}" in text
        assert number == len(pages) or "Description Quantity Unit price Amount" in text


@pytest.mark.parametrize(
    "name",
    [
        '#panic("x")',
        "$1 + 1$ *bold* _it_ <a> @b",
        'quote " and \\ and \n',
        "김앨리스 & 아들",
        "{page}",
        "-" * 120,
    ],
)
def test_whatever_a_customer_is_called_is_printed_and_not_run(bob: Person, name: str) -> None:
    bob.account.name = name
    bob.account.billing_address = name
    bob.account.save()
    record_calls(make_report(bob, PERIOD.start))
    text = _text(statement_pdf(_issue(bob), "en")).replace(" ", "")
    assert "".join(name.split()) in text


def test_void_keeps_the_number(issued: Statement) -> None:
    assert issued.number
    assert issued.number in _text(statement_pdf(void(issued), "en"))
