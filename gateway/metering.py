"""What a call used, in the units that prices know. Usage that the upstream reports wins; else a stated rule.

The rules for usage in bodies and streams: an explicit zero is zero, not missing; the last non-null usage
counts, never a sum (some providers send cumulative usage on every chunk).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from billing.pricing import Unit
from gateway.dialects import microseconds_per_unit
from gateway.orders import Order
from gateway.upstream import Reply

# The rule for what is not reported: four bytes of text make a token, as English prose does on average.
BYTES_PER_TOKEN = 4
# Figures past this are garbage, not usage.
_ABSURD = 10**12
_LONGEST_MICROSECONDS = 86_400 * 1_000_000
_BY_HEADER = (
    (("x-prompt-tokens", "x-compute-tokens"), Unit.INPUT_TOKEN),
    (("x-generated-tokens",), Unit.OUTPUT_TOKEN),
    (("x-compute-characters",), Unit.CHARACTER),
)
_IN_HEADERS = {name for names, _ in _BY_HEADER for name in names} | {"x-compute-time"}
_TOKENS = (Unit.INPUT_TOKEN, Unit.CACHED_INPUT_TOKEN, Unit.OUTPUT_TOKEN)


@dataclass(slots=True)
class Usage:
    """Quantities by unit. `estimated` where a rule stood in for the upstream's own figures."""

    quantities: dict[Unit, int] = field(default_factory=dict)
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Input and output together, as limits per minute count them."""
        used = self.quantities.get
        return used(Unit.INPUT_TOKEN, 0) + used(Unit.CACHED_INPUT_TOKEN, 0) + used(Unit.OUTPUT_TOKEN, 0)


def usage_of_body(order: Order, reply: Reply) -> Usage:
    """Return what a whole answer says that it used, in the units that this way is priced in, and tokens."""
    quantities = usage_of_headers(reply) | order.asked
    if order.endpoint.openai_form and b'"usage"' in reply.body:
        quantities |= usage_of_document(_json(reply.body)) or {}
    priced = reply.served.pin.rates.keys()
    estimated = order.asked_is_estimate and Unit.AUDIO_SECOND in priced
    if not priced.isdisjoint(_TOKENS) and Unit.INPUT_TOKEN not in quantities:
        quantities |= _estimated_tokens(order, len(reply.body))
        estimated = True
    quantities[Unit.REQUEST] = 1
    return _with_elapsed(Usage(quantities, estimated), reply)


def with_time(usage: Usage, reply: Reply) -> Usage:
    """Add what the headers say. Where time is priced and nobody says it, what passed since sending counts."""
    return _with_elapsed(Usage(usage_of_headers(reply) | usage.quantities, usage.estimated), reply)


def _with_elapsed(usage: Usage, reply: Reply) -> Usage:
    if Unit.COMPUTE_SECOND not in reply.served.pin.rates or Unit.COMPUTE_SECOND in usage.quantities:
        return usage
    elapsed = int((time.monotonic() - reply.sent_at) * 1_000_000)
    return Usage(usage.quantities | {Unit.COMPUTE_SECOND: elapsed}, estimated=True)


def _estimated_tokens(order: Order, answer_bytes: int) -> dict[Unit, int]:
    quantities = {Unit.INPUT_TOKEN: _tokens(order.input_bytes)}
    if order.max_output_tokens:
        quantities[Unit.OUTPUT_TOKEN] = min(_tokens(answer_bytes), order.max_output_tokens)
    return quantities


def usage_of_document(document: Any) -> dict[Unit, int] | None:
    """Return the quantities in a body or chunk with OpenAI's `usage`, or None if there is no sound one.

    Chat says prompt_tokens and completion_tokens; the Responses form says input_tokens and output_tokens, and
    its last event carries the whole response.
    """
    if isinstance(document, dict) and isinstance(document.get("response"), dict):
        document = document["response"]
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    output = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    if prompt is None or (output is None and _said(usage, "completion_tokens", "output_tokens")):
        return None  # a figure that cannot be true makes the others doubtful too
    details = usage.get("prompt_tokens_details", usage.get("input_tokens_details"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    cached = min(cached or 0, prompt)
    quantities = {Unit.INPUT_TOKEN: prompt - cached, Unit.OUTPUT_TOKEN: output or 0}
    return quantities | {Unit.CACHED_INPUT_TOKEN: cached} if cached else quantities


def estimate(order: Order, output_tokens: int) -> Usage:
    """Return the usage of a stream that ended without saying: what was sent, and the pieces that came back."""
    quantities = {
        Unit.INPUT_TOKEN: _tokens(order.input_bytes),
        Unit.OUTPUT_TOKEN: output_tokens,
        Unit.REQUEST: 1,
    }
    return Usage(quantities, estimated=True)


def usage_of_headers(reply: Reply) -> dict[Unit, int]:
    """Text Generation Inference's and Text Embeddings Inference's headers."""
    headers, quantities = reply.headers, {}
    if _IN_HEADERS.isdisjoint(headers):
        return {}
    for names, unit in _BY_HEADER:
        found = [headers[name] for name in names if headers.get(name, "").isdigit()]
        if found:
            quantities[unit] = min(int(found[0]), _ABSURD)
    length = _microseconds(headers, microseconds_per_unit(reply.served.way.server.dialect))
    return quantities if length is None else quantities | {Unit.COMPUTE_SECOND: length}


def _microseconds(headers: Mapping[str, str], per_unit: int) -> int | None:
    """Read x-compute-time into whole microseconds. None if it is not there, or cannot be true."""
    try:
        time = Decimal(headers["x-compute-time"]) * per_unit
    except (KeyError, InvalidOperation):
        return None
    return int(time) if time.is_finite() and 0 <= time < _LONGEST_MICROSECONDS else None


def _said(usage: Mapping[str, Any], *names: str) -> bool:
    return any(usage.get(name) is not None for name in names)


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD
    return value if sound else None


def _tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
