"""How a stream ends that has no more to spend: as one that was cut by `max_tokens`, and a comment that says why.

An upstream that keeps to `max_tokens` ends so by itself. One that does not is stopped here, since the hold was
taken for that many tokens, and nobody has set more aside.
"""

import math
import time
from typing import Any

import orjson

from billing.pricing import Unit
from gateway import sse
from gateway.admission import Hold
from gateway.dialects import CHAT, COMPLETION, RESPONSES
from gateway.errors import Words
from gateway.metering import Usage
from gateway.orders import Order

# Events of each answer that carry no token: its role at the start, its reason and a last empty piece at the end.
_EMPTY_PIECES = 3
_REASONS = {
    "x-max-cost": "the answer was limited by X-Max-Cost",
    "plan": "the answer was limited by your plan's most output tokens a call",
    "": "the answer reached max_tokens, which is what was set aside for it",
}


def most_pieces(order: Order) -> float:
    """Return how many events a stream may send before its hold is used up: at most a token comes in each."""
    if not order.max_output_tokens:
        return math.inf
    return order.max_output_tokens + _EMPTY_PIECES * order.choices


def tokens_in(order: Order, piece: bytes, events: int) -> int:
    """Return how many of a piece's events bring a piece of the answer: in the Responses form, not all do."""
    return events if order.task != RESPONSES else piece.count(b'.delta"')


def goes_on(document: dict[str, Any]) -> bool:
    """Tell whether a chunk is one in the middle: what it says was used is a running total, not the end's figure."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(it, dict) and not it.get("finish_reason") for it in choices)


def why(hold: Hold, used: Usage) -> bytes:
    """Return a comment that says what cut an answer short, if something other than the caller's own words did."""
    order = hold.order
    reached = used.quantities.get(Unit.OUTPUT_TOKEN, 0) >= order.max_output_tokens
    return _comment(order) if order.limited_by and reached else b""


def cut_short(hold: Hold, last_piece: bytes, used: Usage) -> bytes:
    """Return the events that end a stream for which nothing more is set aside: comment, last chunk, usage, [DONE]."""
    order = hold.order
    comment = _comment(order)
    if order.endpoint.words is Words.HUGGING_FACE and not order.endpoint.openai_form:
        tokens = used.quantities.get(Unit.OUTPUT_TOKEN, 0)
        details = {"finish_reason": "length", "generated_tokens": tokens}
        return comment + sse.encode({"token": None, "generated_text": None, "details": details})
    if order.task not in (CHAT, COMPLETION):
        reason = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
        return comment + sse.encode({"type": "response.incomplete", "response": reason})
    return comment + _last_chunks(order, _like(last_piece), used) + b"data: [DONE]\n\n"


def _last_chunks(order: Order, chunk: dict[str, Any], used: Usage) -> bytes:
    """The chunk with the reason; usage in a chunk of its own for who asked for that, else in the same."""
    last: dict[str, Any] = {"delta": {}} if order.task == CHAT else {"text": ""}
    choices = [{"index": index} | last | {"finish_reason": "length"} for index in range(order.choices)]
    usage = {"usage": _openai_usage(used)}
    if not order.wants_usage:
        return sse.encode(chunk | {"choices": choices} | usage)
    return sse.encode(chunk | {"choices": choices}) + sse.encode(chunk | {"choices": []} | usage)


def _like(last_piece: bytes) -> dict[str, Any]:
    """Return what every chunk of a stream repeats, as the upstream wrote it in the last one."""
    data = [line for line in last_piece.splitlines() if line.startswith(b"data:")]
    try:
        document = orjson.loads(data[-1][5:])
    except (IndexError, orjson.JSONDecodeError):
        document = {}
    kept = ("id", "object", "created", "model", "system_fingerprint")
    return {"created": int(time.time())} | {name: document[name] for name in kept if name in document}


def _openai_usage(used: Usage) -> dict[str, int]:
    units = used.quantities
    prompt = units.get(Unit.INPUT_TOKEN, 0) + units.get(Unit.CACHED_INPUT_TOKEN, 0)
    output = units.get(Unit.OUTPUT_TOKEN, 0)
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def _comment(order: Order) -> bytes:
    return f": turnpike: {_REASONS[order.limited_by]}\n\n".encode()
