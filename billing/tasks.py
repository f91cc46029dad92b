"""Doorbells: each task calls one function. Rows are the work: after a lost ring, the next tick does it."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing import (
    aggregation,
    alerts,
    conversion,
    credit_notes,
    dunning,
    invoicing,
    partitions,
    payments,
    refunds,
    topups,
)
from billing.collection import following, inbox, plans
from billing.credits import expire_credits as expire_unused_credits
from billing.payments.provider import ProviderAway
from billing.period import BillingPeriod

# A roll-up takes HOURS_AT_ONCE hours. So many rounds catch up after an outage, and still end.
ROUNDS = 50


@shared_task
def roll_up_usage() -> None:
    """Bring the totals up to date with the ledger."""
    for _ in range(ROUNDS):
        if not aggregation.roll_up():
            return


@shared_task
def check_alerts() -> None:
    """Tell accounts which thresholds of their budgets they have reached."""
    alerts.check_due()


@shared_task
def close_due_periods() -> None:
    """Freeze the statements of every period that is over."""
    invoicing.close_due_periods()


@shared_task(autoretry_for=(ProviderAway,), retry_backoff=5, retry_backoff_max=120, max_retries=5)
def issue_frozen_statements() -> None:
    """Hand frozen statements to the payment provider."""
    payments.issue_frozen_statements()


@shared_task
def convert_prices() -> None:
    """Let a price in USD that has come into force since have its counterparts in the other currencies."""
    conversion.convert_prices()


@shared_task
def send_credit_notes() -> None:
    """Tell the payment provider of new credit notes, and of top-ups to give back."""
    credit_notes.send_credit_notes()
    refunds.send_refunds()


@shared_task
def expire_credits() -> None:
    """Write off credit that nobody can use any more."""
    expire_unused_credits(timezone.now())


@shared_task
def top_up() -> None:
    """Buy credit for the accounts that asked for it and have little left."""
    topups.top_up_due_accounts()


@shared_task
def ensure_partitions() -> None:
    """Make room in the ledger for this month and the next three."""
    month = BillingPeriod.containing(timezone.now())
    months = [month, month.next, month.next.next, month.next.next.next]
    partitions.ensure_partitions(months)


@shared_task
def review_dunning() -> None:
    """Take the steps that are due where a payment is overdue."""
    dunning.review_all()


@shared_task(autoretry_for=(ProviderAway,), retry_backoff=5, retry_backoff_max=120, max_retries=5)
def work_on_webhooks() -> None:
    """Work on what the payment provider told us."""
    if settings.STRIPE_SECRET_KEY:
        inbox.work()


@shared_task(autoretry_for=(ProviderAway,), retry_backoff=5, retry_backoff_max=120, max_retries=5)
def follow_stripe() -> None:
    """Look at Stripe ourselves, since a webhook can be lost."""
    if settings.STRIPE_SECRET_KEY:
        following.follow_all()


@shared_task(autoretry_for=(ProviderAway,), retry_backoff=5, retry_backoff_max=120, max_retries=5)
def catch_up_webhooks() -> None:
    """Fetch the events that were not delivered, and see that no price was edited."""
    if settings.STRIPE_SECRET_KEY:
        inbox.catch_up()
        inbox.work()
        plans.check_prices()
