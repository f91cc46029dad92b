"""What an endpoint can hear, and the door through which news comes in."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, WebhookDelivery, WebhookEndpoint

PING = "webhook.ping"
# Every event by name, with what it tells. docs/webhooks.md says what is in each.
EVENTS: dict[str, str | Promise] = {
    "budget.threshold_reached": _("A budget has reached one of its thresholds"),
    "plan.threshold_reached": _("The plan's calls or credit are used to 80 or 100 percent"),
    "key.created": _("A key was made"),
    "key.revoked": _("A key was revoked"),
}


def publish(account: Account, event: str, data: Mapping[str, Any]) -> int:
    """Write a delivery to every endpoint of `account` that hears `event`; return how many.

    Call it in the transaction that makes the news true: then the message exists exactly if the news does.
    KeyError for an event that is not in `EVENTS`.
    """
    EVENTS[event]
    hearing = WebhookEndpoint.objects.filter(account=account, disabled_at=None, events__contains=[event])
    body = body_of(event, data)
    rows = [WebhookDelivery(endpoint=endpoint, event=event, body=body) for endpoint in hearing]
    return len(WebhookDelivery.objects.bulk_create(rows))


def body_of(event: str, data: Mapping[str, Any]) -> str:
    """Return the JSON of a message: `type`, `timestamp` and `data`, as the specification recommends."""
    now = timezone.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.dumps({"type": event, "timestamp": now, "data": data}, ensure_ascii=False)
