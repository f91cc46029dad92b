"""What staff do in the admin: each action does its one thing, says so, and keeps the reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.models import Account, ApiKey, Role, User
from billing.invoicing import close_period
from billing.metering import record
from billing.models import (
    DeadEvent,
    Plan,
    PlanVersion,
    PriceVersion,
    Statement,
    Subscription,
    UsageEvent,
    UsagePeriod,
)
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricing import Unit
from gateway.models import CatalogModel
from gateway.seeding import seed_catalog
from tests.browsing import text_of
from tests.factories import Person, make_person, make_report, record_calls
from tests.gateway.staff import address, confirm

# --- Actions -----------------------------------------------------------------------------------------------


def test_olivia_revokes_alices_key_for_good_and_the_reason_is_kept(olivia: Client, alice: Person) -> None:
    page = text_of(confirm(olivia, alice.key, "revoke"))
    assert "is revoked." in page
    assert ApiKey.objects.get(pk=alice.key.pk).status == "revoked"
    assert LogEntry.objects.get().change_message == "Revoked: Asked for by phone"
    assert confirm(olivia, alice.key, "revoke").status_code == 403  # once is enough


def test_looking_at_a_dialog_changes_nothing_and_it_asks_for_a_reason(olivia: Client, alice: Person) -> None:
    url = f"/admin/accounts/apikey/{alice.key.pk}/revoke/"
    assert "Revoke this key for good?" in text_of(olivia.get(url))
    olivia.post(url, {"_form_submitted": "True", "reason": ""})
    assert ApiKey.objects.get(pk=alice.key.pk).status == "active"


def test_a_dialog_without_the_csrf_token_is_refused(alice: Person, olivia: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = olivia.cookies
    assert confirm(strict, alice.key, "revoke").status_code == 403
    assert ApiKey.objects.get(pk=alice.key.pk).status == "active"


def test_a_dialog_that_htmx_sends_is_answered_in_its_way(olivia: Client, alice: Person) -> None:
    url = f"/admin/accounts/account/{alice.account.pk}/suspend/"
    data = {"_form_submitted": "True", "reason": "Chargeback"}
    answer = olivia.post(url, data, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == address(alice.account)


def test_olivia_suspends_and_reactivates_an_account_with_a_reason(olivia: Client, alice: Person) -> None:
    assert "Alice is suspended." in text_of(confirm(olivia, alice.account, "suspend", reason="Chargeback"))
    account = Account.objects.get(pk=alice.account.pk)
    assert account.suspended_at
    assert account.suspension_reason == "Chargeback"
    assert confirm(olivia, account, "suspend").status_code == 403  # it is already
    assert "Alice is active again." in text_of(confirm(olivia, account, "reactivate"))
    again = Account.objects.get(pk=alice.account.pk)
    assert not again.suspended_at
    assert not again.suspension_reason
    assert LogEntry.objects.count() == 2


def test_an_account_keeps_an_owner(olivia: Client, alice: Person, charlie: Person) -> None:
    members = list(alice.account.memberships.all())
    assert [member.role for member in members] == [Role.OWNER, Role.VIEWER]
    data = {
        "name": "Alice",
        "kind": "personal",
        "time_zone": "UTC",
        "currency": "USD",
        "memberships-TOTAL_FORMS": "2",
        "memberships-INITIAL_FORMS": "2",
        "api_keys-TOTAL_FORMS": "0",
        "api_keys-INITIAL_FORMS": "0",
        "subscriptions-TOTAL_FORMS": "0",
        "subscriptions-INITIAL_FORMS": "0",
    }
    for index, member in enumerate(members):
        row = {"id": member.pk, "user": member.user_id, "account": member.account_id, "role": Role.DEVELOPER}
        data |= {f"memberships-{index}-{field}": str(value) for field, value in row.items()}
    assert "An account needs an owner." in text_of(olivia.post(address(alice.account), data))
    members[0].refresh_from_db()
    assert members[0].role == Role.OWNER
    data["memberships-1-role"] = Role.OWNER
    assert olivia.post(address(alice.account), data).status_code == 302
    assert list(alice.account.memberships.values_list("role", flat=True)) == [Role.DEVELOPER, Role.OWNER]


def test_somebody_whom_olivia_adds_gets_a_personal_account(olivia: Client) -> None:
    form = {"email": "Erin@Example.com", "name": "Erin", "language": "ko", "usable_password": "false"}
    inlines = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    assert olivia.post(address(User, "add"), form | inlines).status_code == 302
    erin = User.objects.get(name="Erin")
    assert (erin.language, erin.accounts.get().name) == ("ko", "Erin")


def test_the_currency_of_an_account_with_usage_is_fixed(olivia: Client, alice: Person, bob: Person) -> None:
    record_calls(make_report(alice))
    assert 'name="currency"' not in olivia.get(address(alice.account)).content.decode()
    assert 'name="currency"' in olivia.get(address(bob.account)).content.decode()
    assert UsagePeriod.objects.filter(account=alice.account).exists()


def test_olivia_puts_bob_on_the_plan_that_is_sold_by_agreement(olivia: Client, bob: Person) -> None:
    version = PlanVersion.objects.current().get(plan__slug="enterprise")
    page = text_of(confirm(olivia, bob.account, "put_on_plan", version=str(version.pk)))
    assert "Bob is on Enterprise v1 now." in page
    stay = Subscription.objects.get(account=bob.account, ended_at=None)
    assert (stay.plan_version, stay.created_by) == (version, User.objects.get(name="Olivia"))
    assert "Enterprise v1" in text_of(olivia.get(address(Account, "changelist")))


def test_a_plan_in_dollars_is_refused_for_an_account_that_pays_in_won(
    olivia: Client, price_list: None
) -> None:
    minjun = make_person("Minjun", "free", currency="KRW")
    version = PlanVersion.objects.current().get(plan__slug="pro")
    page = text_of(confirm(olivia, minjun.account, "put_on_plan", version=str(version.pk)))
    assert "is priced in USD, the account pays in KRW" in page
    assert not minjun.account.subscriptions.exists()


# --- Plans and prices --------------------------------------------------------------------------------------


def values_of(page: Any) -> dict[str, str]:
    """What the add form on a page is filled in with, as a browser would send it back."""
    forms = [
        page.context["adminform"].form,
        *(it.formset.management_form for it in page.context["inline_admin_formsets"]),
    ]
    forms += [form for it in page.context["inline_admin_formsets"] for form in it.formset.forms]
    data = {}
    for form in forms:
        for field in form:
            value = field.value()
            data[field.html_name] = "" if value is None else str(value)
    return {name: value for name, value in data.items() if value != "False"}


def test_olivia_saves_pro_as_a_new_version_and_the_old_one_stays(olivia: Client, alice: Person) -> None:
    old = PlanVersion.objects.get(plan__slug="pro", currency="USD")
    form = olivia.get(f"/admin/billing/planversion/{old.pk}/new-version/", follow=True)
    data = values_of(form) | {"price_minor": "1200", "effective_from_0": "", "effective_from_1": ""}
    data["features"] = "[]"
    assert olivia.post(form.request["PATH_INFO"], data).status_code == 302
    new = PlanVersion.objects.get(plan__slug="pro", number=2, currency="USD")
    assert (new.price_minor, new.calls_per_period) == (1200, old.calls_per_period)
    assert PlanVersion.objects.current().get(plan__slug="pro") == new
    old.refresh_from_db()
    assert old.price_minor == 900
    # Alice agreed to the old one and stays on it.
    assert alice.account.subscriptions.get().plan_version == old


def test_a_version_does_not_start_in_the_past(olivia: Client, price_list: None) -> None:
    plan = Plan.objects.get(slug="pro")
    form = olivia.get(address(PlanVersion, "add"))
    data = values_of(form) | {"plan": str(plan.pk), "features": "[]"}
    data |= {"effective_from_0": "2026-01-01", "effective_from_1": "00:00:00"}
    assert "This is past" in text_of(olivia.post(address(PlanVersion, "add"), data))
    assert plan.versions.filter(currency="USD").count() == 1


def test_olivia_saves_a_price_as_a_new_version_with_its_units(olivia: Client, price_list: None) -> None:
    old = PriceVersion.objects.get(model="HuggingFaceTB/SmolLM2-135M-Instruct", currency="USD")
    form = olivia.get(f"/admin/billing/priceversion/{old.pk}/new-version/", follow=True)
    data = values_of(form) | {"effective_from_0": "", "effective_from_1": "", "source": "a new contract"}
    url = f"{form.request['PATH_INFO']}?{form.request['QUERY_STRING']}"
    assert olivia.post(url, data).status_code == 302
    new = PriceVersion.objects.get(source="a new contract")
    units = sorted(old.unit_prices.values_list("unit", "price", "upstream_cost"))
    assert units
    assert sorted(new.unit_prices.values_list("unit", "price", "upstream_cost")) == units
    page = text_of(olivia.get(address(PriceVersion, "changelist"), {"q": "SmolLM2-135M", "currency": "USD"}))
    assert page.count("In force") == 1
    assert page.count("Past") == 1


def test_a_price_version_without_a_price_is_refused(olivia: Client, price_list: None) -> None:
    form = olivia.get(address(PriceVersion, "add"))
    data = values_of(form) | {"model": "new/model", "upstream": "*", "currency": "USD", "source": "a page"}
    data |= {"effective_from_0": "", "effective_from_1": ""}
    assert "Add the price of at least one unit." in text_of(olivia.post(address(PriceVersion, "add"), data))
    assert not PriceVersion.objects.filter(model="new/model").exists()
    data |= {"unit_prices-0-unit": Unit.REQUEST.value, "unit_prices-0-price": "0.001"}
    assert olivia.post(address(PriceVersion, "add"), data).status_code == 302
    assert PriceVersion.objects.get(model="new/model", currency="USD").unit_prices.get().unit == "request"


# --- Statements --------------------------------------------------------------------------------------------


@pytest.fixture
def statement(alice: Person) -> Statement:
    """What Alice owes for last month: her fee."""
    last_month = BillingPeriod.containing(timezone.now()).previous
    Subscription.objects.filter(account=alice.account).update(started_at=last_month.start)
    record_calls(make_report(alice, last_month.start + timedelta(days=1)))
    frozen = close_period(alice.account, last_month)
    assert frozen
    return payment_provider().issue(frozen)


def test_olivia_marks_a_statement_as_paid_and_cannot_void_it_then(
    olivia: Client, statement: Statement
) -> None:
    assert f"{statement.number} is paid." in text_of(confirm(olivia, statement, "mark_paid"))
    statement.refresh_from_db()
    assert statement.state == Statement.State.PAID
    assert statement.paid_at
    assert confirm(olivia, statement, "void").status_code == 403
    statement.refresh_from_db()
    assert statement.state == Statement.State.PAID


def test_olivia_voids_a_statement_with_a_reason(olivia: Client, statement: Statement) -> None:
    confirm(olivia, statement, "void", reason="Wrong address")
    statement.refresh_from_db()
    assert statement.state == Statement.State.VOID
    assert LogEntry.objects.get().change_message == "Voided: Wrong address"


def test_a_frozen_statement_is_neither_paid_nor_voided_by_hand(olivia: Client, alice: Person) -> None:
    record_calls(make_report(alice, timezone.now() - timedelta(minutes=1)))
    now = timezone.now()
    frozen = close_period(alice.account, BillingPeriod.containing(now), until=now)
    assert frozen
    assert confirm(olivia, frozen, "mark_paid").status_code == 403
    assert confirm(olivia, frozen, "void").status_code == 403


def test_the_pdf_of_a_statement_opens(olivia: Client, statement: Statement) -> None:
    answer = olivia.get(f"/admin/billing/statement/{statement.pk}/pdf/")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert f'filename="{statement.number}.pdf"' in answer.headers["content-disposition"]


def test_a_statements_page_shows_its_lines_to_the_cent(olivia: Client, statement: Statement) -> None:
    page = text_of(olivia.get(address(statement)))
    assert "$9.00" in page
    assert all(line.description in page for line in statement.lines.all())


# --- Dead events and the catalog ---------------------------------------------------------------------------


def test_a_dead_event_is_recorded_on_the_second_try_when_the_reason_is_gone(
    olivia: Client, bob: Person
) -> None:
    report = make_report(bob)
    dead = DeadEvent.objects.create(
        stream_id="7-7", payload=report.to_json().decode(), error="the disk was full"
    )
    assert "The call is in the ledger." in text_of(confirm(olivia, dead, "retry"))
    assert UsageEvent.objects.get().request_id == report.request_id
    dead.refresh_from_db()
    assert dead.resolved_at


def test_a_dead_event_that_is_still_refused_stays_and_says_so(olivia: Client, price_list: None) -> None:
    record([("7-8", b'{"rid": "<script>alert(1)</script>"}')])
    dead = DeadEvent.objects.get()
    answer = confirm(olivia, dead, "retry")
    assert "It is still refused" in text_of(answer)
    assert "<script>alert(1)" not in answer.content.decode()
    assert DeadEvent.objects.get().resolved_at is None
    confirm(olivia, dead, "resolve", reason="A test of ours")
    assert DeadEvent.objects.get().resolved_at
    assert confirm(olivia, dead, "resolve").status_code == 403


def test_a_model_is_deprecated_listed_again_and_never_deleted(olivia: Client, db: None) -> None:
    seed_catalog()
    model = CatalogModel.objects.all()[0]
    confirm(olivia, model, "deprecate")
    assert CatalogModel.objects.get(pk=model.pk).deprecated_at
    confirm(olivia, model, "list_again")
    assert CatalogModel.objects.get(pk=model.pk).deprecated_at is None
    assert olivia.post(address(model, "delete"), {"post": "yes"}).status_code == 403
    chosen = {
        "action": "deprecate_chosen",
        "_selected_action": [str(row.pk) for row in CatalogModel.objects.all()],
    }
    olivia.post(address(CatalogModel, "changelist"), chosen)
    assert not CatalogModel.objects.filter(deprecated_at=None).exists()


def test_a_models_tasks_are_written_in_one_line(olivia: Client, db: None) -> None:
    form = {
        "model_id": "a/b",
        "tasks": "text-generation, feature-extraction",
        "context_length": "",
        "servings-TOTAL_FORMS": "0",
        "servings-INITIAL_FORMS": "0",
    }
    assert olivia.post(address(CatalogModel, "add"), form).status_code == 302
    assert CatalogModel.objects.get(model_id="a/b").tasks == ["text-generation", "feature-extraction"]
