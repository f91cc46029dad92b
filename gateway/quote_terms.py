"""A quote as a value: what was promised, and how it goes on. Written into its hold, read back from there.

The terms say the prices themselves and not only the number of their version, so that a call is priced by them whatever
the price book says by then, and without a look into the ledger.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class FrozenPrice:
    """One way that the call may take, with the prices of ONE unit as decimals, ours and the upstream's."""

    provider: str
    version: int
    rates: Mapping[str, str]
    upstream_rates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a quote promises, and to whom."""

    key_id: str
    path: str
    model: str
    currency: str
    print: str  # of the call: `fingerprint`
    prices: Sequence[FrozenPrice]
    assumes: Mapping[str, int]  # unit -> the most that is counted on, in the steps of `billing.pricing.SCALE`

    def as_json(self) -> bytes:
        """Write them as the meter keeps them."""
        return orjson.dumps(self)


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote as the meter has it. Amounts in nano-units, times in Unix milliseconds."""

    quote_id: str
    state: str  # open, redeemed or expired; given_back, in the one answer that tells it
    terms: Terms
    period: str
    nano: int
    tokens: int
    until_ms: int
    request_id: str  # of the call that redeemed it, or ""
    budgets: tuple[str, ...]  # `Spend.name` of each budget that it is held in


def read_terms(text: bytes) -> Terms:
    """Read what `Terms.as_json` wrote."""
    said: dict[str, Any] = orjson.loads(text)
    return Terms(**said | {"prices": [FrozenPrice(**price) for price in said["prices"]]})


def read_object(body: bytes) -> dict[str, Any] | None:
    """Read a call's body. None if it is no JSON object: there are no quotes for files and forms."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def fingerprint(path: str, document: dict[str, Any] | None, currency: str) -> str:
    """Return what two calls share that ask for the same: spaces and the order of fields do not matter."""
    said = orjson.dumps([path, currency, document], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()
