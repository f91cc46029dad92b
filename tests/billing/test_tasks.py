"""The doorbells: the beat schedule rings tasks that exist, and ringing them does the work."""

from celery import current_app

from billing import tasks
from billing.metering import record
from billing.models import RollupMark, Statement, UsagePeriod
from tests.billing.people import PERIOD
from tests.factories import Person, make_report


def test_every_tick_of_billing_rings_a_task_that_exists() -> None:
    rung = {tick["task"] for tick in current_app.conf.beat_schedule.values()}
    ours = {name for name in rung if name.startswith("billing.")}
    assert ours == {f"billing.tasks.{name}" for name in _TASKS}
    assert ours <= set(current_app.tasks)


def test_a_call_becomes_an_issued_statement_by_ringing(alice: Person) -> None:
    record([("u:1", make_report(alice, PERIOD.start).to_json())])
    for name in _TASKS:
        getattr(tasks, name)()
    assert not RollupMark.objects.exists()
    assert UsagePeriod.objects.get().calls == 1
    assert Statement.objects.get(period=PERIOD.key).state == "paid"


_TASKS = (
    "ensure_partitions",
    "roll_up_usage",
    "check_alerts",
    "convert_prices",
    "send_credit_notes",
    "top_up",
    "expire_credits",
    "close_due_periods",
    "issue_frozen_statements",
    "review_dunning",
    "check_alerts",
    "work_on_webhooks",
    "follow_stripe",
    "catch_up_webhooks",
)
