"""Budgets: rows that say what an account, a member or a key may spend, and what was spent of it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.keys import issue_key
from accounts.models import Membership
from billing.budget_window import Window
from billing.budgets import (
    budget_use,
    end_budget,
    pay_as_you_go_cap,
    set_budget,
    set_pay_as_you_go_cap,
)
from billing.models import Budget, EntitlementOverride
from billing.plan_in_force import plan_version_of
from billing.pricing import Unit
from tests.factories import Person, make_report, record_calls

MILLION_OUT = {Unit.OUTPUT_TOKEN: 1_000_000}  # $0.04 on the local model
COST = 40_000_000


# --- Rows ----------------------------------------------------------------------------------------


def test_another_limit_is_another_row_and_the_old_one_stays(alice: Person) -> None:
    first = set_budget(alice.account, Window.DAY, 5, by=alice.user)
    second = set_budget(alice.account, Window.DAY, 9, by=alice.user)
    first.refresh_from_db()
    assert first.ended_at == second.created_at
    assert [budget.limit_nano for budget in Budget.objects.in_force()] == [9]
    assert Budget.objects.count() == 2


def test_setting_what_holds_already_writes_nothing(alice: Person) -> None:
    assert set_budget(alice.account, Window.DAY, 5) == set_budget(alice.account, Window.DAY, 5)
    assert Budget.objects.count() == 1


def test_windows_and_keys_have_budgets_beside_each_other(alice: Person) -> None:
    other, _ = issue_key(alice.account, "Server")
    for key in (None, alice.key, other):
        for window in Window:
            set_budget(alice.account, window, 5, key=key)
    assert Budget.objects.in_force().count() == 12
    assert Budget.objects.of_key(alice.key).count() == 8


def test_ending_a_budget_twice_keeps_the_first_moment(alice: Person) -> None:
    budget = end_budget(set_budget(alice.account, Window.DAY, 5))
    assert end_budget(budget).ended_at == budget.ended_at
    assert not Budget.objects.in_force().exists()


def test_a_key_of_somebody_else_gets_no_budget_here(alice: Person, bob: Person) -> None:
    with pytest.raises(ValidationError, match="another account"):
        set_budget(alice.account, Window.DAY, 5, key=bob.key)


@pytest.mark.parametrize(
    "thresholds", [[0], [101], [80, 50], [50, 50], ["50"], [True], "50", list(range(1, 12))]
)
def test_thresholds_are_rising_percents(alice: Person, thresholds: list[int]) -> None:
    with pytest.raises(ValidationError, match="percents"):
        set_budget(alice.account, Window.DAY, 5, thresholds=thresholds)


def test_a_budget_below_zero_is_refused_by_the_database_too(alice: Person) -> None:
    with pytest.raises(IntegrityError, match="budget_is_not_negative"), transaction.atomic():
        set_budget(alice.account, Window.DAY, -1)


@pytest.mark.parametrize(
    ("scope", "name"),
    [("account", "budget_counts_what_its_scope_says"), ("key", "budget_counts_what_its_scope_says")],
)
def test_a_scope_and_a_subject_that_do_not_match_are_refused(alice: Person, scope: str, name: str) -> None:
    key = alice.key if scope == "account" else None
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Budget.objects.create(account=alice.account, scope=scope, key=key, limit_nano=1)


def test_two_open_budgets_of_one_window_are_refused_by_the_database(alice: Person) -> None:
    set_budget(alice.account, Window.DAY, 5)
    with pytest.raises(IntegrityError, match="one_open_account_budget"), transaction.atomic():
        Budget.objects.create(account=alice.account, window="day", limit_nano=1)


def test_when_members_leave_their_budgets_stay_and_count_nobody(
    alice: Person, bob: Person, dave: Person
) -> None:
    for person in (bob, dave):
        member = Membership.objects.create(account=alice.account, user=person.user)
        set_budget(alice.account, Window.DAY, 5, member=member)
    key, _ = issue_key(alice.account, "Bob's", created_by=bob.user)
    assert Budget.objects.of_key(key).count() == 1
    Membership.objects.filter(account=alice.account, user__in=[bob.user, dave.user]).delete()
    assert Budget.objects.count() == 2
    assert not Budget.objects.of_key(key).exists()


# --- Use -----------------------------------------------------------------------------------------


def test_a_day_in_seoul_counts_what_was_called_on_that_day(alice: Person) -> None:
    alice.account.time_zone = "Asia/Seoul"
    alice.account.save()
    budget = set_budget(alice.account, Window.DAY, 3 * COST)
    midnight = datetime(2026, 11, 24, 15, tzinfo=UTC)  # of the 25th, there
    minute = timedelta(minutes=1)
    record_calls(
        *(make_report(alice, at, MILLION_OUT) for at in (midnight - minute, midnight, midnight + minute))
    )
    use = budget_use(budget, midnight + timedelta(hours=3))
    assert (use.used_nano, use.left_nano, use.percent) == (2 * COST, COST, 66)
    assert budget_use(budget, midnight - minute).used_nano == COST
    assert use.window.resets_at == midnight + timedelta(days=1)


def test_a_key_and_a_member_count_their_own_calls(alice: Person, bob: Person) -> None:
    now = timezone.now()
    member = Membership.objects.create(account=alice.account, user=bob.user)
    bobs, _ = issue_key(alice.account, "Bob's", created_by=bob.user)
    record_calls(
        make_report(alice, now, MILLION_OUT),
        make_report(alice, now, MILLION_OUT, key=str(bobs.pk)),
        make_report(alice, now, MILLION_OUT, key=str(bobs.pk)),
    )
    counts = {
        "account": set_budget(alice.account, Window.LIFETIME, 1),
        "member": set_budget(alice.account, Window.LIFETIME, 1, member=member),
        "key": set_budget(alice.account, Window.LIFETIME, 1, key=alice.key),
    }
    assert {name: budget_use(budget, now).used_nano // COST for name, budget in counts.items()} == {
        "account": 3, "member": 2, "key": 1,
    }  # fmt: skip


def test_a_budget_of_nothing_is_used_up_from_the_start(alice: Person) -> None:
    assert budget_use(set_budget(alice.account, Window.DAY, 0)).percent == 100


# --- The cap on pay as you go ----------------------------------------------------------------------


def test_a_cap_on_pay_as_you_go_is_a_monthly_budget_with_the_credit_in_it(alice: Person) -> None:
    version, _ = plan_version_of(alice.account, timezone.now())
    assert pay_as_you_go_cap(alice.account, version) is None
    set_pay_as_you_go_cap(alice.account, version, 5_000_000_000, by=alice.user)
    budget = Budget.objects.in_force().get()
    assert (budget.window, budget.limit_nano, budget.hard_stop) == ("month", 7_000_000_000, True)
    assert pay_as_you_go_cap(alice.account, version) == 5_000_000_000
    set_pay_as_you_go_cap(alice.account, version, None)
    assert pay_as_you_go_cap(alice.account, version) is None


def test_a_budget_that_only_warns_is_no_cap(alice: Person) -> None:
    version, _ = plan_version_of(alice.account, timezone.now())
    set_budget(alice.account, Window.MONTH, 1, hard_stop=False)
    assert pay_as_you_go_cap(alice.account, version) is None


# --- Overrides --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"field": "concurrency", "value": -1}, "override_is_not_negative"),
        ({"field": "max_body_bytes", "value": None}, "override_keeps_what_every_account_needs"),
        ({"field": "max_output_tokens", "value": 0}, "override_keeps_what_every_account_needs"),
        (
            {"field": "concurrency", "ends_at": datetime(2020, 1, 1, tzinfo=UTC)},
            "override_ends_after_it_starts",
        ),
    ],
)
def test_an_override_that_makes_no_sense_is_refused_by_the_database(
    alice: Person, fields: dict[str, object], name: str
) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        EntitlementOverride.objects.create(account=alice.account, reason="A trial", **fields)
