"""API keys: issued once, recognised without a lookup, stored only as a keyed hash.

    tp_live_<27 base62 characters, 160 random bits>_<6 base62 characters, CRC-32 of all before>

The prefix makes a leaked key findable by scanners and the checksum makes a typo answerable without
touching any store, as GitHub's tokens do
(https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/).
At 160 random bits a slow password hash buys nothing; HMAC-SHA256 with a pepper kept outside the
database means that a copied database opens no door. Peppers carry versions so that they can be rotated.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, ApiKey, User
from accounts.webhooks.events import publish

PREFIX = "tp_live_"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"tp_live_[0-9A-Za-z]{27}_[0-9A-Za-z]{6}")


def issue_key(
    account: Account, name: str, *, created_by: User | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Write a new key and return (row, secret). The secret exists in this return value and nowhere else."""
    return store_key(account, name, new_secret(), created_by=created_by, expires_at=expires_at)


def store_key(
    account: Account,
    name: str,
    secret: str,
    *,
    created_by: User | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Write a row for a secret made elsewhere (the seed's demo keys). ValueError if it is malformed."""
    if not is_well_formed(secret):
        raise ValueError("An API key must have the form tp_live_<27 characters>_<checksum>.")
    version = max(settings.API_KEY_PEPPERS)
    with transaction.atomic():
        row = ApiKey.objects.create(
            account=account,
            created_by=created_by,
            name=name,
            prefix=PREFIX,
            last4=secret[-4:],
            digest=digest(secret, version),
            pepper_version=version,
            expires_at=expires_at,
        )
        publish(account, "key.created", _described(row))
    return row, secret


def revoke_key(key: ApiKey) -> ApiKey:
    """Revoke `key` for good and return it. Doing it twice keeps the first moment."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        with transaction.atomic():
            # save(), not update(): a signal tells every gateway process, see gateway/announcements.py
            key.save(update_fields=["revoked_at"])
            publish(key.account, "key.revoked", _described(key))
    return key


def find_key(secret: str) -> ApiKey | None:
    """Return the row of this secret with its account, usable or not, or None. One index probe per pepper."""
    if not is_well_formed(secret):
        return None
    return ApiKey.objects.select_related("account").filter(digest__in=list(digests(secret))).first()


def is_well_formed(secret: str) -> bool:
    """Tell, without any lookup, whether `secret` has the form of a key and the right checksum."""
    if not _FORM.fullmatch(secret):
        return False
    body, _, checksum = secret.rpartition("_")
    return hmac.compare_digest(_checksum(body), checksum)


def digests(secret: str) -> Iterator[bytes]:
    """Yield the stored form of `secret` under each pepper in use, newest first."""
    for version in sorted(settings.API_KEY_PEPPERS, reverse=True):
        yield digest(secret, version)


def digest(secret: str, version: int) -> bytes:
    """Return HMAC-SHA256 of the whole key under pepper `version` (32 bytes)."""
    pepper: bytes = settings.API_KEY_PEPPERS[version]
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def new_secret() -> str:
    """Return a new secret. Nothing is stored."""
    body = PREFIX + _base62(secrets.randbits(160), 27)
    return f"{body}_{_checksum(body)}"


def _described(key: ApiKey) -> dict[str, str]:
    """What a webhook says of a key: nothing that opens a door."""
    return {"id": str(key.pk), "name": key.name, "key": key.masked}


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, width: int) -> str:
    digits = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_BASE62[rest])
    return "".join(reversed(digits)).rjust(width, "0")
