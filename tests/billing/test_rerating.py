"""Re-rating: what differs is shown first, corrected by new rows only, and once."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.adjustments import waiting
from billing.invoicing import close_period
from billing.models import Adjustment, CreditNote, PriceVersion, Statement, UnitPrice, UsageEvent
from billing.other_prices import PriceBookError, read_price_book
from billing.payments import mark_paid, payment_provider
from billing.pricing import Unit
from billing.rerating import compare, correct
from tests.billing.people import PERIOD, on_plan_since, written
from tests.factories import CHAT_MODEL, Person, make_report, record_calls

MILLION = 1_000_000


@pytest.fixture
def cheaper(tmp_path: Path) -> str:
    """A price book where the chat model's input costs $0.01 per million instead of $0.02."""
    return _book(tmp_path, "0.01", "0.04")


def _book(folder: Path, input_price: str, output_price: str) -> str:
    price = {"input_token": input_price, "output_token": output_price}
    row = {
        "model": CHAT_MODEL,
        "upstream": "local",
        "per": MILLION,
        "price": price,
        "cost": dict.fromkeys(price, "0"),
    }
    file = folder / "book.json"
    file.write_text(json.dumps({"currency": "USD", "markup": "1.2", "prices": [row]}))
    return str(file)


def _use(person: Person, tokens: int = 250 * MILLION) -> None:
    """Use tokens of the chat model, $0.02 a million in, and 25 million out at $0.04."""
    record_calls(
        make_report(person, PERIOD.start, {Unit.INPUT_TOKEN: tokens, Unit.OUTPUT_TOKEN: 25 * MILLION})
    )


def _issued(person: Person) -> Statement:
    on_plan_since(PERIOD.previous.start, person)
    statement = close_period(person.account, PERIOD)
    assert statement
    return payment_provider().issue(statement)


def test_a_paid_statement_that_was_too_dear_is_credited(alice: Person, cheaper: str) -> None:
    """5.00 in + 1.00 out - 2.00 included = 4.00 beyond; at half the price of input 1.50, so 2.50 come back."""
    _use(alice)
    statement = mark_paid(_issued(alice))
    book = read_price_book(cheaper, "USD")
    (row,) = compare(alice.account, PERIOD, book)
    assert (row.group[0], row.group[1], row.standing_minor, row.target_minor) == (
        CHAT_MODEL,
        "input_token",
        500,
        250,
    )
    assert not CreditNote.objects.exists()
    wrote = correct(alice.account, PERIOD, book)
    (note,) = wrote.credit_notes
    assert (note.statement, note.total_minor, note.balance_minor, note.reason) == (
        statement,
        250,
        250,
        "rerating",
    )
    assert wrote.adjustments == []


def test_running_twice_with_write_does_nothing_more(alice: Person, cheaper: str) -> None:
    _use(alice)
    _issued(alice)
    book = read_price_book(cheaper, "USD")
    correct(alice.account, PERIOD, book)
    again = correct(alice.account, PERIOD, book)
    assert (again.credit_notes, again.adjustments, compare(alice.account, PERIOD, book)) == ([], [], [])
    assert CreditNote.objects.count() == 1


def test_events_are_never_edited(alice: Person, cheaper: str) -> None:
    _use(alice)
    _issued(alice)
    before = list(UsageEvent.objects.values())
    correct(alice.account, PERIOD, read_price_book(cheaper, "USD"))
    assert list(UsageEvent.objects.values()) == before


def test_what_became_dearer_stands_on_the_next_statement(alice: Person, tmp_path: Path) -> None:
    _use(alice)
    _issued(alice)
    wrote = correct(alice.account, PERIOD, read_price_book(_book(tmp_path, "0.02", "0.06"), "USD"))
    assert wrote.credit_notes == []
    assert [(row.amount_minor, row.unit) for row in wrote.adjustments] == [(50, "output_token")]
    assert compare(alice.account, PERIOD, read_price_book(_book(tmp_path, "0.02", "0.06"), "USD")) == []


def test_usage_that_is_not_billed_yet_is_corrected_on_its_own_statement(alice: Person, cheaper: str) -> None:
    """5.00 + 1.00 - 2.50 corrected = 3.50, of which 2.00 are included."""
    on_plan_since(PERIOD.previous.start, alice)
    _use(alice)
    correct(alice.account, PERIOD, read_price_book(cheaper, "USD"))
    assert [left for _, left in waiting(alice.account)] == [-250]
    statement = close_period(alice.account, PERIOD)
    assert statement
    assert [minor for _, minor in written(statement)] == [900, 500, 100, -250, -200]
    assert statement.total_minor == 1050
    assert compare(alice.account, PERIOD, read_price_book(cheaper, "USD")) == []


def test_one_price_version_can_be_named(alice: Person) -> None:
    _use(alice)
    _issued(alice)
    version = PriceVersion.objects.create(model=CHAT_MODEL, upstream="local", source="a test")
    UnitPrice.objects.create(version=version, unit=Unit.INPUT_TOKEN, price=Decimal("2e-8"))
    UnitPrice.objects.create(version=version, unit=Unit.OUTPUT_TOKEN, price=Decimal("2e-8"))
    rows = compare(alice.account, PERIOD, read_price_book(f"p{version.pk}", "USD"))
    assert [(row.group[1], row.difference) for row in rows] == [("output_token", -50)]


def test_the_book_in_force_changes_nothing(alice: Person) -> None:
    _use(alice)
    _issued(alice)
    assert compare(alice.account, PERIOD, read_price_book(f"{PERIOD.key}-15", "USD")) == []


@pytest.mark.parametrize("text", ["nowhere.json", "p999999", "last week"])
def test_a_price_book_that_is_not_there_is_refused(db: None, text: str) -> None:
    with pytest.raises(PriceBookError):
        read_price_book(text, "USD")


def _command(*arguments: str) -> str:
    out = StringIO()
    call_command("rerate", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_shows_the_difference_before_anything_is_written(alice: Person, cheaper: str) -> None:
    _use(alice)
    _issued(alice)
    asked = ("--account", "alice@example.com", "--period", PERIOD.key, "--price-book", cheaper)
    shown = _command(*asked)
    for words in (CHAT_MODEL, "$5.00", "$2.50", "-$2.50", "Nothing was written"):
        assert words in shown
    assert not CreditNote.objects.exists()
    assert "CN-" in _command(*asked, "--write")
    assert "Nothing differs" in _command(*asked, "--write")
    assert (CreditNote.objects.count(), Adjustment.objects.filter(kind="rerating").count()) == (1, 0)


@pytest.mark.parametrize(
    ("account", "period", "book"),
    [
        ("nobody@example.com", PERIOD.key, "2026-01-01"),
        ("alice@example.com", "2026-13", "2026-01-01"),
        ("alice@example.com", PERIOD.key, "x"),
    ],
)
def test_wrong_usage_exits_with_2(alice: Person, account: str, period: str, book: str) -> None:
    with pytest.raises(CommandError) as refused:
        _command("--account", account, "--period", period, "--price-book", book)
    assert refused.value.returncode == 2
