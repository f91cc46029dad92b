"""What the gateway reports of one call: the form that travels through the usage stream into the ledger.

Written by `gateway/settlement.py`, read by `billing/metering.py`. Short names, since it is stored per call.
"""

import json
import re
import uuid
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from accounts.ids import millis_of, moment_of
from billing.money import minor_digits
from billing.period import BillingPeriod
from billing.pricing import Unit

KINDS = ("final", "abandoned", "late")

# As long and as large as the ledger's columns take: `billing/models/usage.py`.
_LONGEST = {"endpoint": 60, "task": 40, "model": 200, "upstream": 60, "error": 40}
_LARGEST = {
    "status": 999,
    "nano": 2**63,
    "upstream_nano": 2**63,
    "latency_ms": 2**31,
    "first_byte_ms": 2**31,
    "price_version": 2**63,
}
_MAY_BE_NONE = ("first_byte_ms", "price_version")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")  # as str() writes one
_CALL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # version 7
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1000 for year in (2020, 2100))
_UNITS = frozenset(unit.value for unit in Unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """One call. Amounts are integer nano-units; `units` is {unit: [quantity, nano]}, adding up to `nano`."""

    rid: str  # version-7 UUID of the call
    account: str
    period: str
    key: str | None
    endpoint: str
    task: str
    model: str
    upstream: str
    status: int
    currency: str
    kind: str = "final"  # or "abandoned", "late"
    error: str = ""
    stream: bool = False
    estimated: bool = False
    degraded: bool = False  # the meter was away when the call was let through
    quote: str | None = None  # id of the quote that the call redeemed
    price_version: int | None = None
    units: dict[str, list[int]] = field(default_factory=dict)
    nano: int = 0
    upstream_nano: int = 0
    latency_ms: int = 0
    first_byte_ms: int | None = None

    @property
    def request_id(self) -> uuid.UUID:
        """The call's id."""
        return uuid.UUID(self.rid)

    @property
    def seq(self) -> int:
        """2 for the record of a call that had been recorded as abandoned before, else 1."""
        return 2 if self.kind == "late" else 1

    @property
    def occurred_at(self) -> datetime:
        """When the call began: the time inside its id, so that the same call always gives the same row."""
        return moment_of(self.request_id)

    def to_json(self) -> bytes:
        """Return the report as compact JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes | str) -> "UsageReport":
        """Read a report. ValueError for anything that the ledger could not take, however it is broken."""
        return cls(**read_facts(text))


_FIELDS = frozenset(each.name for each in fields(UsageReport))
_DEFAULTS = {each.name: each.default for each in fields(UsageReport) if each.default is not MISSING} | {
    "units": {}
}


def read_facts(text: bytes | str) -> dict[str, Any]:
    """Read a report as {field: value}, defaults filled in. ValueError for anything that the ledger could not take.

    A dict of what the JSON says, ids as text: thousands of calls a second are read here, and making objects of
    their ids and times would be most of the work (docs/adr/0037).
    """
    try:
        facts: dict[str, Any] = _DEFAULTS | orjson.loads(text)
        if facts.keys() != _FIELDS:
            raise ValueError(f"These fields are missing or unknown: {sorted(facts.keys() ^ _FIELDS)}.")
        _check(facts)
    except ValueError:
        raise
    except (TypeError, AttributeError) as error:
        raise ValueError(f"Not a usage report: {error}") from error
    return facts


def moment_of_call(rid: str) -> datetime:
    """Return the time inside a call's id, as `moment_of` does, without making a UUID of it."""
    return _EPOCH + timedelta(milliseconds=millis_of(rid))


def _check(facts: dict[str, Any]) -> None:
    """Raise ValueError (or TypeError, AttributeError) if a row of the ledger could not hold this."""
    if not _CALL_ID.fullmatch(facts["rid"]) or not _FIRST <= millis_of(facts["rid"]) < _LAST:
        raise ValueError(f"{facts['rid']!r} is not the id of a call in the years 2020 to 2099.")
    if not _UUID.fullmatch(facts["account"]) or not (facts["key"] is None or _UUID.fullmatch(facts["key"])):
        raise ValueError("account and key are UUIDs in lower case with hyphens; key may be null.")
    if facts["quote"] is not None and not _CALL_ID.fullmatch(facts["quote"]):
        raise ValueError(f"{facts['quote']!r} is not the id of a quote.")
    _check_period(facts["period"])
    minor_digits(facts["currency"])
    if facts["kind"] not in KINDS:
        raise ValueError(f"{facts['kind']!r} is not one of {', '.join(KINDS)}.")
    if {type(facts["stream"]), type(facts["estimated"]), type(facts["degraded"])} != {bool}:
        raise ValueError("stream, estimated and degraded are true or false.")
    for name, longest in _LONGEST.items():
        text = facts[name]
        if type(text) is not str or len(text) > longest or "\0" in text:
            raise ValueError(f"{name} is not a text of at most {longest} characters without a NUL.")
    _check_numbers(facts)


def _check_numbers(facts: dict[str, Any]) -> None:
    """Amounts are whole numbers, not bools, that a column can hold; the parts of a charge add up to it."""
    for name, largest in _LARGEST.items():
        number = facts[name]
        if (type(number) is not int or not 0 <= number < largest) and not (
            number is None and name in _MAY_BE_NONE
        ):
            raise ValueError(f"{name} is {number!r}: not a whole number from 0 to {largest - 1}.")
    total = 0
    for unit, (quantity, nano) in facts["units"].items():
        if unit not in _UNITS or type(quantity) is not int or type(nano) is not int:
            raise ValueError(f"{unit!r} is not a unit, or {quantity!r} or {nano!r} not a whole number.")
        if not (0 <= quantity < 2**63 and 0 <= nano < 2**63):
            raise ValueError(f"{quantity} or {nano} of {unit} is not from 0 to {2**63 - 1}.")
        total += nano
    if facts["nano"] != total:
        raise ValueError(f"The parts of {facts['rid']} do not add up to {facts['nano']}.")


@lru_cache(maxsize=100)
def _check_period(key: str) -> None:
    BillingPeriod.parse(key)
