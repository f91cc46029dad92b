"""What an account and a key may do now: plan version, overrides, credit, restrictions and budgets, as one value."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.keys import issue_key
from accounts.models import ApiKey, Membership, Role
from billing.budget_window import Window
from billing.budgets import set_budget
from billing.credits import grant_credit
from billing.entitlements import BudgetLimit, entitlements_of, rights_of
from billing.models import CreditSource, EntitlementOverride
from billing.period import BillingPeriod
from billing.subscriptions import cancel
from tests.factories import Person

HOUR = timedelta(hours=1)


def override(person: Person, field: str, value: int | None, **when: Any) -> EntitlementOverride:
    row = EntitlementOverride(account=person.account, field=field, value=value, reason="A trial", **when)
    row.full_clean()
    row.save()
    return row


# --- Plans and overrides ---------------------------------------------------------------------------


def test_bob_on_free_has_what_the_price_list_says(bob: Person) -> None:
    rights = entitlements_of(bob.account)
    assert (rights.plan, rights.requests_per_minute, rights.tokens_per_minute) == ("free", 20, 20_000)
    assert (rights.concurrency, rights.calls_per_period, rights.spend_limit_nano) == (2, 1000, 10**8)
    assert rights.fails_closed


def test_pay_as_you_go_has_no_end_of_credit_and_of_calls(alice: Person) -> None:
    rights = entitlements_of(alice.account)
    assert (rights.plan, rights.calls_per_period, rights.spend_limit_nano) == ("pro", None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requests_per_minute", 700),
        ("requests_per_minute", 0),
        ("tokens_per_minute", None),
        ("concurrency", 9),
        ("calls_per_period", None),
        ("price_ceiling_nano", 5),
        ("max_body_bytes", 10),
        ("max_output_tokens", 7),
    ],
)
def test_an_override_stands_in_for_one_limit_and_leaves_the_others(
    bob: Person, field: str, value: int | None
) -> None:
    before = entitlements_of(bob.account)
    override(bob, field, value)
    after = entitlements_of(bob.account)
    assert getattr(after, field) == value
    changed = {name for name in before.__slots__ if getattr(before, name) != getattr(after, name)}
    assert changed <= {field}


@pytest.mark.parametrize(
    ("starts", "ends", "holds"),
    [(-2, None, True), (-2, 1, True), (-2, -1, False), (1, None, False), (1, 2, False)],
)
def test_an_override_holds_from_its_start_to_its_end(
    bob: Person, starts: int, ends: int | None, holds: bool
) -> None:
    now = timezone.now()
    override(
        bob, "concurrency", 9, starts_at=now + starts * HOUR, ends_at=now + ends * HOUR if ends else None
    )
    assert (entitlements_of(bob.account, now).concurrency == 9) is holds


def test_of_two_overrides_the_one_that_began_last_wins(bob: Person) -> None:
    now = timezone.now()
    override(bob, "concurrency", 9, starts_at=now - HOUR)
    override(bob, "concurrency", 5, starts_at=now - 2 * HOUR)
    assert entitlements_of(bob.account, now).concurrency == 9


def test_an_override_of_alice_is_not_bobs(alice: Person, bob: Person) -> None:
    override(alice, "concurrency", 9)
    assert entitlements_of(bob.account).concurrency == 2


def test_prepaid_credit_comes_on_top_of_the_included(bob: Person) -> None:
    grant_credit(bob.account, CreditSource.PREPAID, 5 * 10**9, reference="order 1")
    assert entitlements_of(bob.account).spend_limit_nano == 10**8 + 5 * 10**9


# --- What changes by itself ------------------------------------------------------------------------


def test_entitlements_are_good_until_the_next_thing_that_changes_by_itself(alice: Person) -> None:
    now = timezone.now()
    period = BillingPeriod.containing(now)
    assert entitlements_of(alice.account, now).valid_until == period.end
    cancel(alice.account)  # ends with the period
    assert entitlements_of(alice.account, now).valid_until == period.end
    begins = min(now + HOUR, period.end)
    override(alice, "concurrency", 9, starts_at=begins)
    assert entitlements_of(alice.account, now).valid_until == begins
    over = override(alice, "concurrency", 9, starts_at=now - HOUR, ends_at=now + HOUR / 2)
    assert entitlements_of(alice.account, now).valid_until == min(over.ends_at or now, period.end)


# --- Restrictions ------------------------------------------------------------------------------------


def test_restrictions_of_account_and_key_both_hold_and_empty_ones_are_left_out(alice: Person) -> None:
    key = ApiKey.objects.select_related("account").get(pk=alice.key.pk)
    assert rights_of(key).restrictions == ()
    key.allowed_models = ["a/*"]
    assert [it.scope for it in rights_of(key).restrictions] == ["key"]
    key.account.allowed_networks = ["10.0.0.0/8"]
    account, own = rights_of(key).restrictions
    assert (account.scope, own.scope) == ("account", "key")
    assert account.allows_address("10.1.2.3")
    assert not own.allows_model("b/c")


# --- Budgets -----------------------------------------------------------------------------------------


def limits(key: ApiKey) -> list[tuple[str, str]]:
    return [(it.scope, it.window.value) for it in rights_of(key).budgets]


def test_a_key_has_its_own_its_makers_and_its_accounts_budgets_the_lasting_first(
    alice: Person, bob: Person
) -> None:
    alices = Membership.objects.get(account=alice.account, user=alice.user)
    bobs = Membership.objects.create(account=alice.account, user=bob.user, role=Role.DEVELOPER)
    bobs_key, _ = issue_key(alice.account, "Bob's", created_by=bob.user)
    nobodys, _ = issue_key(alice.account, "Server")
    set_budget(alice.account, Window.DAY, 1)
    set_budget(alice.account, Window.MONTH, 1, key=alice.key)
    set_budget(alice.account, Window.MONTH, 1, member=alices)
    set_budget(alice.account, Window.WEEK, 1, member=bobs)
    set_budget(alice.account, Window.LIFETIME, 1, key=bobs_key)
    set_budget(bob.account, Window.DAY, 1)
    assert limits(alice.key) == [("member", "month"), ("key", "month"), ("account", "day")]
    assert limits(bobs_key) == [("key", "lifetime"), ("member", "week"), ("account", "day")]
    assert limits(nobodys) == [("account", "day")]


def test_a_budget_of_seoul_begins_at_midnight_there(alice: Person) -> None:
    alice.account.time_zone = "Asia/Seoul"
    alice.account.save()
    set_budget(alice.account, Window.DAY, 1)
    budget = rights_of(ApiKey.objects.get(pk=alice.key.pk)).budgets[0]
    moment = datetime(2026, 11, 25, 15, 0, 0, 1000, tzinfo=UTC)
    window = budget.window_at(int(moment.timestamp() * 1000))
    assert window.start == datetime(2026, 11, 25, 15, tzinfo=UTC)
    assert budget.counter_name(window) == f"{alice.account.pk}:{window.key}"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_the_window_of_a_minute_is_that_of_each_of_its_moments(zone: str) -> None:
    budget = BudgetLimit("key", "k", Window.DAY, zone, 1, True)
    start = budget.window_at(1_795_618_800_000).start
    edge = int(start.timestamp() * 1000)
    assert budget.window_at(edge).start == start
    assert budget.window_at(edge + 59_999).start == start
    assert budget.window_at(edge - 1).end == start
