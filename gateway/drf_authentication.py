"""The same keys, for the management API."""

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.client_address import client_address
from accounts.keys import find_key
from accounts.models import Account, ApiKey
from gateway import errors
from gateway.allow_lists import address_denied
from gateway.authentication import bearer


class KeyUser:
    """What DRF sees as the user of a request that a key made: an account, not a person."""

    is_authenticated = True
    is_anonymous = False

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.account: Account = key.account


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer tp_live_…`."""

    def authenticate(self, request: Request) -> tuple[KeyUser, ApiKey] | None:
        """Return (user, key), or None where no bearer token was sent. Refusal for a key that opens nothing."""
        header = request.headers.get("Authorization", "").encode()
        if not header.lower().startswith(b"bearer "):
            return None
        key = find_key(bearer(header))
        if key is None or key.status != "active":
            raise errors.invalid_api_key()
        if key.account.suspended_at:
            raise errors.account_suspended()
        for whose in (key.account.restrictions, key.restrictions):
            if not whose.allows_address(_address_of(request)):
                raise address_denied(whose)
        return KeyUser(key), key

    def authenticate_header(self, request: Request) -> str:
        """Make DRF answer 401, not 403, where nobody signed in."""
        return "Bearer"


def _address_of(request: Request) -> str | None:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    peer = request.META.get("REMOTE_ADDR")
    return client_address(peer, [forwarded.encode("latin-1")] if forwarded else [], settings.TRUSTED_PROXIES)
