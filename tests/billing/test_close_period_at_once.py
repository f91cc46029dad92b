"""Closing while others close and record: one statement, and each call billed once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Sum

from billing.invoicing import close_due_periods, close_period
from billing.metering import record
from billing.models import Statement, StatementLine, UsageAllocation, UsageEvent
from billing.payments import issue_frozen_statements
from tests.billing.people import PERIOD, on_plan_since, together
from tests.factories import Person, call_id, make_report, record_calls

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_closers_at_once_make_one_statement(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    record_calls(*[make_report(alice, PERIOD.start + timedelta(hours=hour)) for hour in range(50)])
    found: list[Statement | None] = []
    together(*[lambda: found.append(close_period(alice.account, PERIOD)) for _ in range(4)])
    statement = Statement.objects.get()
    assert found == [statement] * 4
    assert UsageAllocation.objects.filter(statement=statement).count() == 50
    assert statement.lines.filter(kind="plan").count() == 1


def test_two_ticks_at_once_close_everybody_once_and_number_without_gaps(
    alice: Person, bob: Person, mallory: Person
) -> None:
    people = [alice, bob, mallory]
    on_plan_since(PERIOD.start, alice)
    record_calls(*[make_report(person, PERIOD.start) for person in people])
    together(close_due_periods, close_due_periods)
    together(issue_frozen_statements, issue_frozen_statements, issue_frozen_statements)
    statements = Statement.objects.order_by("number")
    assert {statement.account for statement in statements} == {person.account for person in people}
    assert [(statement.number or "")[-6:] for statement in statements] == ["000001", "000002", "000003"]


def test_usage_that_is_recorded_while_parts_are_closed_is_billed_once(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    call = make_report(alice, PERIOD.start + timedelta(hours=1))
    calls = [replace(call, rid=str(call_id(call.occurred_at))) for _ in range(200)]
    entries = [(f"u:{call.rid}", call.to_json()) for call in calls]

    def record_all() -> None:
        for start in range(0, 200, 20):
            record(entries[start : start + 20])

    def close_in_parts() -> None:
        for day in range(1, 20):
            close_period(alice.account, PERIOD, until=PERIOD.start + timedelta(days=day))

    together(record_all, close_in_parts, close_in_parts)
    close_period(alice.account, PERIOD)
    assert UsageAllocation.objects.count() == UsageEvent.objects.count() == 200
    billed = StatementLine.objects.filter(kind="usage").aggregate(nano=Sum("nano_amount"))["nano"]
    assert billed == 200 * call.nano
    assert StatementLine.objects.filter(kind="plan").count() == 1
