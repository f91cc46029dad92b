"""Roll-up: the totals equal the events, whatever arrives when and however often it runs.

The month of most cases is over, so that their hours are counted from their events. Hours that still fill, which are put
together of minutes: `test_roll_up_of_hours_that_fill.py`.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum

from billing import aggregation
from billing.aggregation import rebuild, roll_up
from billing.metering import record
from billing.models import RollupMark, UsageHour, UsagePeriod
from billing.pricing import Unit
from tests.billing.people import PERIOD
from tests.billing.totals import totals_by_hand, totals_in_tables
from tests.factories import EMBEDDING_MODEL, Person, make_failure, make_report, record_calls


def _rows() -> list[dict[str, Any]]:
    """Every total with all its columns, by id: the models' own order leaves rows of one hour to the database."""
    hours, periods = UsageHour.objects.order_by("pk"), UsagePeriod.objects.order_by("pk")
    return [dict(row) for row in (*hours.values(), *periods.values())]


def _some_calls(alice: Person, bob: Person) -> None:
    start = PERIOD.start
    late = make_report(bob, start + timedelta(hours=5), kind="late")
    record_calls(
        *[make_report(alice, start + timedelta(minutes=17 * number)) for number in range(40)],
        *[make_report(bob, start + timedelta(minutes=31 * number)) for number in range(20)],
        make_report(alice.account, start),  # without a key
        make_report(alice, start, {Unit.INPUT_TOKEN: 900}, model=EMBEDDING_MODEL, task="feature-extraction"),
        make_report(
            alice, start, {Unit.COMPUTE_SECOND: 1_500_000}, model="BAAI/bge-m3", upstream="hf-router"
        ),
        make_failure(bob, start),
        make_failure(bob, start, status=404),
        make_report(bob, start, {}, rid=late.rid, kind="abandoned", status=499),
        late,
    )


def test_hours_equal_the_events(alice: Person, bob: Person) -> None:
    _some_calls(alice, bob)
    assert totals_in_tables() == totals_by_hand()
    assert not RollupMark.objects.exists()


def test_the_period_is_the_sum_of_its_hours(alice: Person, bob: Person) -> None:
    _some_calls(alice, bob)
    for person in (alice, bob):
        total = UsagePeriod.objects.get(account=person.account, period=PERIOD.key, currency="USD")
        hours = UsageHour.objects.filter(account=person.account).aggregate(
            calls=Sum("calls"), charged=Sum("charged_calls"), failures=Sum("failures"), nano=Sum("nano_cost")
        )
        assert hours == {
            "calls": total.calls,
            "charged": total.charged_calls,
            "failures": total.failures,
            "nano": total.nano_cost,
        }


def test_bobs_call_that_was_given_up_and_settled_late_is_one_call(alice: Person, bob: Person) -> None:
    late = make_report(bob, PERIOD.start, kind="late")
    record_calls(make_report(bob, PERIOD.start, {}, rid=late.rid, kind="abandoned", status=499), late)
    total = UsagePeriod.objects.get()
    assert (total.calls, total.charged_calls, total.failures, total.nano_cost) == (1, 1, 1, 560)


def test_a_second_call_in_an_hour_is_added_by_counting_the_hour_again(alice: Person) -> None:
    record_calls(make_report(alice, PERIOD.start))
    record_calls(make_report(alice, PERIOD.start + timedelta(minutes=59, seconds=59)))
    hour = UsageHour.objects.get()
    assert (hour.calls, hour.nano_cost, hour.quantities) == (2, 1120, {"input_token": 24, "output_token": 16})


def test_running_again_changes_nothing(alice: Person, bob: Person) -> None:
    _some_calls(alice, bob)
    before = _rows()
    RollupMark.objects.bulk_create(
        RollupMark(account_id=row.account_id, minute=row.hour) for row in UsageHour.objects.all()
    )
    assert roll_up() > 0
    assert roll_up() == 0
    assert before == _rows()


def test_an_hour_is_counted_once_for_all_its_marks_and_the_next_hour_waits(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "HOURS_AT_ONCE", 1)
    for number in range(3):
        calls = [make_report(alice, PERIOD.start + timedelta(hours=hour)) for hour in (0, 1)]
        record([(f"u:{number}:{position}", call.to_json()) for position, call in enumerate(calls)])
    assert [roll_up(), RollupMark.objects.count(), roll_up(), roll_up()] == [1, 3, 1, 0]
    assert UsagePeriod.objects.get().calls == 6


def test_catching_up_counts_what_had_news_when_it_began_and_ends(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round brings another hour's news, as on a busy day."""
    later = iter(range(10, 20))
    count = aggregation.roll_up

    def while_calls_go_on() -> int:
        call = make_report(alice, PERIOD.start + timedelta(hours=next(later)))
        record([(call.rid, call.to_json())])
        return count()

    monkeypatch.setattr(aggregation, "HOURS_AT_ONCE", 1)
    monkeypatch.setattr(aggregation, "roll_up", while_calls_go_on)
    for hour in range(3):
        call = make_report(alice, PERIOD.start + timedelta(hours=hour))
        record([(call.rid, call.to_json())])
    assert aggregation.catch_up() == 3
    assert set(UsageHour.objects.values_list("hour", flat=True)) == {
        PERIOD.start + timedelta(hours=hour) for hour in range(3)
    }
    assert RollupMark.objects.count() == 3


def test_rebuilding_repairs_totals_that_somebody_broke(alice: Person, bob: Person) -> None:
    _some_calls(alice, bob)
    right = totals_in_tables()
    UsageHour.objects.filter(account=alice.account).update(nano_cost=1, model="nonsense")
    rebuild(alice.account, PERIOD)
    assert totals_in_tables() == right
    assert UsagePeriod.objects.get(account=alice.account).nano_cost == sum(
        totals[3] for key, totals in right.items() if key[0] == alice.account.pk
    )


def test_rebuilding_a_period_without_calls_leaves_no_totals(alice: Person) -> None:
    rebuild(alice.account, PERIOD)
    assert not UsagePeriod.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_one_roll_up_runs_another_leaves_the_marks_to_it(alice: Person) -> None:
    record([("u:1", make_report(alice, PERIOD.start).to_json())])
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x7475_726E_726F_6C6C])
            assert roll_up() == 0
            assert RollupMark.objects.count() == 1
            cursor.execute("COMMIT")
    finally:
        other.close()
    assert roll_up() == 1


@pytest.mark.django_db(transaction=True)
def test_a_roll_up_that_dies_leaves_its_marks_to_the_next(alice: Person) -> None:
    record([("u:1", make_report(alice, PERIOD.start).to_json())])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usageperiod ADD CONSTRAINT no_more CHECK (calls < 0) NOT VALID")
    try:
        with pytest.raises(Exception, match="no_more"):
            roll_up()
        assert RollupMark.objects.count() == 1
        assert not UsageHour.objects.exists()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE billing_usageperiod DROP CONSTRAINT no_more")
    assert roll_up() == 1
    assert UsagePeriod.objects.get().calls == 1
