"""Credit notes: lines cancel exactly, freed credit can be used again, nothing is edited or billed twice."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.adjustments import waiting
from billing.credit_balances import left_of, prepaid_nano
from billing.credit_notes import PayBack, credit_statement, due_minor
from billing.creditable import CreditNoteError, left_to_credit, net_lines, preview
from billing.credits import grant_credit
from billing.invoicing import close_period
from billing.models import (
    Adjustment,
    CreditNote,
    CreditNoteLine,
    CreditSource,
    Statement,
    StatementLine,
    UsageAllocation,
)
from billing.money import NANO
from billing.payments import mark_paid, payment_provider, void
from billing.pricing import Unit
from tests.billing.people import PERIOD, meanwhile, on_plan_since, written
from tests.factories import Person, make_report, record_calls

DAY = timedelta(days=1)
MISTAKE = CreditNote.Reason.MISTAKE


def _issued(person: Person, cents: int = 0) -> Statement:
    """Issue somebody's statement of the last month: the fee of Pro, and so many cents of usage."""
    on_plan_since(PERIOD.previous.start, person)
    if cents:
        record_calls(make_report(person, PERIOD.start, {Unit.INPUT_TOKEN: cents * 500_000}))
    statement = close_period(person.account, PERIOD)
    assert statement
    return payment_provider().issue(statement)


def _line(statement: Statement, kind: str) -> UUID:
    return statement.lines.get(kind=kind).pk


def _credit(statement: Statement, asked: dict[UUID, int] | None = None, **options: object) -> CreditNote:
    facts = {"reason": MISTAKE, "reference": f"test:{CreditNote.objects.count()}"} | options
    return credit_statement(statement, asked, **facts)  # type: ignore[arg-type]


def test_crediting_all_of_a_paid_statement_cancels_it_to_the_nano_unit(alice: Person) -> None:
    """Fee 9.00 + usage 2.47 - credit 2.00 = 9.47."""
    statement = mark_paid(_issued(alice, 247))
    note = _credit(statement)
    assert (note.total_minor, note.balance_minor, note.number) == (
        947,
        947,
        f"CN-{timezone.now().year}-000001",
    )
    lines = {line.statement_line_id: (line.amount_minor, line.nano_amount) for line in note.lines.all()}
    assert lines == {line.pk: (line.amount_minor, line.nano_amount) for line in statement.lines.all()}
    assert set(left_to_credit(statement).values()) == {0}


def test_a_credit_for_usage_is_what_would_not_have_been_owed(alice: Person) -> None:
    """Of 2.47 usage 1.00 was wrong: 1.47 stay, the credit covers them, so 0.47 were owed too much."""
    statement = mark_paid(_issued(alice, 247))
    note = _credit(statement, {_line(statement, "usage"): 100})
    credited = {line.statement_line.kind: line.amount_minor for line in note.lines.all()}
    assert credited == {"usage": 100, "credit": -53}
    assert note.total_minor == 47
    assert [(line.kind, minor) for line, minor in net_lines(note)] == [("usage", 47)]


def test_prepaid_credit_that_covered_the_usage_is_free_again(alice: Person) -> None:
    """Usage 7.00 = 2.00 included + 3.00 prepaid + 2.00 owed. 4.00 credited: 2.00 money, 2.00 prepaid."""
    grant = grant_credit(
        alice.account, CreditSource.PREPAID, 3 * NANO, reference="cs_1", starts_at=PERIOD.start
    )
    statement = mark_paid(_issued(alice, 700))
    assert statement.total_minor == 1100
    note = _credit(statement, {_line(statement, "usage"): 400})
    assert note.total_minor == 200
    assert left_of(grant.pk) == prepaid_nano(alice.account) == 2 * NANO


def test_credit_of_a_grant_that_has_expired_comes_back_with_time_to_use_it(alice: Person) -> None:
    grant = grant_credit(
        alice.account, CreditSource.PREPAID, 3 * NANO,
        reference="cs_1", starts_at=PERIOD.start, expires_at=PERIOD.end,
    )  # fmt: skip
    statement = _issued(alice, 700)
    _credit(statement, {_line(statement, "usage"): 500})
    assert left_of(grant.pk) == 0
    assert prepaid_nano(alice.account) == 3 * NANO


def test_on_an_owed_statement_less_is_due(alice: Person) -> None:
    statement = _issued(alice)
    note = _credit(statement, {_line(statement, "plan"): 400}, pay_back=PayBack.REFUND)
    assert (note.due_minor, note.refund_minor) == (400, 0)
    assert due_minor(statement) == 500
    statement.refresh_from_db()
    assert (statement.state, statement.total_minor) == ("finalized", 900)


def test_a_statement_credited_to_nothing_is_paid(alice: Person) -> None:
    statement = _issued(alice)
    _credit(statement)
    statement.refresh_from_db()
    assert statement.state == "paid"


