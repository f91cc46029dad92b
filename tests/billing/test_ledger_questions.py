"""What a window's calls cost, out of totals: the same as out of the calls, without reading them all."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from accounts.keys import issue_key
from billing.budget_window import BudgetWindow, Window
from billing.ledger import counted_nano, spent_nano
from billing.models import UsageHour
from tests.billing.people import PERIOD
from tests.factories import Person, make_report, record_calls

NOON = PERIOD.start + timedelta(days=9, hours=12)
ZONES = [
    "UTC",
    "Asia/Seoul",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
]  # +0, +9, +5:30, +5:45, -3:30


def _between(start: datetime, end: datetime) -> BudgetWindow:
    return BudgetWindow(start, end, Window.DAY)


@pytest.fixture
def busy_days(alice: Person) -> Person:
    """Alice's calls of a week by two keys, many of them at the very ends of hours."""
    chance = random.Random(20261127)
    other, _ = issue_key(alice.account, "another")
    moments = [NOON + timedelta(seconds=chance.randrange(-4 * 86_400, 4 * 86_400)) for _ in range(150)]
    for hours in range(-36, 36):  # the last moment of an hour, its first, and those of odd zones' days
        hour = (NOON + timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
        moments += [hour + timedelta(minutes=minutes) for minutes in (0, 15, 30, 45)]
        moments.append(hour - timedelta(milliseconds=1))
    record_calls(
        *(make_report(alice, at, key=str(chance.choice([alice.key.pk, other.pk]))) for at in moments)
    )
    return alice


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("window", list(Window))
def test_a_budgets_window_costs_the_same_out_of_totals(busy_days: Person, window: Window, zone: str) -> None:
    account, keys = str(busy_days.account.pk), [str(busy_days.key.pk)]
    stretch = BudgetWindow.containing(NOON, window, zone)
    assert counted_nano(account, stretch) == spent_nano(account, stretch) > 0
    assert counted_nano(account, stretch, keys) == spent_nano(account, stretch, keys) > 0
    assert counted_nano(account, stretch, []) == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (0, 60), (10, 50), (10, 60), (0, 50), (59, 61), (10, 130), (0, 180), (30, 30)],
)
def test_so_does_a_stretch_of_any_minutes(busy_days: Person, start: int, end: int) -> None:
    stretch = _between(NOON + timedelta(minutes=start), NOON + timedelta(minutes=end))
    account = str(busy_days.account.pk)
    assert counted_nano(account, stretch) == spent_nano(account, stretch)


def test_whole_hours_are_read_from_totals_and_only_the_rest_from_calls(busy_days: Person) -> None:
    """The totals are broken on purpose, so that they show where they were read."""
    account = str(busy_days.account.pk)
    UsageHour.objects.update(nano_cost=0)
    stretch = _between(NOON - timedelta(minutes=30), NOON + timedelta(hours=5, minutes=30))
    first, last = replace(stretch, end=NOON), replace(stretch, start=NOON + timedelta(hours=5))
    assert counted_nano(account, stretch) == spent_nano(account, first) + spent_nano(account, last)
    assert counted_nano(account, BudgetWindow.containing(NOON, Window.MONTH, "UTC")) == 0
    assert counted_nano(account, BudgetWindow.containing(NOON, Window.LIFETIME, "UTC")) == 0


def test_bob_pays_for_none_of_it(busy_days: Person, bob: Person) -> None:
    assert counted_nano(str(bob.account.pk), BudgetWindow.containing(NOON, Window.LIFETIME, "UTC")) == 0
