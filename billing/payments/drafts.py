"""Which invoice a statement's lines go on: the renewal's draft, held, or one of its own."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.models import Statement, StripeInvoice, StripeOperation, StripeSubscription
from billing.payments import states
from billing.payments.customers import customer_of
from billing.payments.mirror import sync_invoice
from billing.payments.operations import perform
from billing.payments.stripe import api, is_live
from billing.period import BillingPeriod

# How long after a period's end its renewal may still come. Past that its usage goes on an invoice of its own.
RENEWAL_WITHIN = timedelta(hours=6)

State = Statement.State


def choose_invoice(statement: Statement) -> Statement:
    """Let a frozen statement have a draft to stand on; it stays frozen while its renewal may still come."""
    draft = _renewal_draft(statement)
    if draft is None and _renewal_may_come(statement):
        return statement
    invoice_id = draft.pk if draft else own_invoice(statement)
    if draft is None:
        sync_invoice(invoice_id)
    return _held(statement, invoice_id)


def _renewal_draft(statement: Statement) -> StripeInvoice | None:
    """The held draft of the renewal that may carry the statement's usage; asks Stripe if we know of none."""
    drafts = StripeInvoice.objects.filter(
        account=statement.account,
        livemode=is_live(),
        usage_period=statement.period,
        currency=statement.currency,
        status="draft",
    )
    if not drafts.exists():
        find_renewals(statement)
    draft = drafts.first()
    if draft and draft.held_at is None:
        hold(draft.pk)
    return draft


def find_renewals(statement: Statement) -> None:
    """A webhook may be lost: list the drafts of the account's subscriptions, and mirror them."""
    subscriptions = StripeSubscription.objects.filter(account=statement.account, livemode=is_live())
    for subscription in subscriptions.exclude(status__in=("incomplete", "incomplete_expired")):
        for found in api().pages("/v1/invoices", subscription=subscription.pk, status="draft"):
            sync_invoice(found["id"])


def hold(invoice_id: str) -> None:
    """Keep Stripe from finalising a draft by itself: usage is still to be added. Refused if it is no draft."""
    perform(f"in:{invoice_id}:hold", f"/v1/invoices/{invoice_id}", {"auto_advance": False})
    StripeInvoice.objects.filter(pk=invoice_id, held_at=None).update(held_at=timezone.now())


def _renewal_may_come(statement: Statement) -> bool:
    """Whether a subscription renews with the statement's end, and its invoice is not there yet."""
    period_end = BillingPeriod.parse(statement.period).end
    if statement.ends_at != period_end or timezone.now() > period_end + RENEWAL_WITHIN:
        return False
    ours = StripeSubscription.objects.filter(account=statement.account, livemode=is_live())
    renewing = ours.filter(status__in=("active", "past_due", "trialing")).exclude(cancel_at__lte=period_end)
    known = StripeInvoice.objects.filter(account=statement.account, usage_period=statement.period)
    return renewing.exists() and not known.exists()


def own_invoice(statement: Statement) -> str:
    """Make an invoice with only this statement on it; return its id. Of a draft that is gone, the next one."""
    made = StripeOperation.objects.filter(stem__contains=f"st:{statement.pk}:create:").values("answer")
    gone = StripeInvoice.objects.filter(pk__in=made).exclude(status="draft").count()
    stem = f"st:{statement.pk}:create:{gone}"
    customer = customer_of(statement.account)
    return perform(
        stem,
        "/v1/invoices",
        _invoice_body(statement, customer),
        account=statement.account,
        find=lambda: _find_own(statement, customer),
    )


def _invoice_body(statement: Statement, customer: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "customer": customer,
        "currency": statement.currency.lower(),
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "metadata": {"turnpike_statement": str(statement.pk)},
        "description": f"Usage in {statement.period}",
    }
    if is_charged(statement):
        body["collection_method"] = "charge_automatically"
    else:
        body["collection_method"] = "send_invoice"
        body["days_until_due"] = statement.plan_version.days_until_due
    if settings.STRIPE_TAX:
        body["automatic_tax"] = {"enabled": True}
    return body


def is_charged(statement: Statement) -> bool:
    """Charge the card of who pays by card: whoever has subscribed at Stripe, unless the plan is by agreement."""
    if statement.plan_version.plan.by_agreement:
        return False
    subscribed = StripeSubscription.objects.filter(account=statement.account, livemode=is_live())
    return subscribed.exclude(status__in=("incomplete", "incomplete_expired")).exists()


def _find_own(statement: Statement, customer: str) -> str | None:
    for found in api().pages("/v1/invoices", customer=customer, status="draft"):
        if (found.get("metadata") or {}).get("turnpike_statement") == str(statement.pk):
            return str(found["id"])
    return None


@transaction.atomic
def _held(statement: Statement, invoice_id: str) -> Statement:
    statement = states.locked(statement.pk)
    if statement.state == State.FROZEN:
        statement.state, statement.stripe_invoice_id = State.HELD, invoice_id
        statement.provider = "stripe"
        statement.save(update_fields=["state", "stripe_invoice", "provider"])
    return statement
