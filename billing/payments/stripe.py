"""Stripe over HTTP: the only file that imports `stripe`. Asks, and says in five words how an answer failed.

The library is imported where it is used: it takes a second and 30 MB that an installation without Stripe need
not spend.

Facts behind the settings, tried with stripe 16.1: a `StripeClient` retries nothing by itself, 429 is never
retried, one attempt may take 80 s, and an id is written under the home folder for telemetry. Requests are
sent as they are stored (`StripeOperation.body`): only integers, text and booleans, so no Decimal goes out
as 1E-7.
"""

import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from billing.payments.provider import PaymentError, ProviderAway

if TYPE_CHECKING:
    import stripe

API_VERSION = "2026-10-28.endive"
TIMEOUT = (5, 25)  # seconds to connect, to answer
TOLERANCE = 300  # seconds that a webhook's timestamp may be away from our clock, into the past and the future

Found = dict[str, Any]


class Refused(PaymentError):
    """Stripe understood and said no (4xx): nothing happened. `code` and `decline` are Stripe's own words."""

    def __init__(
        self, message: str, status: int, code: str = "", decline: str = "", request: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.decline, self.request = status, code, decline, request

    @property
    def is_missing(self) -> bool:
        """Whether the object is not there (any more)."""
        return self.status == 404 or self.code == "resource_missing"


class NoAnswer(ProviderAway):
    """The line broke, or the wait was too long. Stripe may have done it, or not."""


class Busy(ProviderAway):
    """Too many requests, the same one still running, or a key that is not accepted: nothing happened."""


class ServerFault(ProviderAway):
    """Stripe failed (5xx). It keeps that answer under the key, so the same key never succeeds."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Forged(Exception):
    """A webhook that Stripe did not sign, or not now."""


class Api:
    """One Stripe account, asked with one key."""

    def __init__(self, key: str, base: str) -> None:
        import stripe

        stripe.enable_telemetry = False
        addresses: Any = {"api": base} if base else {}
        self._client: Any = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses=addresses,
            max_network_retries=2,
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
        )

    def get(self, path: str, **params: Any) -> Found:
        """Fetch one object. Refused (`is_missing` for none), ProviderAway."""
        return self._ask("get", path, params)

    def pages(self, path: str, **params: Any) -> Iterator[Found]:
        """Go through a list to its end, 100 at a time. Refused, ProviderAway."""
        while True:
            page = self._ask("get", path, params | {"limit": 100})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            params = params | {"starting_after": page["data"][-1]["id"]}

    def post(self, path: str, body: Mapping[str, Any], key: str) -> Found:
        """Change something, once for each idempotency key. Refused, NoAnswer, Busy, ServerFault."""
        return self._ask("post", path, {**body, "idempotency_key": key})

    def look(self, path: str, body: Mapping[str, Any]) -> Found:
        """Ask a question that Stripe takes as a POST (a preview): nothing changes. Refused, ProviderAway."""
        return self._ask("post", path, dict(body))

    def _ask(self, method: str, path: str, params: Mapping[str, Any]) -> Found:
        import stripe

        try:
            answer = self._client.raw_request(method, path, **params)
        except stripe.APIConnectionError as error:
            raise NoAnswer(str(error)) from error
        except stripe.StripeError as error:
            raise _in_our_words(error) from error
        found: Found = json.loads(answer.body)
        return found


def _in_our_words(error: "stripe.StripeError") -> Exception:
    status = error.http_status or 0
    message = error.user_message or str(error)
    if status >= 500 or status == 0:
        return ServerFault(message, status)
    if status in (401, 403, 409, 429):
        return Busy(f"{status}: {message}")
    details: Any = error.error
    decline = (getattr(details, "decline_code", None) or "") if details is not None else ""
    return Refused(message, status, error.code or "", decline, error.request_id or "")


def api() -> Api:
    """Return the door to the Stripe account of this installation. PaymentError if none is configured."""
    if not settings.STRIPE_SECRET_KEY:
        raise PaymentError("Stripe is not configured: set STRIPE_SECRET_KEY.")
    return _api(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def _api(key: str, base: str) -> Api:
    return Api(key, base)


def is_live() -> bool:
    """Whether the key moves real money. Rows of test mode and live mode never meet."""
    return "_live_" in settings.STRIPE_SECRET_KEY


def verified_event(payload: bytes, signature: str) -> Found:
    """Return a webhook's event. Forged unless one of our secrets signed it, within TOLERANCE of now."""
    import stripe

    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(payload, signature, secret, tolerance=TOLERANCE)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        _refuse_future(signature)
        return _event(payload)
    raise Forged("No secret of ours signed this, or too long ago.")


def _refuse_future(signature: str) -> None:
    """stripe checks only the past: a timestamp of tomorrow could be kept and replayed for a day."""
    moment = next(part[2:] for part in signature.split(",") if part.startswith("t="))
    if int(moment) > time.time() + TOLERANCE:
        raise Forged("The timestamp lies ahead.")


def _event(payload: bytes) -> Found:
    try:
        event = json.loads(payload)
    except ValueError:
        raise Forged("The body is not JSON.") from None
    if (
        not isinstance(event, dict)
        or event.get("object") != "event"
        or not isinstance(event.get("data"), dict)
    ):
        raise Forged("The body is not an event.")
    return event
