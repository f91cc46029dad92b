"""Whatever goes wrong between a statement and its invoice: each line stands once, or a person is told."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import OutgoingMail
from billing.collection import following
from billing.models import (
    BillingAlarm,
    Statement,
    StripeCustomer,
    StripeInvoice,
    StripeLine,
    StripeOperation,
    StripeSubscription,
)
from billing.payments import attaching, issue_frozen_statements, operations
from billing.payments.provider import ProviderAway
from tests.billing.stripe.conftest import DECEMBER, Both, deliver, subscribe
from tests.billing.stripe.stories import issue, ours_once, use
from tests.factories import Person


def test_workers_down_past_the_draft_window_put_usage_on_an_invoice_of_its_own(
    both: Both, december: Statement
) -> None:
    both.move(DECEMBER + timedelta(days=4))
    following.follow_all()
    assert StripeInvoice.objects.get(reason="subscription_cycle").status == "paid"
    issued = issue(december)
    assert issued.stripe_invoice
    assert issued.stripe_invoice.reason == "manual"
    assert issued.stripe_invoice.total_minor == issued.total_minor
    ours_once(both, issued)


def test_a_lost_webhook_is_made_up_for_by_listing_the_drafts(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    use(bob)
    both.move(DECEMBER + timedelta(minutes=30))
    following.follow_all()
    assert StripeInvoice.objects.get(reason="subscription_cycle").held_at


def test_stripe_down_at_the_close_changes_no_amount(both: Both, held: Statement) -> None:
    both.fake.control("outage", hours=25)
    with pytest.raises(ProviderAway):
        issue_frozen_statements()
    before = Statement.objects.get(pk=held.pk)
    assert before.state in ("frozen", "held")
    both.later(hours=26)
    issued = issue(held)
    assert issued.total_minor == before.total_minor
    ours_once(both, issued)


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ("cut_before", "add_lines$"),
        ("cut_after", "add_lines$"),
        ("error_after", "add_lines$"),
        ("rate_limit", "add_lines$"),
        ("error_after", "finalize$"),
    ],
)
def test_whatever_breaks_where_each_line_stands_once(
    both: Both, held: Statement, fault: str, path: str
) -> None:
    plan = [{"fault": fault, "path": path, "method": "POST"} for _ in range(4)]
    both.fake.control("faults", next=plan)
    for _ in range(8):
        try:
            issue_frozen_statements()
        except ProviderAway:
            both.later(minutes=5)
    assert both.fake.state()["faults"]["fired"].get(fault)
    both.fake.control("faults", clear=True)
    both.ticks()
    issued = issue(held)
    assert issued.state in ("finalized", "paid")
    ours_once(both, issued)
    assert not BillingAlarm.objects.exists()


@pytest.mark.parametrize("fault", ["cut_after", "error_after"])
def test_an_invoice_of_its_own_is_made_once_whatever_breaks(
    both: Both, december: Statement, fault: str
) -> None:
    both.move(DECEMBER + timedelta(days=4))
    following.follow_all()
    both.fake.control("faults", next=[{"fault": fault, "path": "/invoices$", "method": "POST"}] * 3)
    with pytest.raises(ProviderAway):
        issue_frozen_statements()
    both.fake.control("faults", clear=True)
    both.later(minutes=5)
    ours_once(both, issue(december))
    assert [one["billing_reason"] for one in both.fake.objects("invoice")].count("manual") == 1


def test_killed_between_the_call_and_the_commit_the_same_key_is_sent_again(
    both: Both, held: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., str] = operations._answered
    dying = {"add_lines": True}

    def die(operation: StripeOperation, answer: dict[str, Any]) -> str:
        if dying.pop("add_lines", None) and "add_lines" in operation.path:
            raise KeyboardInterrupt
        return real(operation, answer)

    monkeypatch.setattr(operations, "_answered", die)
    dying["add_lines"] = True
    for _ in range(3):
        try:
            issue_frozen_statements()
        except KeyboardInterrupt:
            break
        dying["add_lines"] = True
    monkeypatch.setattr(operations, "_answered", real)
    ours_once(both, issue(held))


def test_after_a_day_in_doubt_only_what_is_missing_is_sent(
    both: Both, held: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.fake.control("faults", next=[{"fault": "cut_after", "path": "add_lines$"} for _ in range(3)])
    with pytest.raises(ProviderAway):
        issue_frozen_statements()
    sent = StripeOperation.objects.get(path__endswith="add_lines")
    StripeOperation.objects.filter(pk=sent.pk).update(created_at=timezone.now() - timedelta(hours=24))
    both.fake.control("faults", clear=True)
    ours_once(both, issue(held))
    sent.refresh_from_db()
    assert (sent.state, sent.generation) == ("done", 1)  # found there: nothing was sent again


def test_after_a_stored_500_the_generation_is_bumped(both: Both, held: Statement) -> None:
    both.fake.control("faults", next=[{"fault": "error_before", "path": "add_lines$"}])
    with pytest.raises(ProviderAway):
        issue_frozen_statements()
    both.later(minutes=5)
    ours_once(both, issue(held))
    states = StripeOperation.objects.filter(path__endswith="add_lines").values_list("generation", "state")
    assert sorted(states) == [(1, "superseded"), (2, "done")]
    keys = list(StripeOperation.objects.filter(path__endswith="add_lines").values_list("key", flat=True))
    assert all(key.startswith(f"test:st:{held.pk}:add_lines:") for key in keys)


def test_a_line_that_somebody_added_by_hand_stops_it_with_an_alarm(both: Both, held: Statement) -> None:
    invoice = StripeInvoice.objects.get(reason="subscription_cycle")
    both.post(f"/v1/invoices/{invoice.pk}/add_lines", lines=[{"amount": 1, "description": "A gift"}])
    issued = issue(held)
    assert issued.state == "held"
    alarm = BillingAlarm.objects.get()
    assert (alarm.kind, alarm.subject) == ("invoice_mismatch", invoice.pk)
    assert "not ours" in alarm.detail
    for _ in range(3):
        both.ticks()
    assert both.get(f"/v1/invoices/{invoice.pk}")["status"] == "draft"
    assert BillingAlarm.objects.count() == 1


def test_a_line_of_ours_that_was_changed_by_hand_stops_it(
    both: Both, held: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "_finalize", lambda statement: statement)
    issue(held)
    monkeypatch.undo()
    both.move(DECEMBER + timedelta(hours=2))
    line = StripeLine.objects.filter(line__statement=held).first()
    assert line
    both.post(f"/v1/invoices/{line.invoice_id}/lines/{line.stripe_id}", amount=1)
    assert issue(held).state == "attached"
    assert BillingAlarm.objects.get().kind == "invoice_mismatch"


def test_finalised_midway_the_rest_goes_on_another_invoice(
    both: Both, held: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "LINES_AT_ONCE", 1)
    assert held.lines.count() == 2
    real: Callable[..., None] = attaching._send
    sent: list[int] = []

    def then_somebody_finalises(statement: Statement, invoice: StripeInvoice, lines: Any) -> None:
        real(statement, invoice, lines)
        sent.append(1)
        if len(sent) == 1:
            both.post(f"/v1/invoices/{invoice.pk}/finalize")

    monkeypatch.setattr(attaching, "_send", then_somebody_finalises)
    for _ in range(4):
        issued = issue(held)
    ours_once(both, issued)
    invoices = {row.invoice_id for row in StripeLine.objects.filter(line__statement=held)}
    assert len(invoices) == 2
    assert issued.state in ("finalized", "paid")


def test_a_tax_location_that_stripe_cannot_use_leaves_a_draft_and_says_so(
    both: Both, settings: Settings, bob: Person
) -> None:
    from billing.seeding import subscribe as put_on

    settings.STRIPE_TAX = True
    put_on(bob.account, "enterprise")
    use(bob)
    both.move(DECEMBER + timedelta(hours=2))
    both.ticks()
    usage = Statement.objects.get(account=bob.account)
    assert usage.state != "finalized"
    kinds = set(BillingAlarm.objects.values_list("kind", flat=True))
    assert kinds == {"not_finalized"}
    assert OutgoingMail.objects.get(account=bob.account).subject == "We need your address"
    customer = StripeCustomer.objects.get(account=bob.account)
    both.post(f"/v1/customers/{customer.pk}", address={"country": "KR", "line1": "1 Toll Road"})
    both.later(hours=2)
    both.ticks()
    usage.refresh_from_db()
    assert usage.state == "finalized"
    assert usage.stripe_invoice
    assert usage.stripe_invoice.tax_minor > 0


def test_cancelling_does_not_stop_what_is_still_owed(both: Both, held: Statement) -> None:
    customer = StripeCustomer.objects.get().pk
    card = both.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)["id"]
    both.post(f"/v1/customers/{customer}", invoice_settings={"default_payment_method": card})
    sub = StripeSubscription.objects.get()
    both.post(f"/v1/subscriptions/{sub.pk}", default_payment_method=card)
    issue(held)
    both.later(hours=2)
    following.follow_all()
    both.fake.client().raw_request("delete", f"/v1/subscriptions/{sub.pk}")
    following.follow_all()
    owed = [one for one in both.fake.objects("invoice") if one["status"] == "open"]
    assert owed
    assert all(one["auto_advance"] for one in owed)


def test_a_replayed_webhook_of_a_renewal_holds_it_once(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    both.move(DECEMBER)
    (event,) = (
        e
        for e in both.events("invoice.created")
        if e["data"]["object"]["billing_reason"] == "subscription_cycle"
    )
    assert [deliver(event), deliver(event)] == [200, 200]
    assert StripeOperation.objects.filter(key__contains=":hold:").count() == 1
    assert both.get(f"/v1/invoices/{event['data']['object']['id']}")["auto_advance"] is False


@pytest.mark.parametrize("path", ["add_lines$", "finalize$"])
def test_a_draft_deleted_by_hand_is_an_alarm_and_replaced(both: Both, december: Statement, path: str) -> None:
    both.move(DECEMBER + timedelta(days=4))
    following.follow_all()
    both.fake.control("faults", next=[{"fault": "cut_before", "path": path} for _ in range(3)])
    with pytest.raises(ProviderAway):
        issue_frozen_statements()
    both.fake.control("faults", clear=True)
    lost = StripeInvoice.objects.get(reason="manual", status="draft")
    both.fake.client().raw_request("delete", f"/v1/invoices/{lost.pk}")
    for _ in range(4):
        both.ticks()
    issued = Statement.objects.get(pk=december.pk)
    assert issued.state in ("finalized", "paid")
    assert issued.stripe_invoice_id != lost.pk
    ours_once(both, issued)
    assert BillingAlarm.objects.get().kind == "lost_invoice"
