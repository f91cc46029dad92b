"""Reconciliation: green where everything agrees, red for a seeded cent anywhere, closed by somebody with a note."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billing import alarms
from billing.credits import grant_credit
from billing.invoicing import close_period
from billing.ledger import ledger_totals
from billing.models import (
    CreditSource,
    Discrepancy,
    NumberSeries,
    ReconciliationRun,
    UsageEvent,
    UsageHour,
    UsagePeriod,
)
from billing.money import NANO
from billing.payments import mark_paid, payment_provider
from billing.pricing import Unit
from billing.reconciliation import CounterReading, Evidence, close_discrepancy, open_discrepancies, reconcile
from tests.billing.people import PERIOD, on_plan_since
from tests.factories import Person, make_failure, make_report, record_calls

CENT = NANO // 100


@pytest.fixture
def books(alice: Person, bob: Person) -> Evidence:
    """Alice paid her statement of last month, Bob's was covered by credit; the counters say what they should."""
    on_plan_since(PERIOD.previous.start, alice)
    grant_credit(bob.account, CreditSource.PREPAID, 5 * NANO, reference="cs_1", starts_at=PERIOD.start)
    for person in (alice, bob):
        units = {Unit.INPUT_TOKEN: 150_000_000, Unit.OUTPUT_TOKEN: 7}
        record_calls(make_report(person, PERIOD.start, units), make_failure(person, PERIOD.start))
        statement = close_period(person.account, PERIOD)
        assert statement
        issued = payment_provider().issue(statement)
        if issued.total_minor:
            mark_paid(issued)
    return Evidence([_reading(person) for person in (alice, bob)])


def _reading(person: Person, calls: int = 0, nano: int = 0) -> CounterReading:
    """What the meter says of somebody: the ledger's own totals, and so much more."""
    account = str(person.account.pk)
    ledger = ledger_totals(account, PERIOD.key)
    counted = (ledger[0] + calls, ledger[1] + nano)
    return CounterReading(account, counted, ledger, counted)


def _open() -> set[str]:
    return {row.check_name for row in open_discrepancies()}


def test_everything_agrees(books: Evidence) -> None:
    run = reconcile(PERIOD, books)
    assert (run.found, _open()) == (0, set())
    assert run.finished_at
    assert set(run.compared) == set(Discrepancy.Check.values)
    assert all(count > 0 for count in run.compared.values()), run.compared


