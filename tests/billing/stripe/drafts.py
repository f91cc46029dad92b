"""Fixtures that `conftest.py` hands on: statements that wait to become invoices, and a dearer plan."""

from datetime import timedelta

import pytest

from billing.collection import following
from billing.collection.plans import sync_plans
from billing.invoicing import close_due_periods
from billing.models import Plan, PlanVersion, Statement
from tests.billing.stripe.conftest import DECEMBER, MID_MONTH, Both, plan, subscribe
from tests.billing.stripe.stories import use
from tests.factories import Person


@pytest.fixture
def december(both: Both, bob: Person) -> Statement:
    """Bob took Pro on the 16th, used it, and it is two hours into December: his statement is frozen."""
    subscribe(both, bob)
    use(bob)
    both.move(DECEMBER + timedelta(hours=2))
    close_due_periods()
    return Statement.objects.get(account=bob.account, kind="usage")


@pytest.fixture
def held(both: Both, bob: Person) -> Statement:
    """The same, and Stripe was asked for its renewal in time, so that its draft is ours."""
    subscribe(both, bob)
    use(bob)
    both.move(DECEMBER)
    following.follow_all()
    both.move(DECEMBER + timedelta(hours=2))
    close_due_periods()
    return Statement.objects.get(account=bob.account, kind="usage")


@pytest.fixture
def team(both: Both) -> PlanVersion:
    """A dearer plan, $20.00."""
    new = Plan.objects.create(slug="team", name="Team", position=3)
    version = plan("pro")
    version.pk, version.plan, version.price_minor, version.number = None, new, 2000, 1
    version._state.adding = True
    version.effective_from = MID_MONTH
    version.save()
    sync_plans()
    return version
