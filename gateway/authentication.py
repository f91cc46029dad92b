"""Step 1, who is calling: a key becomes a `Caller`, from a short-lived cache.

A key that is in the cache costs a hash and a dictionary look-up. One that is not costs a query in a thread,
once: all calls that come meanwhile wait for the same one, and a key that is used is read again before its time
is over, while its calls go on. What changes an account or a key is announced on the meter and empties the cache at once
(`gateway/announcements.py`); the time to live is what holds if the announcement is lost.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, partial

from accounts.keys import find_key, is_well_formed
from accounts.restrictions import Restrictions
from billing.entitlements import BudgetLimit, Entitlements, rights_of
from gateway import errors
from gateway.limits import Limits, limits_of
from gateway.threads import ask_ledger

KNOWN_SECONDS = 30.0
UNKNOWN_SECONDS = 5.0
READ_AGAIN = 0.8  # of that time
MOST_REMEMBERED = 100_000


@dataclass(frozen=True)
class Caller:
    """Whose call it is, what their plan allows, and what narrows that for this key. What is worked out of it stays."""

    account_id: str
    key_id: str
    expires_at: float | None  # Unix seconds
    entitlements: Entitlements
    restrictions: tuple[Restrictions, ...] = ()
    budgets: tuple[BudgetLimit, ...] = ()

    @cached_property
    def limits(self) -> Limits:
        """What the meter checks for each of their calls, beside budgets."""
        return limits_of(self.entitlements)

    @cached_property
    def has_hard_limit(self) -> bool:
        """Whether some amount of money must never be passed: then no charge is above its hold."""
        return self.entitlements.spend_limit_nano is not None or any(it.hard_stop for it in self.budgets)


@dataclass(slots=True)
class _Remembered:
    caller: Caller | None
    until: float  # monotonic seconds
    again_at: float  # when it is read again, if somebody calls then


class Callers:
    """The callers that this process knows, by the hash of their header. Secrets are not kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._reading: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._news = 0  # counts `forget`; a row read before the news must not be remembered after it

    async def authenticate(self, authorization: bytes | None) -> Caller:
        """Return who sends this Authorization header. Refusal `invalid_api_key`, `account_suspended`
        or `payment_overdue`."""
        name = _name(authorization or b"")
        remembered, now = self._known.get(name), time.monotonic()
        if remembered is None or remembered.until <= now:
            caller = await self._find(name, bearer(authorization))
        else:
            caller = remembered.caller
            if remembered.again_at <= now:
                remembered.again_at = remembered.until  # tried ahead once: the ledger may be away
                self._read_once(name, bearer(authorization))
        if caller is None or (caller.expires_at is not None and caller.expires_at <= time.time()):
            raise errors.invalid_api_key()
        if caller.entitlements.suspended:
            raise errors.account_suspended()
        if caller.entitlements.payment_overdue:
            raise errors.payment_overdue()
        return caller

    def forget(self, account_id: str | None = None) -> None:
        """Drop what is known of an account, or of everybody."""
        self._news += 1
        self._reading.clear()  # who asks from now on must not be told what was read before
        if account_id is None:
            self._known.clear()
            return
        for name, remembered in list(self._known.items()):
            if remembered.caller is None or remembered.caller.account_id == account_id:
                del self._known[name]

    async def _find(self, name: bytes, secret: str) -> Caller | None:
        if not is_well_formed(secret):  # nothing is asked, and nothing remembered, for what is no key
            return None
        return await asyncio.shield(self._read_once(name, secret))

    def _read_once(self, name: bytes, secret: str) -> "asyncio.Task[Caller | None]":
        """Read a key's row, or join who does so already."""
        reading = self._reading.get(name)
        if reading is None:
            self._reading[name] = reading = asyncio.create_task(self._read(name, secret))
            reading.add_done_callback(partial(self._was_read, name))
        return reading

    def _was_read(self, name: bytes, reading: "asyncio.Task[Caller | None]") -> None:
        if self._reading.get(name) is reading:
            del self._reading[name]
        if not reading.cancelled():
            reading.exception()  # for whoever waits; if nobody does, the next call reads again

    async def _read(self, name: bytes, secret: str) -> Caller | None:
        news = self._news
        caller = await ask_ledger(load_caller, secret)
        if news == self._news:
            self._remember(name, caller)
        return caller

    def _remember(self, name: bytes, caller: Caller | None) -> None:
        seconds, now = UNKNOWN_SECONDS if caller is None else _keeps(caller), time.monotonic()
        self._known[name] = _Remembered(caller, now + seconds, now + seconds * READ_AGAIN)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)


def _keeps(caller: Caller) -> float:
    """Return for how many seconds a caller may be remembered: not past a change that comes by itself."""
    change = caller.entitlements.valid_until
    return KNOWN_SECONDS if change is None else min(KNOWN_SECONDS, max(change.timestamp() - time.time(), 0.0))


def _name(authorization: bytes) -> bytes:
    """Return what the caller of a header is remembered by. Random keys of 160 bits need no pepper inside a process.

    BLAKE2s (RFC 7693) is in Python itself. SHA-256 goes through OpenSSL, whose code nothing else of a call needs in the
    processor's cache.
    """
    return hashlib.blake2s(authorization).digest()


def bearer(authorization: bytes | None) -> str:
    """Return the token of an `Authorization: Bearer …` header, or "" if it is not one."""
    scheme, _, token = (authorization or b"").partition(b" ")
    return token.strip().decode("ascii", "replace") if scheme.lower() == b"bearer" else ""


def load_caller(secret: str) -> Caller | None:
    """Read the key's row and work out what it may do. None if the key opens nothing."""
    key = find_key(secret)
    if key is None or key.status != "active":
        return None
    rights = rights_of(key)
    return Caller(
        account_id=str(key.account_id),
        key_id=str(key.pk),
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        entitlements=rights.entitlements,
        restrictions=rights.restrictions,
        budgets=rights.budgets,
    )
