"""Roll-up of hours that still fill: put together of minutes, and as exact as all the others."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.utils import timezone

from billing import aggregation, aggregation_queries
from billing.aggregation import rebuild, roll_up
from billing.metering import record
from billing.models import UsageHour, UsageMinute, UsagePeriod
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.report import UsageReport
from tests.billing.totals import totals_by_hand, totals_in_tables
from tests.factories import EMBEDDING_MODEL, Person, make_failure, make_report, record_calls

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def hour() -> datetime:
    """The hour before this one: over, so that all its minutes can have calls, and still filling."""
    return timezone.now().replace(minute=0, second=0, microsecond=0) - HOUR


def _record(*reports: UsageReport) -> None:
    record([(report.rid, report.to_json()) for report in reports])


def _of_many_kinds(alice: Person, bob: Person, at: datetime) -> list[UsageReport]:
    late = make_report(bob, at, kind="late")
    return [
        make_report(alice, at),
        make_report(alice.account, at),  # without a key
        make_report(alice, at, {Unit.INPUT_TOKEN: 900}, model=EMBEDDING_MODEL, task="feature-extraction"),
        make_failure(bob, at),
        make_report(bob, at, {}, rid=late.rid, kind="abandoned", status=499),
        late,
    ]


def _spoil(minute: datetime) -> None:
    """Break a minute's total, so that it shows whether the minute is counted again."""
    assert UsageMinute.objects.filter(minute=minute).update(nano_cost=1_000_000)


def _all_hours_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "STILL_FILLS", -2 * HOUR)


def test_an_hour_is_the_sum_of_its_minutes(alice: Person, bob: Person, hour: datetime) -> None:
    for minute in (0, 1, 59):
        record_calls(*_of_many_kinds(alice, bob, hour + minute * MINUTE))
    assert totals_in_tables() == totals_by_hand()
    assert set(UsageMinute.objects.values_list("minute", flat=True)) == {
        hour + minute * MINUTE for minute in (0, 1, 59)
    }


def test_whatever_arrives_when_the_totals_equal_the_events(alice: Person, bob: Person) -> None:
    """Calls of four hours, the older two of which have ended, in any order, a few at a time."""
    seed = random.SystemRandom().randrange(1_000_000)
    chance, now = random.Random(seed), timezone.now()
    for batch in range(25):
        calls: Sequence[UsageReport] = [
            make_report(chance.choice([alice, bob]), now - chance.random() * 4 * HOUR)
            for _ in range(chance.randrange(1, 6))
        ]
        record_calls(*calls)
        assert totals_in_tables() == totals_by_hand(), f"seed {seed}, batch {batch}"


def test_news_of_a_busy_hour_counts_the_minute_and_no_other(alice: Person, hour: datetime) -> None:
    record_calls(make_report(alice, hour), make_report(alice, hour + 7 * MINUTE))
    _spoil(hour)
    record_calls(make_report(alice, hour + 7 * MINUTE))
    total = UsageHour.objects.get()
    assert (total.calls, total.nano_cost) == (3, 1_000_000 + 2 * 560)
    record_calls(make_report(alice, hour))
    assert totals_in_tables() == totals_by_hand()


def test_rebuilding_counts_the_minutes_again_too(alice: Person, hour: datetime) -> None:
    record_calls(make_report(alice, hour), make_report(alice, hour + MINUTE))
    _spoil(hour)
    UsageMinute.objects.filter(minute=hour + MINUTE).update(model="nonsense")
    rebuild(alice.account, BillingPeriod.containing(hour))
    record_calls(make_report(alice, hour + 2 * MINUTE))
    assert totals_in_tables() == totals_by_hand()
    assert UsagePeriod.objects.get().nano_cost == 3 * 560


def test_an_hour_that_has_ended_is_counted_from_its_calls(
    alice: Person, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_calls(make_report(alice, hour), make_report(alice, hour + 7 * MINUTE))
    _spoil(hour)
    _all_hours_have_ended(monkeypatch)
    record_calls(make_report(alice, hour + 9 * MINUTE))
    assert totals_in_tables() == totals_by_hand()
    assert not UsageMinute.objects.filter(minute=hour + 9 * MINUTE).exists()


def test_minutes_go_when_nobody_needs_them_and_no_sooner(
    alice: Person, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "STILL_FILLS", 9 * HOUR)
    record_calls(make_report(alice, hour - 8 * HOUR))
    monkeypatch.undo()
    assert not UsageMinute.objects.exists(), "older than MINUTES_KEPT"
    record_calls(make_report(alice, hour))
    record_calls(make_report(alice, hour + MINUTE), make_report(alice, hour - 8 * HOUR))
    assert UsageMinute.objects.count() == 2
    assert totals_in_tables() == totals_by_hand()


def test_a_roll_up_that_dies_leaves_minutes_as_they_were(alice: Person, hour: datetime) -> None:
    _record(make_report(alice, hour))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregation_queries, "WRITE_PERIODS", "SELECT 1 / 0 -- %s %s %s")
        with pytest.raises(Exception, match="division by zero"):
            roll_up()
    assert not UsageMinute.objects.exists()
    assert roll_up() == 1
    assert totals_in_tables() == totals_by_hand()


def test_hours_that_were_counted_by_the_release_before_lose_nothing(
    alice: Person, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        _all_hours_have_ended(before)  # it counted whole hours, and left no minutes
        record_calls(make_report(alice, hour), make_report(alice, timezone.now()))
    assert not UsageMinute.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute(
            import_module("billing.migrations.0017_minutes_of_hours_that_fill").MARK_HOURS_THAT_FILL
        )
    record_calls(make_report(alice, hour + 9 * MINUTE), make_report(alice, timezone.now()))
    assert totals_in_tables() == totals_by_hand()
    assert UsageHour.objects.filter(hour=hour).get().calls == 2
