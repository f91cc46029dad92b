"""Doorbells: each task calls one function. Rows are the work: after a lost ring, the next tick does it."""

from celery import shared_task

from accounts import mails
from accounts.webhooks import delivery


@shared_task
def send_mails() -> None:
    """Send the mails that are due."""
    mails.send_due()


@shared_task
def deliver_webhooks() -> None:
    """Send the webhook messages that are due."""
    delivery.deliver_due()


@shared_task
def forget_old_webhooks() -> None:
    """Delete webhook messages that nobody looks at any more."""
    delivery.forget_old()