@pytest.mark.parametrize("pay_back", list(PayBack))
def test_what_was_paid_goes_back_as_olivia_says(alice: Person, pay_back: PayBack) -> None:
    note = _credit(mark_paid(_issued(alice)), pay_back=pay_back)
    split = {name: getattr(note, f"{name}_minor") for name in ("due", "refund", "out_of_band", "balance")}
    assert split == dict.fromkeys(split, 0) | {pay_back.value: 900}
    assert Adjustment.objects.exists() is (pay_back == PayBack.BALANCE)


def test_the_next_statement_takes_the_credit_off_and_what_is_left_waits(alice: Person) -> None:
    """9.00 fee and 4.50 usage beyond the credit, of which 11.50 come back: 9.00 off the next fee, 2.50 wait."""
    on_plan_since(PERIOD.previous.previous.start, alice)
    record_calls(make_report(alice, PERIOD.previous.start, {Unit.INPUT_TOKEN: 450 * 500_000}))
    first = close_period(alice.account, PERIOD.previous)
    assert first
    assert first.total_minor == 1150
    note = _credit(mark_paid(payment_provider().issue(first)))
    second = close_period(alice.account, PERIOD)
    assert second
    assert written(second)[-1] == (f"Credit note {note.number}", -900)
    assert second.total_minor == 0
    assert [left for _, left in waiting(alice.account)] == [-250]


def test_a_void_statement_gives_the_credit_back(alice: Person) -> None:
    on_plan_since(PERIOD.previous.previous.start, alice)
    record_calls(make_report(alice, PERIOD.previous.start, {Unit.INPUT_TOKEN: 300 * 500_000}))
    first = close_period(alice.account, PERIOD.previous)
    assert first
    _credit(mark_paid(payment_provider().issue(first)), {_line(first, "usage"): 100})
    second = close_period(alice.account, PERIOD)
    assert second
    assert second.total_minor == 800
    void(payment_provider().issue(second))
    assert [left for _, left in waiting(alice.account)] == [-100]


def test_usage_that_was_credited_is_not_billed_again(alice: Person) -> None:
    statement = _issued(alice, 247)
    before = UsageAllocation.objects.count()
    _credit(statement)
    assert close_period(alice.account, PERIOD) == statement
    assert UsageAllocation.objects.count() == before


def test_asking_twice_makes_one_note(alice: Person) -> None:
    statement = _issued(alice)
    assert _credit(statement, reference="x") == _credit(statement, reference="x")
    assert CreditNote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_credit_the_same_line_do_not_credit_it_twice(alice: Person) -> None:
    statement = _issued(alice)
    line = _line(statement, "plan")
    with pytest.raises(CreditNoteError, match="has 300 left"):
        meanwhile(
            lambda: _credit(statement, {line: 600}, reference="a"),
            lambda: _credit(statement, {line: 600}, reference="b"),
        )
    assert CreditNote.objects.get().total_minor == 600


@pytest.mark.parametrize("minor", [0, -1, 901])
def test_more_than_the_line_or_nothing_is_refused(alice: Person, minor: int) -> None:
    statement = _issued(alice)
    with pytest.raises(CreditNoteError, match="has 900 left to credit"):
        preview(statement, {_line(statement, "plan"): minor})


def test_credit_cannot_be_credited_by_itself(alice: Person) -> None:
    statement = _issued(alice, 247)
    with pytest.raises(CreditNoteError, match="left to credit"):
        preview(statement, {_line(statement, "credit"): 1})


def test_the_line_of_another_statement_is_refused(alice: Person, bob: Person) -> None:
    with pytest.raises(CreditNoteError):
        preview(_issued(bob, 5), {_line(_issued(alice), "plan"): 1})


def test_what_is_not_issued_or_void_or_credited_already_is_refused(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    frozen = close_period(alice.account, PERIOD)
    assert frozen
    with pytest.raises(CreditNoteError, match=r"is frozen\. Only an issued"):
        _credit(frozen)
    issued = payment_provider().issue(frozen)
    _credit(issued)
    with pytest.raises(CreditNoteError, match="is credited already"):
        _credit(issued)


def test_the_database_holds_notes_as_they_are(alice: Person) -> None:
    statement = _issued(alice)
    note = _credit(statement, {_line(statement, "plan"): 800})
    line = StatementLine.objects.get(statement=statement)
    for attempt in (
        lambda: CreditNote.objects.update(total_minor=1, due_minor=1),
        lambda: CreditNote.objects.all().delete(),
        lambda: CreditNoteLine.objects.update(amount_minor=1),
        lambda: CreditNoteLine.objects.create(
            note=_credit(statement, {line.pk: 1}), statement_line=line, amount_minor=900, nano_amount=1
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()
    CreditNote.objects.filter(pk=note.pk).update(provider_reference="cn_1", sent_at=timezone.now())
