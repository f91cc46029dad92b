"""History is added to, never edited: the database itself refuses, whoever asks."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from billing.invoicing import close_period
from billing.models import PriceVersion, Statement, StatementLine, UnitPrice, UsageAllocation, UsageEvent
from billing.payments import ManualProvider
from tests.billing.people import PERIOD, on_plan_since
from tests.factories import Person, make_report, record_calls


@pytest.fixture
def issued(alice: Person) -> Statement:
    """Alice's statement of the last month, issued."""
    on_plan_since(PERIOD.start, alice)
    record_calls(make_report(alice, PERIOD.start))
    statement = close_period(alice.account, PERIOD)
    assert statement
    return ManualProvider().issue(statement)


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (UsageEvent, {"nano_cost": 0}),
        (UnitPrice, {"price": 0}),
        (PriceVersion, {"source": "somewhere else"}),
        (StatementLine, {"amount_minor": 0}),
        (UsageAllocation, {"event_id": 1}),
    ],
)
def test_a_row_of_history_cannot_be_changed_or_removed(
    issued: Statement, model: type[Model], change: dict[str, object]
) -> None:
    rows = model._default_manager.all()
    assert rows.exists()
    refusal = "history is added to, never edited"
    with pytest.raises(IntegrityError, match=f"cannot be changed: {refusal}"), transaction.atomic():
        rows.update(**change)
    with pytest.raises(IntegrityError, match=f"cannot be removed: {refusal}"), transaction.atomic():
        rows._raw_delete(rows.db)


def test_the_guard_is_on_every_months_partition_as_well(issued: Statement) -> None:
    table = f"billing_usageevent_{PERIOD.key.replace('-', '_')}"
    with (
        pytest.raises(IntegrityError, match="usageevent cannot be removed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    "change",
    [
        {"total_minor": 0},
        {"number": "TP-2026-999999"},
        {"period": "2026-01"},
        {"sequence": 9},
        {"currency": "EUR"},
        {"ends_at": datetime(2026, 1, 31, tzinfo=UTC)},
        {"finalized_at": None},
    ],
    ids=str,
)
def test_what_an_issued_statement_says_is_fixed(issued: Statement, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="what it says is fixed"), transaction.atomic():
        Statement.objects.filter(pk=issued.pk).update(**change)


def test_an_issued_statement_does_not_move_to_another_account(issued: Statement, bob: Person) -> None:
    with pytest.raises(IntegrityError, match="what it says is fixed"), transaction.atomic():
        Statement.objects.update(account=bob.account)


@pytest.mark.parametrize(
    ("first", "then"), [("finalized", "frozen"), ("paid", "finalized"), ("paid", "void"), ("void", "paid")]
)
def test_a_statement_does_not_go_back(issued: Statement, first: str, then: str) -> None:
    if first != "finalized":
        Statement.objects.update(state=first)
    with pytest.raises(IntegrityError, match=f"does not go from {first} to {then}"), transaction.atomic():
        Statement.objects.update(state=then)


def test_what_is_about_payment_can_be_written_later(issued: Statement) -> None:
    now = timezone.now()
    Statement.objects.update(state="paid", paid_at=now, due_at=now + timedelta(days=30))
    assert Statement.objects.get().paid_at == now


def test_an_issued_statement_takes_no_more_lines(issued: Statement) -> None:
    with pytest.raises(IntegrityError, match="takes no more lines"), transaction.atomic():
        StatementLine.objects.create(
            statement=issued, position=99, kind="usage", period=PERIOD.key, nano_amount=1, amount_minor=0
        )


def test_a_statement_cannot_be_removed_not_even_a_frozen_one(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    close_period(alice.account, PERIOD)
    with pytest.raises(IntegrityError, match="Void it instead"), transaction.atomic():
        Statement.objects.all()._raw_delete("default")


def test_an_event_is_billed_by_one_statement_at_most(issued: Statement) -> None:
    event = UsageEvent.objects.get()
    with pytest.raises(IntegrityError, match="billing_usageallocation_pkey"), transaction.atomic():
        UsageAllocation.objects.create(event_id=event.pk, statement=issued)
