"""Recording: each call becomes one row of the ledger, however often and by whomever it is delivered."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.ids import uuid7
from accounts.models import ApiKey
from billing.metering import Recorded, record
from billing.models import DeadEvent, RollupMark, UsageEvent
from billing.period import BillingPeriod
from billing.report import UsageReport
from tests.billing.people import meanwhile, together
from tests.factories import Person, call_id, make_failure, make_report


def _entries(*reports: UsageReport) -> list[tuple[str, bytes]]:
    return [(f"u:7:{number}", report.to_json()) for number, report in enumerate(reports)]


def _many(person: Person, count: int) -> list[tuple[str, bytes]]:
    """Entries of so many calls that differ in nothing but their ids."""
    call = make_report(person)
    return _entries(*[replace(call, rid=str(call_id(timezone.now()))) for _ in range(count)])


def test_alices_call_becomes_a_row_with_everything_that_was_reported(alice: Person) -> None:
    report = make_report(alice, stream=True, first_byte_ms=42)
    assert record(_entries(report)) == Recorded(inserted=1, known=0, dead=0)
    event = UsageEvent.objects.get()
    assert (event.request_id, event.seq, event.kind) == (report.request_id, 1, "final")
    assert (event.occurred_at, event.period) == (report.occurred_at, report.period)
    assert (event.account_id, event.api_key_id) == (alice.account.pk, alice.key.pk)
    assert (event.units, event.nano_cost, event.upstream_nano_cost) == (
        report.units,
        560,
        report.upstream_nano,
    )
    assert (event.price_version_id, event.currency) == (report.price_version, "USD")
    assert (event.stream, event.estimated, event.first_byte_ms) == (True, False, 42)
    assert abs(event.recorded_at - timezone.now()) < timedelta(minutes=1)


def test_a_batch_that_is_delivered_again_changes_nothing(alice: Person, bob: Person) -> None:
    entries = _entries(make_report(alice), make_report(bob), make_failure(bob))
    assert record(entries).inserted == 3
    before = (list(UsageEvent.objects.order_by("pk").values()), RollupMark.objects.count())
    assert record(entries) == Recorded(inserted=0, known=3, dead=0)
    assert before == (list(UsageEvent.objects.order_by("pk").values()), RollupMark.objects.count())


def test_the_same_call_twice_in_one_batch_is_one_row(alice: Person) -> None:
    report = make_report(alice)
    assert record(_entries(report, report, make_report(alice))) == Recorded(inserted=2, known=1, dead=0)


def test_a_call_settled_after_it_was_given_up_has_two_rows_and_one_charge(alice: Person) -> None:
    late = make_report(alice, kind="late")
    given_up = make_report(alice, None, {}, rid=late.rid, kind="abandoned", status=499)
    record(_entries(given_up, late, late))
    assert sorted(UsageEvent.objects.values_list("seq", "kind", "nano_cost")) == [
        (1, "abandoned", 0),
        (2, "late", 560),
    ]


@pytest.mark.parametrize(
    "broken",
    [b"", b"not json", b"{}", b"\xff\x00\xfe", b'{"rid": "a\\u0000b"}', b"[" * 100_000],
    ids=["empty", "words", "no fields", "bytes", "nul", "deep"],
)
def test_a_broken_entry_is_kept_whole_and_the_others_are_recorded(alice: Person, broken: bytes) -> None:
    entries = [("u:7:1", broken), *_entries(make_report(alice))]
    assert record(entries) == Recorded(inserted=1, known=0, dead=1)
    assert record(entries) == Recorded(inserted=0, known=1, dead=1)
    dead = DeadEvent.objects.get()
    assert dead.stream_id == "u:7:1"
    assert dead.payload.encode("utf-8")[:3] in (b"", b"not", b"{}", b"\\xf", b'{"r', b"[[[")
    assert dead.error


def test_half_a_surrogate_is_no_text_that_the_ledger_takes(alice: Person) -> None:
    poison = make_report(alice, model="half a surrogate: \ud800")
    assert record(_entries(make_report(alice), poison)) == Recorded(inserted=1, known=0, dead=1)


def test_entries_that_only_the_database_refuses_do_not_hold_up_the_others(alice: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usageevent ADD CONSTRAINT refuses CHECK (model <> 'poison')")
    entries = _entries(
        *[make_report(alice, model="poison" if number in (1, 6) else "good") for number in range(9)]
    )
    assert record(entries) == Recorded(inserted=7, known=0, dead=2)
    assert record(entries) == Recorded(inserted=0, known=7, dead=2)
    assert set(DeadEvent.objects.values_list("stream_id", flat=True)) == {"u:7:1", "u:7:6"}
    assert UsageEvent.objects.count() == 7


def test_a_call_of_an_account_that_does_not_exist_is_kept_for_a_person(alice: Person) -> None:
    stranger = make_report(alice, account=str(uuid7()))
    assert record(_entries(stranger, make_report(alice))) == Recorded(inserted=1, known=0, dead=1)
    assert "There is no account" in DeadEvent.objects.get().error


def test_nothing_is_written_when_the_transaction_dies_before_its_commit(alice: Person) -> None:
    entries = _entries(make_report(alice))
    with transaction.atomic():
        assert record(entries).inserted == 1
        transaction.set_rollback(True)
    assert not UsageEvent.objects.exists()
    assert not RollupMark.objects.exists()
    assert record(entries).inserted == 1


def test_an_empty_batch_is_fine(db: None) -> None:
    assert record([]) == Recorded(inserted=0, known=0, dead=0)


def test_a_call_of_a_month_without_a_partition_makes_one(alice: Person) -> None:
    long_ago = BillingPeriod(2021, 3)
    assert record(_entries(make_report(alice, long_ago.start))).inserted == 1
    assert UsageEvent.objects.get().period == "2021-03"


def test_alices_key_shows_her_last_call_and_never_goes_back(alice: Person) -> None:
    now = timezone.now()
    early, late = make_report(alice, now - timedelta(hours=2)), make_report(alice, now - timedelta(hours=1))
    record(_entries(late))
    record(_entries(early))
    assert ApiKey.objects.get(pk=alice.key.pk).last_used_at == late.occurred_at


def test_one_mark_says_that_a_minute_has_news(alice: Person, bob: Person) -> None:
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=3)
    calls = [
        make_report(person, minute + timedelta(seconds=at)) for person in (alice, bob) for at in range(10)
    ]
    record(_entries(*calls))
    assert set(RollupMark.objects.values_list("account_id", "minute")) == {
        (alice.account.pk, minute),
        (bob.account.pk, minute),
    }
    assert RollupMark.objects.count() == 2


def test_five_hundred_calls_take_a_handful_of_queries(
    alice: Person, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    entries = _many(alice, 500)
    with django_assert_max_num_queries(14):
        assert record(entries).inserted == 500


@pytest.mark.django_db(transaction=True)
def test_two_recorders_with_the_same_entries_in_opposite_order_write_each_once(alice: Person) -> None:
    """A third holds a row in the middle, so that both are half-way when they meet. It lets go without writing."""
    record(_many(alice, 1))  # the month's partition is known from here on: nobody waits for that
    entries = sorted(_many(alice, 60), key=lambda entry: entry[1])
    inserted: list[int] = []
    meanwhile(
        lambda: record(entries[30:31]),
        lambda: inserted.append(record(entries).inserted),
        lambda: inserted.append(record(entries[::-1]).inserted),
        keep=False,
    )
    assert sorted(inserted) == [0, 60]
    assert UsageEvent.objects.count() == 61


@pytest.mark.django_db(transaction=True)
def test_somebody_editing_alices_key_does_not_hold_up_the_ledger(alice: Person) -> None:
    with transaction.atomic():
        ApiKey.objects.select_for_update().get(pk=alice.key.pk)
        together(lambda: record(_entries(make_report(alice))))
    assert UsageEvent.objects.count() == 1
    assert ApiKey.objects.get(pk=alice.key.pk).last_used_at is None
