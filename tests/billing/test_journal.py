"""The journal: each event is booked once, and the database lets no entry commit that does not balance."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.credit_notes import PayBack, credit_statement
from billing.credits import expire_credits, grant_credit, withdraw
from billing.invoicing import close_period
from billing.journal import statement_issued, trial_balance
from billing.models import CreditNote, CreditSource, JournalEntry, JournalLine, Statement
from billing.money import NANO
from billing.payments import mark_paid, payment_provider, void
from billing.pricing import Unit
from tests.billing.people import PERIOD, on_plan_since
from tests.factories import Person, make_report, record_calls


def balances() -> dict[str, int]:
    """Debit less credit by ledger account, in cents, without those that are even."""
    rows = {str(account): debit - credit for _, account, debit, credit in trial_balance() if debit != credit}
    assert sum(rows.values()) == 0
    return rows


def _issued(person: Person, cents: int = 0) -> Statement:
    on_plan_since(PERIOD.previous.start, person)
    if cents:
        record_calls(make_report(person, PERIOD.start, {Unit.INPUT_TOKEN: cents * 500_000}))
    statement = close_period(person.account, PERIOD)
    assert statement
    return payment_provider().issue(statement)


def test_an_invoice_and_its_payment(alice: Person) -> None:
    statement = _issued(alice, 247)
    assert balances() == {"receivable": 947, "revenue": -947}
    mark_paid(statement)
    assert balances() == {"cash": 947, "revenue": -947}


def test_prepaid_credit_is_owed_until_it_is_used(alice: Person) -> None:
    grant_credit(alice.account, CreditSource.PREPAID, 5 * NANO, reference="cs_1", starts_at=PERIOD.start)
    assert balances() == {"cash": 500, "credit_liability": -500}
    _issued(alice, 500)
    assert balances() == {"cash": 500, "credit_liability": -200, "receivable": 900, "revenue": -1200}


def test_credit_that_was_given_away_is_no_cash(alice: Person) -> None:
    grant_credit(alice.account, CreditSource.PROMOTIONAL, 5 * NANO, reference="x", starts_at=PERIOD.start)
    _issued(alice, 400)
    assert balances() == {
        "promotions": 500,
        "credit_liability": -300,
        "receivable": 900,
        "revenue": -1100,
    }


@pytest.mark.parametrize(("source", "left"), [("prepaid", {"cash": 500, "breakage": -500}), ("granted", {})])
def test_credit_that_nobody_used_expires(alice: Person, source: str, left: dict[str, int]) -> None:
    grant_credit(
        alice.account, CreditSource(source), 5 * NANO,
        reference="x", starts_at=PERIOD.previous.start, expires_at=PERIOD.previous.end - timedelta(days=2),
    )  # fmt: skip
    assert expire_credits(timezone.now()) == 1
    assert expire_credits(timezone.now()) == 0
    assert balances() == left


def test_credit_that_has_just_expired_waits_for_the_statement_of_its_period(alice: Person) -> None:
    grant_credit(
        alice.account, CreditSource.PREPAID, 5 * NANO,
        reference="x", starts_at=PERIOD.start, expires_at=PERIOD.end - timedelta(days=2),
    )  # fmt: skip
    on_plan_since(PERIOD.previous.start, alice)
    record_calls(make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 400 * 500_000}))
    assert expire_credits(timezone.now()) == 0
    close_period(alice.account, PERIOD)
    assert expire_credits(timezone.now()) == 1
    assert balances() == {"cash": 500, "revenue": -200, "breakage": -300}


def test_a_top_up_that_was_charged_back(alice: Person) -> None:
    grant = grant_credit(alice.account, CreditSource.PREPAID, 5 * NANO, reference="cs_1")
    withdraw(grant, 5 * NANO, note="charged back")
    assert balances() == {}


def test_a_void_statement_books_everything_back(alice: Person) -> None:
    grant_credit(alice.account, CreditSource.PREPAID, 5 * NANO, reference="cs_1", starts_at=PERIOD.start)
    void(_issued(alice, 400))
    assert balances() == {"cash": 500, "credit_liability": -500}


def test_a_credit_note_on_what_is_owed_and_the_payment_of_the_rest(alice: Person) -> None:
    statement = _issued(alice)
    plan = statement.lines.get().pk
    credit_statement(statement, {plan: 400}, reason=CreditNote.Reason.SERVICE, reference="x")
    assert balances() == {"receivable": 500, "refunds": 400, "revenue": -900}
    mark_paid(statement)
    assert balances() == {"cash": 500, "refunds": 400, "revenue": -900}


def test_a_refund_and_a_balance(alice: Person) -> None:
    statement = mark_paid(_issued(alice))
    plan = statement.lines.get().pk
    facts = {"reason": CreditNote.Reason.SERVICE}
    credit_statement(statement, {plan: 400}, pay_back=PayBack.REFUND, reference="a", **facts)
    credit_statement(statement, {plan: 300}, pay_back=PayBack.BALANCE, reference="b", **facts)
    assert balances() == {"cash": 500, "customer_balance": -300, "refunds": 700, "revenue": -900}


def test_the_balance_is_used_by_the_next_statement(alice: Person) -> None:
    on_plan_since(PERIOD.previous.previous.start, alice)
    first = close_period(alice.account, PERIOD.previous)
    assert first
    paid = mark_paid(payment_provider().issue(first))
    credit_statement(paid, reason=CreditNote.Reason.SERVICE, reference="x")
    second = close_period(alice.account, PERIOD)
    assert second
    payment_provider().issue(second)
    assert balances() == {"cash": 900, "refunds": 900, "revenue": -1800}


def test_an_event_is_booked_once(alice: Person) -> None:
    statement = _issued(alice)
    statement_issued(statement)
    assert JournalEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("credit", [None, 99, 101])
def test_an_entry_that_does_not_balance_cannot_be_committed(alice: Person, credit: int | None) -> None:
    other: dict[str, Any] = {} if credit is None else {"revenue": {"credit_minor": credit}}
    with pytest.raises(IntegrityError, match="does not balance"):
        _entry(alice, cash={"debit_minor": 100}, **other)
    assert not JournalEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_dollars_do_not_balance_won(alice: Person) -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        _entry(alice, cash={"debit_minor": 100}, revenue={"credit_minor": 100, "currency": "KRW"})


@pytest.mark.django_db(transaction=True)
def test_an_entry_without_lines_cannot_be_committed(alice: Person) -> None:
    with pytest.raises(IntegrityError, match="has no lines"):
        JournalEntry.objects.create(kind="payment", reference="x", account=alice.account)


def test_nobody_edits_the_journal(alice: Person) -> None:
    _issued(alice)
    for attempt in (
        lambda: JournalEntry.objects.update(memo="x"),
        lambda: JournalLine.objects.update(currency="EUR"),
        lambda: JournalLine.objects.all().delete(),
    ):
        with pytest.raises(IntegrityError, match="never edited"), transaction.atomic():
            attempt()


@transaction.atomic
def _entry(person: Person, **sides: dict[str, Any]) -> None:
    """Write an entry of these sides, by ledger account, and commit."""
    entry = JournalEntry.objects.create(kind="payment", reference="x", account=person.account)
    for name, side in sides.items():
        JournalLine.objects.create(entry=entry, ledger_account=name, **{"currency": "USD"} | side)
