"""Rows of what Stripe told us and we asked it, for the admin's lists."""

from django.utils import timezone

from accounts.models import Account
from billing.models import (
    BillingAlarm,
    Dispute,
    Dunning,
    DunningStep,
    PlanVersion,
    Statement,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripeLine,
    StripeOperation,
    StripePrice,
    StripeSubscription,
    WebhookInbox,
)


def collect(account: Account, statement: Statement) -> None:
    """Give an account a row of every kind that collecting with Stripe makes."""
    now, tag, version = timezone.now(), account.pk.hex, statement.plan_version
    StripeCustomer.objects.create(id=f"cus_{tag}", account=account)
    StripeSubscription.objects.create(id=f"sub_{tag}", account=account, status="active")
    StripeCheckout.objects.create(id=f"cs_{tag}", account=account, purpose="subscribe", expires_at=now)
    invoice = StripeInvoice.objects.create(id=f"in_{tag}", account=account, status="open", currency="USD")
    line = statement.lines.first()
    assert line is not None
    StripeLine.objects.create(line=line, invoice=invoice, stripe_id=f"il_{tag}")
    key = f"st:{tag}:finalize"
    StripeOperation.objects.create(key=f"{key}:g1", stem=key, account=account, path="/v1/invoices")
    WebhookInbox.objects.create(
        event_id=f"evt_{tag}", type="invoice.paid", object_id=invoice.pk, occurred_at=now
    )
    BillingAlarm.objects.create(kind="invoice_mismatch", account=account, subject=invoice.pk, detail="x")
    Dispute.objects.create(
        id=f"du_{tag}", account=account, payment=f"pi_{tag}", amount_minor=900, currency="USD", status="won"
    )
    dunning = Dunning.objects.create(account=account, plan_version=version, began_at=now)
    DunningStep.objects.create(dunning=dunning, step=DunningStep.Step.FAILED)
    StripePrice.objects.create(
        id=f"price_{tag}",
        plan_version=PlanVersion.objects.exclude(stripe_prices__livemode=False).earliest("pk"),
        product_id="prod_1",
        lookup_key=f"pro-{tag}",
    )
