"""Endpoints: adding one, rotating its secret, switching it off and on, trying it out."""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import addresses
from accounts.models import Account, User, WebhookDelivery, WebhookEndpoint
from accounts.webhooks.events import PING, body_of
from accounts.webhooks.signing import new_secret

MOST_ENDPOINTS = 10  # of one account
OLD_SECRET_LIVES = timedelta(hours=24)
BETWEEN_PINGS = timedelta(seconds=10)


class EndpointRefusedError(ValueError):
    """It cannot be done; the message says why and what to do."""


def check_address(url: str) -> None:
    """ValueError, in words for whoever typed it, if messages cannot go to `url` from here."""
    parts = addresses.split_address(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(_("Leave name and password out of the address: the signature proves who sends."))
    if parts.fragment:
        raise ValueError(_("Leave out everything from the # on: it is never sent."))
    if settings.ALLOW_PRIVATE_WEBHOOKS:
        return
    if parts.scheme != "https" or parts.port not in (None, 443):
        raise ValueError(_("Use https:// on its usual port, so that nobody reads the messages on their way."))
    if addresses.leads_inside(parts):
        raise ValueError(_("%s is a private address. Messages go to public ones only.") % parts.hostname)


def add_endpoint(
    account: Account, url: str, events: Sequence[str], *, description: str = "", by: User | None = None
) -> tuple[WebhookEndpoint, str]:
    """Write an endpoint and return (row, secret). The secret exists in this return value and, sealed, in the row.

    ValueError for an address that `check_address` refuses, EndpointRefusedError past `MOST_ENDPOINTS`.
    """
    check_address(url)
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        if WebhookEndpoint.objects.filter(account=account).count() >= MOST_ENDPOINTS:
            raise EndpointRefusedError(
                _("An account has at most %(most)s endpoints. Remove one first.") % {"most": MOST_ENDPOINTS}
            )
        secret = new_secret()
        endpoint = WebhookEndpoint(
            account=account, url=url, events=list(events), description=description, created_by=by
        )
        endpoint.set_secret(secret)
        endpoint.save()
    return endpoint, secret


def rotate_secret(endpoint: WebhookEndpoint) -> str:
    """Give the endpoint a new secret and return it. The old one signs beside it for `OLD_SECRET_LIVES`."""
    secret = new_secret()
    with transaction.atomic():
        row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
        row.set_secret(secret, old_until=timezone.now() + OLD_SECRET_LIVES)
        row.save(update_fields=["sealed_secret", "sealed_old_secret", "old_secret_until"])
    return secret


@transaction.atomic
def disable(endpoint: WebhookEndpoint, reason: str = WebhookEndpoint.Reason.MEMBER) -> bool:
    """Switch the endpoint off and give up what waits for it; tell whether it was on."""
    switched = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None).update(
        disabled_at=timezone.now(), disabled_reason=reason
    )
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=WebhookDelivery.State.PENDING)
    waiting.update(state=WebhookDelivery.State.FAILED, next_attempt_at=None, error="endpoint_off")
    return bool(switched)


def enable(endpoint: WebhookEndpoint) -> None:
    """Switch the endpoint on again. What it missed is not sent by itself: "send again" does that."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        disabled_at=None, disabled_reason="", failing_since=None
    )


def ping(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Write a test message for the endpoint. EndpointRefusedError if it is off, or had one a moment ago."""
    if endpoint.disabled_at:
        raise EndpointRefusedError(_("The endpoint is switched off. Switch it on first."))
    recently = timezone.now() - BETWEEN_PINGS
    if WebhookDelivery.objects.filter(endpoint=endpoint, event=PING, created_at__gt=recently).exists():
        raise EndpointRefusedError(_("A test message went out a moment ago. Wait ten seconds."))
    body = body_of(PING, {"endpoint": str(endpoint.pk)})
    return WebhookDelivery.objects.create(endpoint=endpoint, event=PING, body=body)


def send_again(delivery: WebhookDelivery) -> None:
    """Let a message that is done be sent anew, from its first attempt on, with the same id.

    EndpointRefusedError if its endpoint is off, or it is on its way already.
    """
    if delivery.endpoint.disabled_at:
        raise EndpointRefusedError(_("The endpoint is switched off. Switch it on first."))
    done = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=WebhookDelivery.State.PENDING)
    if not done.update(state=WebhookDelivery.State.PENDING, attempts=0, next_attempt_at=timezone.now()):
        raise EndpointRefusedError(_("This message is on its way already."))