def _sql(statement: str) -> None:
    """Do what nobody may: the guards are off for a moment, as for somebody with the database's password."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


_ONE_CENT: dict[str, tuple[str, Callable[[], Any]]] = {
    "the period total": ("rollups", lambda: UsagePeriod.objects.update(nano_cost=3_000_000_280 + CENT)),
    "an hourly total": ("rollups", lambda: UsageHour.objects.filter(nano_cost__gt=0).update(nano_cost=CENT)),
    "an event": (
        "rollups",
        lambda: _sql(f"UPDATE billing_usageevent SET nano_cost = nano_cost + {CENT} WHERE status = 200"),
    ),
    "a statement's total": (
        "totals",
        lambda: _sql("UPDATE billing_statement SET total_minor = total_minor + 1 WHERE total_minor > 0"),
    ),
    "a statement's line": (
        "totals",
        lambda: _sql("UPDATE billing_statementline SET amount_minor = amount_minor + 1 WHERE kind = 'usage'"),
    ),
    "a statement's number": ("provider", lambda: NumberSeries.objects.update(last=3)),
    "a payment in the journal": (
        "journal",
        lambda: _sql(
            "UPDATE billing_journalline SET credit_minor = credit_minor + 1 "
            "WHERE ledger_account = 'receivable' AND credit_minor > 0"
        ),
    ),
    "a grant": (
        "credit",
        lambda: _sql(f"UPDATE billing_creditgrant SET nano_amount = nano_amount + {CENT}"),
    ),
    "an upstream cost": (
        "upstream",
        lambda: _sql(
            f"UPDATE billing_usageevent SET upstream_nano_cost = upstream_nano_cost + {CENT} WHERE status = 200"
        ),
    ),
}


@pytest.mark.parametrize("where", _ONE_CENT)
def test_one_cent_of_drift_turns_reconciliation_red(books: Evidence, where: str) -> None:
    check, drift = _ONE_CENT[where]
    drift()
    assert reconcile(PERIOD, books).found
    # The upstream's bill is of no account: it is a row of its own.
    assert _open() - {"upstream"} == {"rollups" if check == "upstream" else check}
    rows = [(row.check_name, row.account_id) for row in open_discrepancies()]
    assert len(rows) == len(set(rows)), rows  # one for each account that drifted, however many checks see it


@pytest.mark.parametrize("drift", [{"nano": CENT}, {"nano": -CENT}, {"calls": 1}, {"calls": -1}])
def test_a_counter_that_drifted_is_found(books: Evidence, alice: Person, drift: dict[str, int]) -> None:
    reconcile(PERIOD, Evidence([_reading(alice, **drift)]))
    assert [(row.check_name, row.account) for row in open_discrepancies()] == [("counters", alice.account)]


def test_counters_that_move_meanwhile_are_no_drift(books: Evidence, alice: Person) -> None:
    before = _reading(alice)
    busy = CounterReading(
        before.account_id, before.first, (before.ledger[0] + 1, before.ledger[1] + 5), (9, 9 * NANO)
    )
    assert busy.agrees
    assert not reconcile(PERIOD, Evidence([busy])).found


def test_a_call_that_no_statement_bills_is_found(books: Evidence, alice: Person) -> None:
    record_calls(make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 500_000}))
    UsageEvent.objects.order_by("-pk").first()
    _sql("UPDATE billing_usageevent SET recorded_at = occurred_at")
    reconcile(PERIOD, Evidence([_reading(alice)]))
    row = open_discrepancies()[0]  # type: ignore[index]
    assert (row.check_name, row.found, row.unit) == ("statements", CENT, "nano USD")


@pytest.mark.parametrize(
    ("billed", "red"), [("1.00", False), ("1.01", False), ("1.02", True), ("0.50", True)]
)
def test_the_upstreams_own_bill_is_compared_within_one_percent(
    books: Evidence, alice: Person, billed: str, red: bool
) -> None:
    _sql("UPDATE billing_usagehour SET upstream_nano_cost = 500000000 WHERE nano_cost > 0")
    differences = reconcile(PERIOD, Evidence(upstream_bills={"local": int(float(billed) * NANO)}))
    assert differences
    assert ("upstream" in _open()) is red


def test_a_difference_stays_one_row_until_olivia_closes_it(books: Evidence) -> None:
    UsagePeriod.objects.filter(nano_cost__gt=0).update(nano_cost=1)
    reconcile(PERIOD, books)
    reconcile(PERIOD, books)
    rows = list(open_discrepancies())
    assert len(rows) == 2  # Alice's and Bob's
    assert not alarms.checks(timezone.now())[-1].fine
    for row in rows:
        close_discrepancy(row, "A test wrote this.", "olivia@example.com")
    reconcile(PERIOD, books)
    assert _open() == set()
    assert alarms.checks(timezone.now())[-1].fine


def test_a_closed_difference_that_changes_is_a_new_one(books: Evidence, alice: Person) -> None:
    mine = UsagePeriod.objects.filter(account=alice.account)
    mine.update(nano_cost=1)
    reconcile(PERIOD, books)
    close_discrepancy(Discrepancy.objects.get(), "A test wrote this.", "olivia@example.com")
    mine.update(nano_cost=2)
    reconcile(PERIOD, books)
    assert [row.found for row in open_discrepancies()] == [2]
    assert ReconciliationRun.objects.count() == 2


def test_nothing_is_closed_without_a_note(books: Evidence) -> None:
    UsagePeriod.objects.update(nano_cost=1)
    reconcile(PERIOD, books)
    with pytest.raises(IntegrityError), transaction.atomic():
        close_discrepancy(next(iter(open_discrepancies())), "", "olivia@example.com")
