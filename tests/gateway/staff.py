"""Working in the admin: addresses, dialogs, and rows for its lists."""

from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.ids import uuid7
from accounts.models import Account, User
from accounts.webhooks.endpoints import add_endpoint
from accounts.webhooks.events import EVENTS
from billing import alerts
from billing.budget_window import Window
from billing.budgets import set_budget
from billing.credit_notes import credit_statement
from billing.credits import grant_credit, withdraw
from billing.invoicing import close_period
from billing.metering import record
from billing.models import (
    Adjustment,
    AlertMark,
    AutoTopUp,
    CreditNote,
    CreditSource,
    Discrepancy,
    EntitlementOverride,
    PlanVersion,
    PriceVersion,
    ReconciliationRun,
    RollupMark,
    Statement,
    TopUp,
    TopUpRefund,
    UnitPrice,
)
from billing.payments import mark_paid, payment_provider
from billing.period import BillingPeriod
from billing.pricing import Unit
from gateway.models import CatalogModel
from gateway.seeding import seed_catalog
from tests.factories import make_failure, make_person, make_report, record_calls
from tests.gateway.staff_stripe import collect


def address(row_or_model: Any, page: str = "change") -> str:
    """The admin's address of a row's page, or of a model's list (`changelist`) or form (`add`)."""
    name = f"admin:{row_or_model._meta.app_label}_{row_or_model._meta.model_name}_{page}"
    return reverse(name, args=None if isinstance(row_or_model, type) else [row_or_model.pk])


def confirm(browser: Client, row: Any, action: str, **fields: str) -> Any:
    """Send the dialog of an action on a row, with a reason, and return the page that follows."""
    data = {"_form_submitted": "True", "reason": "Asked for by phone"} | fields
    return browser.post(f"{address(row)}{action}/".replace("/change/", "/"), data, follow=True)


def fill(people: int) -> None:
    """Give the lists rows of every kind, so many of each."""
    seed_catalog()
    last_month = BillingPeriod.containing(timezone.now()).previous
    for number in range(people):
        person = make_person(f"Person{User.objects.count()}", "free" if number % 2 else "pro")
        during = last_month.start + timedelta(days=3, minutes=number)
        record_calls(make_report(person, during), make_failure(person, during), make_report(person))
        person.account.subscriptions.update(started_at=last_month.start)
        statement = close_period(person.account, last_month)
        assert statement
        payment_provider().issue(statement)
        collect(person.account, statement)
        _correct(person.account, number)
        set_budget(person.account, Window.DAY, 5_000_000_000, key=person.key)
        EntitlementOverride.objects.create(
            account=person.account, field="concurrency", value=9, reason="A trial"
        )
        add_endpoint(person.account, "http://127.0.0.1:9/", list(EVENTS))
        set_budget(person.account, Window.MONTH, 1)
        alerts.check_due()
        record([(f"broken-{person.user.pk}", b"garbage")])
        Authenticator.objects.create(user=person.user, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})
        EmailAddress.objects.create(user=person.user, email=person.user.email)
        price = PriceVersion.objects.create(model=f"{person.user.pk}/model", source="a page")
        UnitPrice.objects.create(version=price, unit=Unit.REQUEST, price="0.001")
        pro = PlanVersion.objects.filter(plan__slug="pro").latest("number")
        PlanVersion.objects.create(
            plan=pro.plan, number=pro.number + 1, effective_from=pro.effective_from, price_minor=900
        )
        CatalogModel.objects.create(model_id=f"{person.user.pk}/model", tasks=["text-generation"])
        Group.objects.create(name=f"Group of {person.user.pk}")
    # Last: each roll-up, and each look at alerts, takes the marks that it finds.
    for number in range(people + 1):
        AlertMark.objects.create(account_id=uuid7())
        RollupMark.objects.create(account_id=uuid7(), minute=last_month.start + timedelta(hours=number))


def _correct(account: Account, number: int) -> None:
    """Give an account credit that it uses, a credit note that waits, and a difference in its books."""
    reference = f"{account.pk}"
    grant = grant_credit(account, CreditSource.PREPAID, 5_000_000_000, reference=reference)
    withdraw(grant, 1_000_000_000, note="A test")
    bought = TopUp.objects.create(account=account, amount_minor=500, currency="USD")
    TopUpRefund.objects.create(top_up=bought, amount_minor=100, reference=reference)
    AutoTopUp.objects.create(account=account)
    statement = Statement.objects.filter(account=account).latest("created_at")
    if statement.total_minor:
        credit_statement(mark_paid(statement), reason=CreditNote.Reason.OTHER, reference=reference)
    Adjustment.objects.create(
        account=account, kind="rerating", currency="USD", amount_minor=number + 1, period="2026-10",
        reference=reference,
    )  # fmt: skip
    run = ReconciliationRun.objects.create(period="2026-10")
    Discrepancy.objects.create(
        check_name="rollups",
        period=run.period,
        subject=reference,
        expected=1,
        found=2,
        unit="calls",
        detail="x",
    )
