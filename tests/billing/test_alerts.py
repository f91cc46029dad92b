"""Alerts: each threshold is told once a window, by mail and by webhook, whoever looks and however usage grows."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.keys import issue_key
from accounts.models import Account, Membership, OutgoingMail, Role, WebhookDelivery
from accounts.webhooks import endpoints
from accounts.webhooks.events import EVENTS
from billing import alerts
from billing.aggregation import roll_up
from billing.budget_window import Window
from billing.budgets import end_budget, set_budget
from billing.metering import record
from billing.models import AlertFired, AlertMark, Budget
from billing.money import to_nano
from billing.seeding import seed_billing, subscribe
from tests.billing.people import together
from tests.browsing import join
from tests.factories import Person, make_person, make_report, record_calls

DOLLAR = to_nano(Decimal(1))


def spend(person: Person, dollars: str, at: datetime | None = None) -> None:
    """Let a call cost so much, recorded and rolled up."""
    nano = to_nano(Decimal(dollars))
    report = make_report(person, at)
    record_calls(replace(report, nano=nano, units={"request": [1, nano]}))


def told(budget: Budget | None = None) -> list[int]:
    """The thresholds told of so far, in their order; of a budget, or of plans."""
    fired = AlertFired.objects.filter(budget=budget, carried=False)
    return sorted(fired.values_list("threshold", flat=True))


def mailed() -> list[str]:
    """The subjects of all mails written, and the messages to webhooks must be as many."""
    return sorted(OutgoingMail.objects.values_list("subject", flat=True))


def budget_events() -> list[dict[str, object]]:
    """The data of every message about a budget, oldest first."""
    found = WebhookDelivery.objects.filter(event="budget.threshold_reached").order_by("created_at", "pk")
    return [json.loads(row.body)["data"] for row in found]


@pytest.fixture
def budget(alice: Person) -> Budget:
    """Alice may spend $10 a month, and her own server hears of it."""
    endpoints.add_endpoint(alice.account, "http://127.0.0.1:9/", list(EVENTS))
    return set_budget(alice.account, Window.MONTH, 10 * DOLLAR)


def test_each_threshold_is_told_once_by_mail_and_by_webhook(alice: Person, budget: Budget) -> None:
    for dollars, expected in [
        ("4.99", []),
        ("0.01", [50]),
        ("2.00", [50]),
        ("1.00", [50, 80]),
        ("2.00", [50, 80, 100]),
    ]:
        spend(alice, dollars)
        alerts.check_due()
        alerts.check_due()
        assert told(budget) == expected
        assert [data["threshold_percent"] for data in budget_events()] == expected
    spend(alice, "5.00")
    assert alerts.check_due() == 0
    monthly = [subject for subject in mailed() if "monthly budget" in subject]
    assert monthly == [
        "Alice: 50% of the monthly budget is used",
        "Alice: 80% of the monthly budget is used",
        "Alice: the monthly budget is used up",
    ]


def test_usage_that_jumps_over_several_thresholds_tells_each(alice: Person, budget: Budget) -> None:
    spend(alice, "42.00")
    assert alerts.check_due() >= 3
    assert told(budget) == [50, 80, 100]
    assert {data["used"] for data in budget_events()} == {"42"}


def test_custom_thresholds_are_told_and_no_others(alice: Person) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR, thresholds=[10, 95])
    spend(alice, "9.60")
    alerts.check_due()
    assert told(budget) == [10, 95]


def test_without_news_nobody_looks(alice: Person, budget: Budget) -> None:
    spend(alice, "6.00")
    assert alerts.check_due() > 0
    assert not AlertMark.objects.exists()
    assert alerts.check(alice.account.pk) == []


def test_a_check_that_dies_half_way_told_nobody_and_is_made_again(alice: Person, budget: Budget) -> None:
    spend(alice, "6.00")
    with transaction.atomic():
        alerts.check(alice.account.pk)
        assert told(budget) == [50]
        transaction.set_rollback(True)
    assert told(budget) == []
    assert not OutgoingMail.objects.exists()
    alerts.check_due()
    assert told(budget) == [50]


def test_a_new_day_is_told_of_anew(alice: Person) -> None:
    daily = set_budget(alice.account, Window.DAY, 1 * DOLLAR)
    spend(alice, "0.60")
    alerts.check_due()
    AlertFired.objects.update(window_start=timezone.now() - timedelta(days=2))  # that was two days ago
    spend(alice, "0.01")
    alerts.check_due()
    assert told(daily) == [50, 50]


def test_the_webhook_says_whose_budget_how_far_and_what_happens(alice: Person) -> None:
    endpoints.add_endpoint(alice.account, "http://127.0.0.1:9/", list(EVENTS))
    budget = set_budget(
        alice.account, Window.WEEK, 2 * DOLLAR, key=alice.key, hard_stop=False, thresholds=[50]
    )
    spend(alice, "1.0000005")
    alerts.check_due()
    (data,) = budget_events()
    assert data["budget"] == {
        "id": str(budget.pk),
        "scope": "key",
        "window": "week",
        "key": str(alice.key.pk),
    }
    assert (data["used"], data["limit"], data["currency"]) == ("1.0000005", "2", "USD")
    assert data["stops_calls"] is False
    assert data["threshold_percent"] == 50
    assert str(data["resets_at"]).endswith("Z")


# --- The words, and who reads them --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hard_stop", "dollars", "words"),
    [
        (True, "6.00", "At the limit calls are refused with 402 until"),
        (True, "11.00", "they pass within a second"),
        (False, "11.00", "Calls go on: this budget tells you and stops nothing."),
    ],
)
def test_the_mail_says_in_words_what_happens_to_calls(
    alice: Person, hard_stop: bool, dollars: str, words: str
) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR, hard_stop=hard_stop)
    spend(alice, dollars)
    alerts.check_due()
    budget_mails = [mail for mail in OutgoingMail.objects.order_by("pk") if "monthly budget" in mail.subject]
    assert words in budget_mails[-1].text
    assert f"/billing/budgets/{budget.pk}/" in budget_mails[-1].html


def test_minji_reads_it_in_korean_and_developers_are_left_in_peace(alice: Person, budget: Budget) -> None:
    minji, devi = make_person("Minji"), make_person("Devi")
    minji.user.language = "ko"
    minji.user.save()
    join(minji, alice.account, Role.BILLING)
    join(devi, alice.account, Role.DEVELOPER)
    spend(alice, "5.00")
    alerts.check_due()
    letters = {mail.to: mail for mail in OutgoingMail.objects.filter(subject__contains="50%")}
    assert set(letters) == {"alice@example.com", "minji@example.com"}
    assert "월간 예산" in letters["minji@example.com"].subject
    assert '<html lang="ko">' in letters["minji@example.com"].html


def test_a_members_budget_is_told_to_the_member_too(alice: Person) -> None:
    devi = make_person("Devi")
    member = join(devi, alice.account, Role.DEVELOPER)
    key, secret = issue_key(alice.account, "Devi's", created_by=devi.user)
    set_budget(alice.account, Window.MONTH, 1 * DOLLAR, member=member, thresholds=[100])
    spend(Person(devi.user, alice.account, key, secret), "1.00")
    alerts.check_due()
    readers = OutgoingMail.objects.filter(subject__contains="Devi").values_list("to", flat=True)
    assert set(readers) == {"alice@example.com", "devi@example.com"}


def test_dave_hears_nothing_of_alices_budget(alice: Person, dave: Person, budget: Budget) -> None:
    spend(alice, "11.00")
    alerts.check_due()
    assert not OutgoingMail.objects.filter(to="dave@example.com").exists()


# --- Changes of the limit -----------------------------------------------------------------------------------


def test_a_raised_budget_tells_its_own_thresholds_when_they_are_reached(
    alice: Person, budget: Budget
) -> None:
    spend(alice, "10.00")
    alerts.check_due()
    raised = set_budget(alice.account, Window.MONTH, 40 * DOLLAR)
    alerts.check_due()
    assert told(raised) == []  # $10 of $40 is a quarter
    spend(alice, "10.00")
    alerts.check_due()
    assert told(raised) == [50]


def test_what_was_told_and_is_still_past_is_not_told_again(alice: Person, budget: Budget) -> None:
    spend(alice, "9.00")
    alerts.check_due()
    assert told(budget) == [50, 80]
    raised = set_budget(alice.account, Window.MONTH, 11 * DOLLAR)
    before = OutgoingMail.objects.count()
    alerts.check_due()
    assert told(raised) == []  # 81 % of $11: both were told already
    assert OutgoingMail.objects.count() == before
    spend(alice, "2.00")
    alerts.check_due()
    assert told(raised) == [100]


def test_a_raise_is_judged_by_what_was_used_when_it_was_made(alice: Person, budget: Budget) -> None:
    spend(alice, "9.00")
    alerts.check_due()
    raised = set_budget(alice.account, Window.MONTH, 16 * DOLLAR)  # 56 %: half is past already, 80 % is ahead
    Budget.objects.filter(pk=raised.pk).update(created_at=timezone.now() + timedelta(milliseconds=1))
    Budget.objects.filter(pk=budget.pk).update(ended_at=Budget.objects.get(pk=raised.pk).created_at)
    spend(alice, "4.00", at=timezone.now() + timedelta(seconds=1))  # nobody looked in between
    alerts.check_due()
    assert told(raised) == [80]


def test_a_lowered_budget_tells_at_once_what_is_past(alice: Person, budget: Budget) -> None:
    spend(alice, "4.00")
    alerts.check_due()
    assert told(budget) == []
    lowered = set_budget(alice.account, Window.MONTH, 5 * DOLLAR)
    alerts.check_due()
    assert told(lowered) == [50, 80]


def test_an_ended_budget_tells_nothing(alice: Person, budget: Budget) -> None:
    end_budget(budget)
    spend(alice, "11.00")
    alerts.check_due()
    assert told(budget) == []


def test_a_budget_of_zero_tells_only_that_it_is_used_up(alice: Person) -> None:
    budget = set_budget(alice.account, Window.MONTH, 0)
    alerts.check_due()
    assert told(budget) == [100]


# --- What the plan includes ---------------------------------------------------------------------------------


def test_bob_on_free_hears_at_80_and_100_percent_of_his_credit(bob: Person) -> None:
    endpoints.add_endpoint(bob.account, "http://127.0.0.1:9/", list(EVENTS))
    spend(bob, "0.08")
    alerts.check_due()
    assert told() == [80]
    spend(bob, "0.02")
    alerts.check_due()
    assert told() == [80, 100]
    assert mailed() == ["Bob: 80% of the plan's credit is used", "Bob: the plan's credit is used up"]
    (first, _second) = WebhookDelivery.objects.filter(event="plan.threshold_reached").order_by(
        "created_at", "pk"
    )
    data = json.loads(first.body)["data"]
    assert (data["measure"], data["used"], data["limit"]) == ("credit", "0.08", "0.1")


def test_on_pay_as_you_go_the_mail_says_that_calls_go_on(alice: Person) -> None:
    spend(alice, "2.00")
    alerts.check_due()
    mail = OutgoingMail.objects.get(subject="Alice: the plan's credit is used up")
    assert "Calls go on, and are charged past what the plan includes." in mail.text


def test_a_larger_plan_is_told_of_anew(bob: Person) -> None:
    spend(bob, "0.10")
    alerts.check_due()
    subscribe(bob.account, "pro")
    alerts.mark(bob.account.pk)
    alerts.check_due()
    assert told() == [80, 100]
    spend(bob, "1.60")
    alerts.check_due()
    assert told() == [80, 80, 100]


# --- Two workers --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_look_at_once_tell_each_threshold_once() -> None:
    """Both pass the question whether it was told; the constraint lets one of them write."""
    seed_billing()
    alice = make_person("Alice", "pro")
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    spend(alice, "12.00")
    readings = [
        r for r in alerts.readings_of(Account.objects.get(pk=alice.account.pk), timezone.now()) if r.budget
    ]

    def fire() -> None:
        with transaction.atomic():
            alerts._fire(alice.account, readings[0])

    together(fire, fire, fire)
    assert told(budget) == [50, 80, 100]
    assert len([subject for subject in mailed() if "monthly budget" in subject]) == 3


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_tell_each_threshold_once() -> None:
    seed_billing()
    alice = make_person("Alice", "pro")
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    spend(alice, "12.00")
    together(alerts.check_due, alerts.check_due, alerts.check_due)
    assert told(budget) == [50, 80, 100]
    assert not AlertMark.objects.exists()


def test_the_roll_up_marks_whoever_has_news(alice: Person, bob: Person) -> None:
    record([("test:1:1", make_report(alice).to_json())])
    AlertMark.objects.all().delete()
    roll_up()
    assert set(AlertMark.objects.values_list("account_id", flat=True)) == {alice.account.pk}


def test_a_member_who_left_is_not_written_to(alice: Person) -> None:
    devi = make_person("Devi")
    join(devi, alice.account, Role.DEVELOPER)
    key, secret = issue_key(alice.account, "Devi's", created_by=devi.user)
    set_budget(alice.account, Window.MONTH, 1 * DOLLAR, key=key, thresholds=[100])
    Membership.objects.filter(user=devi.user, account=alice.account).delete()
    spend(Person(devi.user, alice.account, key, secret), "1.00")
    alerts.check_due()
    assert not OutgoingMail.objects.filter(to="devi@example.com").exists()
