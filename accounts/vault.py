"""Secrets at rest: AES-256-GCM, bound to what they are for, under keys that are kept outside the database.

A sealed secret is: 1 byte key version, 12 bytes nonce, ciphertext with its tag. The context (an upstream's
code, a webhook's id) is authenticated with it, so a secret copied onto another row does not open.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE = 12


def seal(secret: str, context: str) -> bytes:
    """Return `secret` sealed for `context` under the newest key."""
    version = max(settings.ENCRYPTION_KEYS)
    nonce = os.urandom(_NONCE)
    return bytes([version]) + nonce + _cipher(version).encrypt(nonce, secret.encode(), context.encode())


def open_sealed(sealed: bytes, context: str) -> str:
    """Return the secret. ValueError if it was sealed for another context, under a lost key, or is damaged."""
    version, nonce, body = sealed[0], sealed[1 : _NONCE + 1], sealed[_NONCE + 1 :]
    if version not in settings.ENCRYPTION_KEYS:
        raise ValueError(f"This secret needs encryption key {version}, which is not in ENCRYPTION_KEYS.")
    try:
        return _cipher(version).decrypt(nonce, body, context.encode()).decode()
    except InvalidTag:
        raise ValueError("This secret was sealed for something else, or is damaged.") from None


def _cipher(version: int) -> AESGCM:
    return AESGCM(hashlib.sha256(settings.ENCRYPTION_KEYS[version]).digest())
