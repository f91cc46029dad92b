"""The ledger's months: made early by a tick, in time by the writer, once whoever asks."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing import partitions, tasks
from billing.partitions import ensure_partitions
from billing.period import BillingPeriod
from tests.billing.people import together

NOW = BillingPeriod.containing(timezone.now())


def _months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'billing_usageevent'::regclass"
        )
        return {name.removeprefix("billing_usageevent_").replace("_", "-") for (name,) in cursor.fetchall()}


def test_migrating_makes_the_months_around_now(db: None) -> None:
    assert {NOW.previous.key, NOW.key, NOW.next.key} <= _months()


def test_the_tick_makes_the_next_three_months(db: None) -> None:
    tasks.ensure_partitions()
    assert {NOW.key, NOW.next.key, NOW.next.next.key, NOW.next.next.next.key} <= _months()


def test_a_month_is_made_once(db: None) -> None:
    month = BillingPeriod(2035, 12)
    assert ensure_partitions([month, month]) == 1
    assert ensure_partitions([month]) == 0
    assert "2035-12" in _months()


def test_a_month_that_was_rolled_back_is_made_again(db: None) -> None:
    month = BillingPeriod(2035, 11)
    with transaction.atomic():
        assert ensure_partitions([month]) == 1
        transaction.set_rollback(True)
    assert ensure_partitions([month]) == 1


@pytest.mark.django_db(transaction=True)
def test_two_writers_that_need_the_same_new_month_do_not_collide() -> None:
    month = BillingPeriod.containing(timezone.now() + timedelta(days=4000))
    made: list[int] = []
    together(*[lambda: made.append(ensure_partitions([month])) for _ in range(4)])
    try:
        assert sum(made) == 1
    finally:
        partitions._known.discard(month)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE billing_usageevent_{month.key.replace('-', '_')}")
