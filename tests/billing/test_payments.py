"""Issuing by hand: numbers without gaps, due in two weeks, paid and voided by staff."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from billing.invoicing import close_due_periods, close_period
from billing.models import NumberSeries, Statement
from billing.payments import (
    ManualProvider,
    PaymentError,
    issue_frozen_statements,
    mark_paid,
    payment_provider,
    void,
)
from tests.billing.people import PERIOD, meanwhile, on_plan_since
from tests.factories import Person, make_report, record_calls


@pytest.fixture
def frozen(alice: Person) -> Statement:
    """Alice's statement of the last month: the fee of Pro."""
    on_plan_since(PERIOD.start, alice)
    statement = close_period(alice.account, PERIOD)
    assert statement
    return statement


def test_alices_statement_gets_a_number_and_two_weeks(frozen: Statement) -> None:
    issued = payment_provider().issue(frozen)
    year = timezone.now().year
    assert (issued.state, issued.number, issued.provider) == ("finalized", f"TP-{year}-000001", "manual")
    assert issued.finalized_at
    assert issued.due_at == issued.finalized_at + timedelta(days=14)
    assert issued.paid_at is None


def test_bobs_statement_of_nothing_is_paid_when_it_is_issued(bob: Person) -> None:
    record_calls(make_report(bob, PERIOD.start))
    close_due_periods()
    (issued,) = issue_frozen_statements()
    assert (issued.state, issued.total_minor, issued.paid_at) == ("paid", 0, issued.finalized_at)
    assert issued.number


def test_issuing_twice_keeps_the_first_number(frozen: Statement) -> None:
    first = ManualProvider().issue(frozen)
    assert ManualProvider().issue(frozen).number == first.number
    assert issue_frozen_statements() == []
    assert NumberSeries.objects.get().last == 1


def test_a_number_that_was_not_committed_is_given_to_the_next(frozen: Statement, bob: Person) -> None:
    with transaction.atomic():
        ManualProvider().issue(frozen)
        transaction.set_rollback(True)
    record_calls(make_report(bob, PERIOD.start))
    statement = close_period(bob.account, PERIOD)
    assert statement
    numbers = [ManualProvider().issue(each).number or "" for each in (statement, frozen)]
    assert [number[-6:] for number in numbers] == ["000001", "000002"]


@pytest.mark.django_db(transaction=True)
def test_who_issues_next_waits_for_the_number_before(frozen: Statement, bob: Person) -> None:
    record_calls(make_report(bob, PERIOD.start))
    other = close_period(bob.account, PERIOD)
    assert other
    year = timezone.now().year
    NumberSeries.objects.create(year=year)
    meanwhile(lambda: ManualProvider().issue(frozen), lambda: ManualProvider().issue(other))
    numbers = Statement.objects.order_by("number").values_list("account", "number")
    assert list(numbers) == [
        (frozen.account_id, f"TP-{year}-000001"),
        (other.account_id, f"TP-{year}-000002"),
    ]


@pytest.mark.django_db(transaction=True)
def test_two_who_issue_the_same_statement_give_it_one_number(frozen: Statement) -> None:
    meanwhile(lambda: ManualProvider().issue(frozen), lambda: ManualProvider().issue(frozen))
    assert Statement.objects.get().number == f"TP-{timezone.now().year}-000001"
    assert NumberSeries.objects.get().last == 1


def test_staff_mark_what_was_paid_once(frozen: Statement) -> None:
    issued = ManualProvider().issue(frozen)
    yesterday = timezone.now() - timedelta(days=1)
    assert mark_paid(issued, yesterday).state == "paid"
    assert mark_paid(issued).paid_at == yesterday


def test_staff_void_what_was_wrong(frozen: Statement) -> None:
    issued = ManualProvider().issue(frozen)
    assert void(issued).state == "void"
    assert void(issued).state == "void"


def test_a_statement_that_is_not_issued_cannot_be_paid_or_voided(frozen: Statement) -> None:
    for action in (mark_paid, void):
        with pytest.raises(PaymentError, match=r"is frozen\. Only an issued statement can be"):
            action(frozen)


def test_what_is_paid_cannot_be_voided(frozen: Statement) -> None:
    paid = mark_paid(ManualProvider().issue(frozen))
    with pytest.raises(PaymentError, match="is paid"):
        void(paid)


def test_what_is_void_cannot_be_paid(frozen: Statement) -> None:
    voided = void(ManualProvider().issue(frozen))
    with pytest.raises(PaymentError, match="is void"):
        mark_paid(voided)
