"""What the body of a call must say before it goes on, and how it says so.

It passes untouched, but for three things: a streamed call is made to report its usage
(`stream_options.include_usage`), an answer never gets longer than the plan allows (`max_tokens`), and the
model's name is the one that the chosen upstream knows. What is only added is spliced in; the rest of the
bytes stays as the customer sent it.
"""

import re
from typing import Any

import orjson

from gateway import dialects, errors, sizing
from gateway.dialects import CHAT, COMPLETION, RESPONSES
from gateway.orders import Order
from gateway.routing import Candidate

# Tasks that write text, and so can write more or less of it, and the names that OpenAI gives the limit.
_LIMITS = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    COMPLETION: ("max_tokens",),
    RESPONSES: ("max_output_tokens",),
}
_MOST_CHOICES = 8


def prepare(order: Order, document: dict[str, Any], most: int) -> None:
    """Read what the call's size depends on, and put into the body what must be there."""
    order.stream = _flag(document, "stream")
    changes: dict[str, Any] = {}
    if order.task in _LIMITS:
        changes |= _limit_output(order, document, most)
    if order.stream and order.endpoint.openai_form and order.task in (CHAT, COMPLETION):
        options = _object(document, "stream_options")
        order.wants_usage = options.get("include_usage") is True
        if not order.wants_usage:
            changes["stream_options"] = options | {"include_usage": True}
    if changes:
        order.body = _with(order.body, document, changes)


def _limit_output(order: Order, document: dict[str, Any], most: int) -> dict[str, Any]:
    """Note how long the answer may get; return what must change in the body for that."""
    openai_form = order.endpoint.openai_form
    where = document if openai_form else _object(document, "parameters")
    names = _LIMITS[order.task] if openai_form else ("max_new_tokens",)
    asked = [name for name in names if where.get(name) is not None]
    tokens = min([_positive(where, name) for name in asked] + [most])
    if any(where[name] > most for name in asked):
        order.limited_by = "plan"
    order.choices = _choices(document)
    tokens = _within_max_cost(order, tokens)
    order.max_output_tokens = tokens * order.choices
    bound = tokens if order.limited_by == "x-max-cost" else most
    if asked and all(where[name] <= bound for name in asked):
        return {}
    limits = dict.fromkeys(asked or names[-1:], tokens)
    return limits if openai_form else {"parameters": where | limits}


def _within_max_cost(order: Order, tokens: int) -> int:
    """Return how long an answer may get for X-Max-Cost to hold. At least one token: less is refused later."""
    if order.max_cost is None:
        return tokens
    ways, size = order.candidates, order.input_bytes
    within = sizing.most_output_within(order.max_cost, tokens, order.choices, ways, size, order.asked)
    if within < tokens:
        order.limited_by = "x-max-cost"
    return max(within, 1)


def body_for(order: Order, candidate: Candidate) -> bytes:
    """Return the body as one upstream takes it: the same, but for the model's name where it has another there."""
    name = _name_at(order, candidate)
    named_by_path = order.endpoint.openai_form and order.endpoint.model_id is not None
    if name == order.asked_model or not (order.asked_model or named_by_path):
        return order.body
    if not order.asked_model:
        return orjson.dumps(orjson.loads(order.body) | {"model": name})
    old, new = orjson.dumps(order.asked_model), orjson.dumps(name)
    if order.endpoint.multipart:
        return order.body.replace(
            b"\r\n\r\n" + order.asked_model.encode() + b"\r\n", b"\r\n\r\n" + name.encode() + b"\r\n", 1
        )
    spliced, count = re.subn(
        rb'("model"\s*:\s*)' + re.escape(old), lambda found: found[1] + new, order.body, count=1
    )
    return spliced if count else orjson.dumps(orjson.loads(order.body) | {"model": name})


def _name_at(order: Order, candidate: Candidate) -> str:
    """The model as the upstream knows it: with the provider at the router's root, by its own id elsewhere."""
    way, target = candidate.way, candidate.target
    assert target is not None
    if dialects.stays_at_model(way.server.dialect, target):
        return order.asked_model  # the path says it; clients write anything here
    at_root = dialects.at_router_root(way.server.dialect, target) and not order.endpoint.provider
    if at_root:
        return f"{order.listed.model_id}:{way.provider}" if way.provider else order.asked_model
    return way.provider_id or order.listed.model_id


def _with(body: bytes, document: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """Return the body with `changes`. New fields are spliced in before the last brace; others need a rewrite."""
    if any(name in document for name in changes):
        return orjson.dumps(document | changes)
    return body.rstrip()[:-1].rstrip() + b"," + orjson.dumps(changes)[1:]


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name)
    if value not in (None, True, False):
        raise errors.invalid_request(f"`{name}` must be true or false.", name)
    return bool(value)


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise errors.invalid_request(f"`{name}` must be an object.", name)
    return value or {}


def _positive(document: dict[str, Any], name: str) -> int:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.invalid_request(f"`{name}` must be a whole number of at least 1.", name)
    return value


def _choices(document: dict[str, Any]) -> int:
    """How many answers are asked for at once."""
    if document.get("n") is None:
        return 1
    count = _positive(document, "n")
    if count > _MOST_CHOICES:
        raise errors.invalid_request(f"`n` must be at most {_MOST_CHOICES}.", "n")
    return count
