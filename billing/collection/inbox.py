"""Webhooks: verified, kept once, answered, and only then worked on. What they say is fetched again.

A row is there until it is worked on: if we die anywhere, the tick takes it up again. Nothing relies on order.
"""

import logging
from datetime import UTC, datetime, timedelta

from celery import current_app
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing.collection import disputes, following, plans
from billing.models import StripeInvoice, WebhookInbox
from billing.payments.customers import sync_customer
from billing.payments.provider import ProviderAway
from billing.payments.stripe import Forged, Found, api, is_live, verified_event

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 256 * 1024
AT_ONCE = 200
# Whoever works on a row has it for so long; then somebody else may.
LEASE = timedelta(minutes=2)
MOST_WAIT = timedelta(hours=6)
CATCH_UP = timedelta(days=3)


def receive(payload: bytes, signature: str) -> WebhookInbox:
    """Keep an event. Forged if it is not from Stripe, not for this mode or account, or not now.

    1. Verify. 2. Write the row; a replay finds it. If we die here, Stripe sends it again and finds the row.
    3. A renewal's draft is held before we answer, so that Stripe waits for us: ProviderAway, and so a 500, if
       that fails. 4. Ring, so that the rest is done now rather than at the next tick.
    """
    event = verified_event(payload, signature)
    _refuse_strangers(event)
    row = keep(event, "webhook")
    if is_renewal(event):
        following.follow_invoice(row.object_id)
        if not _is_held(row.object_id):
            raise ProviderAway(f"{row.object_id} could not be held.")
    ring()
    return row


def keep(event: Found, source: str) -> WebhookInbox:
    """Write an event's row, once. Only ids and times are kept."""
    facts = {
        "type": str(event["type"])[:80],
        "object_id": str((event["data"].get("object") or {}).get("id") or "")[:120],
        "livemode": bool(event.get("livemode")),
        "occurred_at": datetime.fromtimestamp(event["created"], tz=UTC),
        "source": source,
        "next_try_at": timezone.now(),
    }
    row, _ = WebhookInbox.objects.get_or_create(event_id=str(event["id"])[:80], defaults=facts)
    return row


def work() -> int:
    """Work on the rows that are due, oldest first; return how many are done. One that fails waits, longer each time.

    ProviderAway ends the round: what is left stays due.
    """
    done = 0
    due = WebhookInbox.objects.filter(done_at=None, next_try_at__lte=timezone.now()).order_by("received_at")
    for event_id in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        row = _claimed(event_id)
        if row is None:
            continue
        try:
            handle(row)
        except ProviderAway:
            WebhookInbox.objects.filter(pk=row.pk).update(next_try_at=timezone.now())
            raise
        except Exception as failure:
            log.exception("webhook_failed", extra={"event": row.pk, "type": row.type})
            wait = min(timedelta(minutes=2**row.attempts), MOST_WAIT)
            WebhookInbox.objects.filter(pk=row.pk).update(
                next_try_at=timezone.now() + wait, error=repr(failure)[:500]
            )
        else:
            WebhookInbox.objects.filter(pk=row.pk).update(done_at=timezone.now(), error="")
            done += 1
    return done


def handle(row: WebhookInbox) -> None:
    """Do what an event is about, by what Stripe says now. Types that mean nothing to us are done at once."""
    if not row.object_id:
        return
    if row.type.startswith("invoice.") and row.object_id.startswith("in_"):
        following.follow_invoice(row.object_id)
    elif row.type.startswith("customer.subscription.") and row.object_id.startswith("sub_"):
        following.follow_subscription(row.object_id)
    elif row.type.startswith("checkout.session."):
        following.follow_checkout(row.object_id)
    elif row.type in ("customer.updated", "customer.deleted"):
        sync_customer(row.object_id)
    elif row.type.startswith("charge.dispute."):
        disputes.follow_dispute(row.object_id)
    elif row.type.startswith("price."):
        plans.check_prices()


def catch_up() -> int:
    """Fetch the events of the last days that Stripe could not deliver, and keep them; return how many were new."""
    since, new = int((timezone.now() - CATCH_UP).timestamp()), 0
    for event in api().pages("/v1/events", delivery_success=False, created={"gte": since}):
        new += not WebhookInbox.objects.filter(pk=event["id"]).exists()
        keep(event, "catch-up")
    return new


def is_renewal(event: Found) -> bool:
    """Whether an event says that a renewal's invoice is there to be added to."""
    found = event["data"].get("object") or {}
    return event["type"] == "invoice.created" and found.get("billing_reason") == "subscription_cycle"


def ring() -> None:
    """Ring the worker after the commit. Where the broker is away the tick does it."""

    def send() -> None:
        try:
            current_app.send_task("billing.tasks.work_on_webhooks", expires=60, retry=False)
        except Exception:
            log.warning("webhook_bell_lost")

    transaction.on_commit(send)


def _refuse_strangers(event: Found) -> None:
    if bool(event.get("livemode")) != is_live():
        raise Forged("The event is of the other mode: test and live do not mix.")
    if event.get("account"):
        raise Forged("The event is of another Stripe account.")


def _claimed(event_id: str) -> WebhookInbox | None:
    """Take a row for LEASE. None if another worker was faster."""
    now = timezone.now()
    free = WebhookInbox.objects.filter(pk=event_id, done_at=None, next_try_at__lte=now)
    if not free.update(next_try_at=now + LEASE, attempts=F("attempts") + 1):
        return None
    return WebhookInbox.objects.get(pk=event_id)


def _is_held(invoice_id: str) -> bool:
    """Held, or nothing to hold: finalised already, or of a customer that is not ours."""
    invoice = StripeInvoice.objects.filter(pk=invoice_id).first()
    return (
        invoice is None
        or invoice.status != "draft"
        or not invoice.usage_period
        or invoice.held_at is not None
    )
