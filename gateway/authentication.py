"""Step 1, who is calling: a key becomes a `Caller`, from a short-lived cache.

A key that is in the cache costs a hash and a dictionary look-up. One that is not costs a query in a thread,
once. What changes an account or a key is announced on the meter and empties the cache at once
(`gateway/announcements.py`); the time to live is what holds if the announcement is lost.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from accounts.keys import find_key, is_well_formed
from accounts.restrictions import Restrictions
from billing.entitlements import BudgetLimit, Entitlements, rights_of
from gateway import errors
from gateway.limits import Limits, limits_of
from gateway.threads import ask_ledger

KNOWN_SECONDS = 30.0
UNKNOWN_SECONDS = 5.0
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


class Callers:
    """The callers that this process knows, by the hash of their key. Secrets are not kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._news = 0  # counts `forget`; a row read before the news must not be remembered after it

    async def authenticate(self, authorization: bytes | None) -> Caller:
        """Return who sends this Authorization header. Refusal `invalid_api_key`, `account_suspended`
        or `payment_overdue`."""
        caller = await self._find(bearer(authorization))
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
        if account_id is None:
            self._known.clear()
            return
        for name, remembered in list(self._known.items()):
            if remembered.caller is None or remembered.caller.account_id == account_id:
                del self._known[name]

    async def _find(self, secret: str) -> Caller | None:
        name = _name(secret)
        remembered = self._known.get(name)
        if remembered is not None and remembered.until > time.monotonic():
            return remembered.caller
        if not is_well_formed(secret):  # nothing is asked, and nothing remembered, for what is no key
            return None
        news = self._news
        caller = await ask_ledger(load_caller, secret)
        return caller if news != self._news else self._remember(name, caller).caller

    def _remember(self, name: bytes, caller: Caller | None) -> _Remembered:
        seconds = UNKNOWN_SECONDS if caller is None else _keeps(caller)
        remembered = _Remembered(caller, time.monotonic() + seconds)
        self._known[name] = remembered
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return remembered


def _keeps(caller: Caller) -> float:
    """Return for how many seconds a caller may be remembered: not past a change that comes by itself."""
    change = caller.entitlements.valid_until
    return KNOWN_SECONDS if change is None else min(KNOWN_SECONDS, max(change.timestamp() - time.time(), 0.0))


def _name(secret: str) -> bytes:
    """Return what a key is remembered by. Random keys of 160 bits need no pepper inside a process."""
    return hashlib.sha256(secret.encode()).digest()


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
