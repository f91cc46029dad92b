"""The screens of budgets: what is used, what happens at the limit in words, and who may change it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Membership, Role
from billing import alerts
from billing.budget_use import forecast, row_of
from billing.budget_window import BudgetWindow, Window
from billing.budgets import BudgetUse, end_budget, set_budget
from billing.models import Budget
from billing.money import to_nano
from tests.billing.test_alerts import spend
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_person

DOLLAR = to_nano(Decimal(1))
FORM = {
    "whose": "account",
    "window": "month",
    "limit": "10.00",
    "thresholds": "50, 80, 100",
    "hard_stop": "on",
}


def test_alice_sets_her_first_budget(alice: Person) -> None:
    client = sign_in(alice)
    assert "No budgets yet" in text_of(client.get("/billing/budgets/"))
    said = text_of(client.post("/billing/budgets/new/", FORM, follow=True))
    assert "The budget is set" in said
    budget = Budget.objects.get()
    assert (budget.limit_nano, budget.thresholds, budget.hard_stop) == (10 * DOLLAR, [50, 80, 100], True)
    assert budget.created_by == alice.user
    assert "$0.00 of $10.00" in said
    assert "At the limit calls are refused with 402 until" in said


@pytest.mark.parametrize("window", [window.value for window in Window])
def test_a_budget_for_each_window_of_a_key_and_of_a_member(alice: Person, window: str) -> None:
    member = Membership.objects.get(account=alice.account)
    client = sign_in(alice)
    for whose in (f"key:{alice.key.pk}", f"member:{member.pk}"):
        client.post("/billing/budgets/new/", FORM | {"whose": whose, "window": window})
    assert {(b.scope, b.window) for b in Budget.objects.all()} == {("key", window), ("member", window)}
    listed = text_of(client.get("/billing/budgets/"))
    assert "Alice's laptop" in listed
    only_key = text_of(client.get(f"/billing/budgets/?whose=key:{alice.key.pk}"))
    assert "Of one key" in only_key
    assert only_key.count("$0.00 of $10.00") == 1


def test_a_budget_that_only_tells_says_so(alice: Person) -> None:
    form = {name: value for name, value in FORM.items() if name != "hard_stop"}
    assert "You get an alert; calls go on." in text_of(
        sign_in(alice).post("/billing/budgets/new/", form, follow=True)
    )


def test_bob_at_his_limit_is_told_until_when_and_what_to_do(bob: Person) -> None:
    set_budget(bob.account, Window.DAY, DOLLAR // 100)
    spend(bob, "0.01")
    (budget,) = Budget.objects.all()
    said = text_of(sign_in(bob).get(f"/billing/budgets/{budget.pk}/"))
    assert "Calls are refused with 402 until" in said
    assert "Raise the limit below" in said
    assert "Calls stopped" in text_of(sign_in(bob).get("/billing/budgets/"))


def test_a_change_leads_from_the_old_address_to_the_new_row_and_keeps_what_was_told(alice: Person) -> None:
    old = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    spend(alice, "6.00")
    alerts.check_due()
    client, page = sign_in(alice), f"/billing/budgets/{old.pk}/"
    assert "50%" in text_of(client.get(page))
    said = text_of(client.post(page, FORM | {"limit": "20"}, follow=True))
    assert "is changed" in said
    new = Budget.objects.in_force().get()
    assert new.limit_nano == 20 * DOLLAR
    moved = client.get(page)
    assert moved["Location"] == f"/billing/budgets/{new.pk}/"
    assert "$6.00 of $20.00" in text_of(client.get(page, follow=True))
    assert "Used then" in text_of(client.get(page, follow=True))


def test_alice_ends_a_budget(alice: Person) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    client = sign_in(alice)
    assert "has ended" in text_of(client.post(f"/billing/budgets/{budget.pk}/end/", follow=True))
    assert not Budget.objects.in_force().exists()
    assert "This budget has ended" in text_of(client.get(f"/billing/budgets/{budget.pk}/"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": ""}, "Enter an amount"),
        ({"limit": "much"}, "Write an amount"),
        ({"limit": "-1"}, "cannot be below zero"),
        ({"limit": "1.001"}, "at most 2 digits"),
        ({"thresholds": "0, 50"}, "whole percents from 1 to 100"),
        ({"thresholds": "fifty"}, "whole percents from 1 to 100"),
        ({"thresholds": "101"}, "whole percents from 1 to 100"),
        ({"whose": "key:00000000-0000-0000-0000-000000000000"}, "Select a valid choice"),
        ({"window": "year"}, "Select a valid choice"),
    ],
)
def test_a_wrong_budget_is_refused_in_words(alice: Person, wrong: dict[str, str], said: str) -> None:
    assert said in text_of(sign_in(alice).post("/billing/budgets/new/", FORM | wrong))
    assert not Budget.objects.exists()


def test_a_won_has_no_decimals(price_list: None) -> None:
    minji = make_person("Minji", currency="KRW")
    client = sign_in(minji)
    assert "at most 0 digits" in text_of(client.post("/billing/budgets/new/", FORM | {"limit": "1000.5"}))
    client.post("/billing/budgets/new/", FORM | {"limit": "1000"})
    assert Budget.objects.get().limit_nano == 1000 * DOLLAR


# --- Who may ------------------------------------------------------------------------------------------------


def test_dave_sees_and_changes_nothing_of_alices(alice: Person, dave: Person) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    client = sign_in(dave)
    for answer in (
        client.get(f"/billing/budgets/{budget.pk}/"),
        client.post(f"/billing/budgets/{budget.pk}/", FORM),
        client.post(f"/billing/budgets/{budget.pk}/end/"),
    ):
        assert answer.status_code == 404
    refused = client.post("/billing/budgets/new/", FORM | {"whose": f"key:{alice.key.pk}"})
    assert "Select a valid choice" in text_of(refused)
    assert Budget.objects.in_force().count() == 1


@pytest.mark.parametrize(
    ("role", "may"), [(Role.ADMIN, True), (Role.BILLING, True), (Role.DEVELOPER, False), (Role.VIEWER, False)]
)
def test_who_sets_budgets(alice: Person, role: str, may: bool) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    erin = make_person("Erin")
    join(erin, alice.account, role)
    client = sign_in(erin, alice.account)
    assert client.get("/billing/budgets/").status_code == 200
    page = client.get(f"/billing/budgets/{budget.pk}/")
    assert ("cannot change it" in text_of(page)) is not may
    answers = [
        client.get("/billing/budgets/new/"),
        client.post(f"/billing/budgets/{budget.pk}/", FORM | {"limit": "11"}, follow=True),
    ]
    assert {answer.status_code for answer in answers} == ({200} if may else {403})
    assert client.post(f"/billing/budgets/{budget.pk}/end/").status_code == (302 if may else 403)


# --- Arithmetic ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "hours", "used", "expected"),
    [
        (Window.DAY, 6, 100, 400),
        (Window.DAY, 0, 100, 2400),  # over a 24th of the window at least
        (Window.WEEK, 84, 7, 14),
        (Window.DAY, 24, 100, 100),
        (Window.LIFETIME, 1, 100, None),
    ],
)
def test_the_forecast_continues_the_pace(window: Window, hours: int, used: int, expected: int | None) -> None:
    monday = timezone.now().replace(year=2026, month=11, day=23, hour=0, minute=0, second=0, microsecond=0)
    stretch = BudgetWindow.containing(monday, window, "UTC")
    assert forecast(BudgetUse(Budget(), stretch, used), monday + timedelta(hours=hours)) == expected


def test_the_day_on_which_it_counts_anew_is_on_the_accounts_own_calendar(alice: Person) -> None:
    alice.account.time_zone = "Asia/Seoul"
    alice.account.save()
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    assert "1, 20" in row_of(budget).resets  # the 1st there, the last of the month before in UTC


def test_an_ended_budget_is_not_raised(alice: Person) -> None:
    budget = end_budget(set_budget(alice.account, Window.MONTH, 10 * DOLLAR))
    sign_in(alice).post(f"/billing/budgets/{budget.pk}/", FORM | {"limit": "99"})
    assert not Budget.objects.in_force().exists()
