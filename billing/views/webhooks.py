"""POST /webhooks/stripe: raw bytes in, an answer at once."""

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.collection import inbox
from billing.payments.provider import ProviderAway
from billing.payments.stripe import Forged, Refused

log = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """200: kept. 400: not believed. 413: too large. 500: kept or not, Stripe must send it again. 404 without Stripe."""
    if not (settings.STRIPE_SECRET_KEY and settings.STRIPE_WEBHOOK_SECRETS):
        return _said(404, "This installation has no payment provider.")
    length = request.headers.get("Content-Length", "0")
    if (
        not length.isdigit()
        or int(length) > inbox.MOST_BODY_BYTES
        or len(request.body) > inbox.MOST_BODY_BYTES
    ):
        return _said(413, f"An event has at most {inbox.MOST_BODY_BYTES} bytes.")
    try:
        inbox.receive(request.body, request.headers.get("Stripe-Signature", ""))
    except Forged as reason:
        log.warning("webhook_refused", extra={"reason": str(reason)})
        return _said(400, str(reason))
    except (ProviderAway, Refused) as failure:
        log.warning("webhook_not_held", extra={"reason": str(failure)})
        return _said(500, "Not held yet. Send it again.")
    return _said(200, "kept")


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")
