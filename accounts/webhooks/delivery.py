"""From a row to the receiver: claim what is due, send it, record what came of it.

At least once: a receiver that answered and was not heard gets the message again, with the same `webhook-id`.
"""

import random
from datetime import datetime, timedelta

import structlog
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import mails
from accounts.models import Role, WebhookDelivery, WebhookEndpoint
from accounts.webhooks import endpoints
from accounts.webhooks.sender import Message, Outcome, send
from accounts.webhooks.signing import headers

# Waits after the first, second, … failed attempt: the specification's own schedule, 75 hours in all.
WAITS = [
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=24),
]  # fmt: skip
JITTER = 0.2  # a wait is up to a fifth longer, so that what failed together does not come back together
PATIENCE = timedelta(days=3)  # an endpoint that took nothing for so long is switched off
LEASE = timedelta(seconds=60)  # an attempt longer than this belongs to a process that died
AT_ONCE = 50
AT_ONCE_EACH = 5  # to one endpoint: a slow receiver does not hold up the others
KEEP = timedelta(days=30)
_RUNNING = "webhooks-being-sent"
_log = structlog.get_logger(__name__)


def deliver_due() -> int:
    """Send every message that is due; return how many attempts were made. One run at a time.

    The lock keeps slow receivers from taking more than one of the workers; what is right does not hang on it.
    """
    if not cache.add(_RUNNING, True, timeout=LEASE.total_seconds()):
        return 0
    try:
        return _deliver_batch()
    finally:
        cache.delete(_RUNNING)


def _deliver_batch() -> int:
    """1. Claim: each attempt is counted and leased, committed.
          If we die here, the lease runs out and the attempt is made by somebody else.
    2. Send, all at once.
          If we die here, a message that was taken is sent again, with its id.
    3. Record. A claim that somebody took over meanwhile is theirs to record.
    """
    claimed = _claim(timezone.now())
    outcomes = async_to_sync(send)([_message(delivery) for delivery in claimed]) if claimed else []
    for delivery, outcome in zip(claimed, outcomes, strict=True):
        record(delivery, outcome)
    return len(claimed)


@transaction.atomic
def _claim(now: datetime) -> list[WebhookDelivery]:
    due = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING, next_attempt_at__lte=now)
    place = Window(RowNumber(), partition_by=F("endpoint_id"), order_by="next_attempt_at")
    fair = due.annotate(place=place).filter(place__lte=AT_ONCE_EACH).values("pk")
    rows = due.filter(pk__in=fair, endpoint__disabled_at=None).order_by("next_attempt_at")
    locked = rows.select_for_update(skip_locked=True, of=("self",)).select_related("endpoint")
    claimed = list(locked[:AT_ONCE])
    for delivery in claimed:
        delivery.attempts += 1
        delivery.attempted_at, delivery.next_attempt_at = now, now + LEASE
    WebhookDelivery.objects.bulk_update(claimed, ["attempts", "attempted_at", "next_attempt_at"])
    return claimed


def _message(delivery: WebhookDelivery) -> Message:
    now = timezone.now()
    secrets = delivery.endpoint.secrets_at(now)
    signed = headers(secrets, delivery.message_id, now, delivery.body)
    return Message(delivery.endpoint.url, signed, delivery.body)


@transaction.atomic
def record(delivery: WebhookDelivery, outcome: Outcome) -> None:
    """Write what an attempt came to, unless another attempt has begun since: delivered, wait, or given up."""
    row = WebhookDelivery.objects.select_for_update().get(pk=delivery.pk)
    if row.state != WebhookDelivery.State.PENDING or row.attempts != delivery.attempts:
        return
    row.status, row.error = outcome.status, outcome.error
    if outcome.taken:
        row.state, row.next_attempt_at = WebhookDelivery.State.DELIVERED, None
    elif row.attempts > len(WAITS):
        row.state, row.next_attempt_at = WebhookDelivery.State.FAILED, None
    else:
        row.next_attempt_at = timezone.now() + wait_after(row.attempts)
    row.save(update_fields=["status", "error", "state", "next_attempt_at"])
    _judge(row.endpoint, outcome)


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after so many failed attempts, jitter included."""
    return WAITS[attempts - 1] * (1 + random.random() * JITTER)  # noqa: S311 - no secret hangs on it


def _judge(endpoint: WebhookEndpoint, outcome: Outcome) -> None:
    """Keep the endpoint's record of failing; switch it off when it says so itself, or has failed too long."""
    now = timezone.now()
    if outcome.taken:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)
        return
    WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=now)
    if outcome.status == 410:
        _give_up(endpoint, WebhookEndpoint.Reason.GONE)
    elif endpoint.failing_since and now - endpoint.failing_since > PATIENCE:
        _give_up(endpoint, WebhookEndpoint.Reason.FAILURES)


def _give_up(endpoint: WebhookEndpoint, reason: str) -> None:
    """Switch the endpoint off and tell the account's owners and admins, once, in the same transaction."""
    if not endpoints.disable(endpoint, reason):
        return
    _log.info("webhook endpoint switched off", endpoint=str(endpoint.pk), reason=reason)
    readers = mails.readers_of(endpoint.account, Role.OWNER, Role.ADMIN)
    mails.write(readers, lambda: _letter(endpoint, reason), endpoint.account)


def _letter(endpoint: WebhookEndpoint, reason: str) -> mails.Letter:
    why = _("%(url)s has answered no message with a 2xx status for three days.")
    if reason == WebhookEndpoint.Reason.GONE:
        why = _("%(url)s answered 410 Gone, which says that it wants no more messages.")
    return mails.Letter(
        subject=_("A webhook endpoint of %(account)s was switched off") % {"account": endpoint.account.name},
        paragraphs=[
            why % {"url": endpoint.url},
            _("No more messages go there. Mend it, switch it on again, and send what it missed again."),
        ],
        button=_("See the endpoint"),
        link=reverse("webhook", args=[endpoint.pk]),
    )


def forget_old() -> int:
    """Delete messages that were made more than `KEEP` ago; return how many."""
    return WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEEP).delete()[0]
