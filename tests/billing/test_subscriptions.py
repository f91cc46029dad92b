"""Who is on which plan: a dearer plan starts at once, a cheaper one with the next period."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.budget_window import Window
from billing.budgets import pay_as_you_go_cap, set_budget
from billing.models import Plan, PlanVersion, Subscription
from billing.period import BillingPeriod
from billing.plan_in_force import plan_version_of
from billing.seeding import subscribe
from billing.subscriptions import PlanChangeError, cancel, change_plan, start_subscription
from tests.billing.people import together
from tests.factories import Person

NEXT_PERIOD = BillingPeriod.containing(timezone.now()).end


def _plan(account: Account, days: int = 0) -> str:
    """The plan in force now, or so many days into the next period."""
    at = NEXT_PERIOD + timedelta(days=days) if days else timezone.now()
    return plan_version_of(account, at)[0].plan.slug


def _add_team_plan() -> None:
    """A plan between Free and Pro."""
    plan = Plan.objects.create(slug="team", name="Team", position=9)
    PlanVersion.objects.create(plan=plan, number=1, price_minor=500)


def test_bobs_upgrade_to_pro_starts_at_once(bob: Person) -> None:
    assert change_plan(bob.account, "pro", by=bob.user)
    assert (_plan(bob.account), _plan(bob.account, 1)) == ("pro", "pro")
    assert Subscription.objects.get().created_by == bob.user


def test_bob_may_rather_upgrade_from_the_next_month(bob: Person) -> None:
    change_plan(bob.account, "pro", starts_at=NEXT_PERIOD)
    assert (_plan(bob.account), _plan(bob.account, 1)) == ("free", "pro")


def test_alices_downgrade_to_free_starts_with_the_next_period(alice: Person) -> None:
    assert change_plan(alice.account, "free") is None
    assert (_plan(alice.account), _plan(alice.account, 1)) == ("pro", "free")


def test_alices_downgrade_to_a_cheaper_plan_starts_with_the_next_period(alice: Person) -> None:
    _add_team_plan()
    change_plan(alice.account, "team")
    assert (_plan(alice.account), _plan(alice.account, 1)) == ("pro", "team")


def test_alice_takes_her_downgrade_back(alice: Person) -> None:
    _add_team_plan()
    for other in ("free", "team"):
        change_plan(alice.account, other)
        kept = change_plan(alice.account, "pro")
        assert kept
        assert kept.ended_at is None
        assert (_plan(alice.account), _plan(alice.account, 1)) == ("pro", "pro")


def test_bob_takes_back_an_upgrade_that_has_not_begun(bob: Person) -> None:
    change_plan(bob.account, "pro", starts_at=NEXT_PERIOD)
    assert change_plan(bob.account, "free") is None
    assert (_plan(bob.account), _plan(bob.account, 1)) == ("free", "free")


def test_a_later_choice_replaces_a_change_that_has_not_begun(alice: Person) -> None:
    _add_team_plan()
    change_plan(alice.account, "team")
    change_plan(alice.account, "free")
    assert (_plan(alice.account), _plan(alice.account, 1)) == ("pro", "free")


def test_choosing_the_plan_one_has_writes_no_row(alice: Person) -> None:
    change_plan(alice.account, "pro")
    assert Subscription.objects.count() == 1


def test_alices_budget_goes_with_her_to_another_plan(alice: Person) -> None:
    _add_team_plan()
    set_budget(alice.account, Window.MONTH, 5_000_000_000)
    team = change_plan(alice.account, "team")
    assert team
    assert pay_as_you_go_cap(alice.account, team.plan_version) == 5_000_000_000


def test_cancelling_ends_with_the_period(alice: Person, bob: Person) -> None:
    stay = cancel(alice.account)
    assert stay
    assert stay.ended_at == NEXT_PERIOD
    assert (_plan(alice.account), _plan(alice.account, 1)) == ("pro", "free")
    assert cancel(bob.account) is None


def test_enterprise_is_not_for_sale_by_a_click(bob: Person) -> None:
    with pytest.raises(PlanChangeError, match="sold by agreement"):
        change_plan(bob.account, "enterprise")
    subscribe(bob.account, "enterprise")
    assert _plan(bob.account) == "enterprise"


def test_a_plan_that_does_not_exist_is_refused_in_words(bob: Person) -> None:
    with pytest.raises(PlanChangeError, match="There is no plan called gold"):
        change_plan(bob.account, "gold")


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_leave_one_open_stay(bob: Person) -> None:
    pro = PlanVersion.objects.current().get(plan__slug="pro")
    together(*[lambda: start_subscription(bob.account, pro) for _ in range(4)])
    assert Subscription.objects.filter(ended_at=None).count() == 1
    assert Subscription.objects.count() == 4
