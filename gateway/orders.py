"""What a call asks for: read once from path and body, checked, and made ready to send on.

The body passes untouched, but for three things: a streamed call is made to report its usage
(`stream_options.include_usage`), an answer never gets longer than the plan allows (`max_tokens`), and the
model's name is the one that the chosen upstream knows. What is only added is spliced in; the rest of the
bytes stays as the customer sent it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from billing.pricing import Unit
from gateway import dialects, errors, media, sizing
from gateway.allow_lists import check_model
from gateway.authentication import Caller
from gateway.catalog import Catalog, Listed
from gateway.dialects import CHAT, COMPLETION, RESPONSES
from gateway.endpoints import Endpoint
from gateway.measures import measure
from gateway.quote_terms import Quote
from gateway.routing import Candidate, split_suffix
from gateway.ways import ways_for

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# Tasks that write text, and so can write more or less of it, and the names that OpenAI gives the limit.
_LIMITS = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    COMPLETION: ("max_tokens",),
    RESPONSES: ("max_output_tokens",),
}
_MOST_CHOICES = 8
_INSTEAD_OF_INPUTS = ("table", "source_sentence")


@dataclass(frozen=True, slots=True)
class Mark:
    """An Idempotency-Key that a call has claimed: gateway/idempotency.py."""

    account_id: str
    name: str  # digest of the key: the key itself is the customer's
    request_id: str


@dataclass(slots=True)
class Order:
    """A call that makes sense, ready to be admitted and sent on."""

    endpoint: Endpoint
    listed: Listed
    task: str
    candidates: Sequence[Candidate]
    body: bytes
    content_type: str
    input_bytes: int
    asked_model: str = ""  # the model as the body names it; empty where the path does
    stream: bool = False
    wants_usage: bool = False  # the client itself asked for the usage chunk
    max_output_tokens: int = 0  # over all choices; 0 for tasks that write no text
    # What the request itself tells of its size: images asked for, characters to speak, seconds to hear.
    asked: dict[Unit, int] = field(default_factory=dict)
    asked_is_estimate: bool = False
    mark: Mark | None = None
    quote: Quote | None = None  # X-Turnpike-Quote
    max_cost: int | None = None  # X-Max-Cost or the quote's hold, nano-units
    choices: int = 1  # answers asked for at once
    limited_by: str = ""  # what made the answer shorter than was asked for: "plan" or "x-max-cost"

    @property
    def most_nano(self) -> int:
        """The most that this call may cost, in nano-units: what its hold is."""
        return sizing.most_nano(
            self.candidates, self.input_bytes, self.max_output_tokens, self.asked, self.asked_is_estimate
        )


def read_order(
    endpoint: Endpoint,
    body: bytes,
    content_type: str,
    caller: Caller,
    catalog: Catalog,
    max_cost: int | None = None,
) -> Order:
    """Check the call and make it ready; `max_cost` (nano-units) bounds what it may cost.

    Refusals: invalid_request, model_not_found, permission_denied, max_cost_too_low.
    """
    document = _read_document(endpoint, body, content_type)
    asked_model = _asked_model(endpoint, document)
    model_id, suffix = split_suffix(asked_model)
    listed = _find(catalog, endpoint, model_id)
    task = _task(endpoint, listed)
    check_model(listed.model_id, task, caller.restrictions)
    rights = caller.entitlements
    order = Order(
        endpoint=endpoint,
        listed=listed,
        task=task,
        candidates=ways_for(catalog, endpoint, listed, task, endpoint.provider or suffix, caller),
        body=body,
        content_type=_content_type(content_type, raw=document is None),
        input_bytes=len(body),
        asked_model=_model_in_body(endpoint, document),
        max_cost=max_cost,
    )
    order.asked, order.asked_is_estimate = measure(task, document or {}, body)
    if document is not None and not endpoint.multipart:
        _prepare(order, document, rights.max_output_tokens)
    if max_cost is not None and order.most_nano > max_cost:
        raise errors.max_cost_too_low(order.most_nano, max_cost, rights.currency)
    return order


def _content_type(sent: str, *, raw: bool) -> str:
    """Return what to tell the upstream. Raw bytes without a true type go without one: Hugging Face looks inside,
    and refuses types that are none of sound or picture (curl says of any data that it is a form)."""
    if raw:
        return "" if sent.startswith("application/x-www-form-urlencoded") else sent
    return sent or "application/json"


def _model_in_body(endpoint: Endpoint, document: dict[str, Any] | None) -> str:
    named = (document or {}).get("model") if endpoint.openai_form or endpoint.provider else None
    return named if isinstance(named, str) else ""


# --- Reading -------------------------------------------------------------------------------------


def _read_document(endpoint: Endpoint, body: bytes, content_type: str) -> dict[str, Any] | None:
    """Parse the body. None for the raw bytes that Hugging Face's image and audio tasks take."""
    if endpoint.multipart:
        return _read_form(body, content_type)
    looks_like_json = "json" in content_type.lower() or body[:1] in (b"{", b"[", b"")
    if not endpoint.openai_form and not looks_like_json:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        raise errors.invalid_request(f"The body is not JSON: {failure}. Send a JSON object.") from None
    if not isinstance(document, dict):
        raise errors.invalid_request("The body must be a JSON object.")
    _check_shape(endpoint, document)
    return document


def _read_form(body: bytes, content_type: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = dict(media.form_fields(body, content_type))
    except ValueError:
        raise errors.invalid_request("Send this as multipart/form-data, with `file` and `model`.") from None
    if not fields.get("file"):
        raise errors.invalid_request("`file` is required and must not be empty.", "file")
    fields["model"] = fields.get("model", b"").decode("utf-8", "replace").strip()
    return fields


def _check_shape(endpoint: Endpoint, document: dict[str, Any]) -> None:
    needs = endpoint.needs
    if needs is None:  # Hugging Face's own form; old clients put some tasks' fields beside an empty `inputs`
        needs = "inputs" if not endpoint.provider and document.keys().isdisjoint(_INSTEAD_OF_INPUTS) else ""
    if needs and not document.get(needs):
        raise errors.invalid_request(f"`{needs}` is required and must not be empty.", needs)
    if needs == "messages" and not _are_messages(document["messages"]):
        raise errors.invalid_request("`messages` must be a list of objects with a `role`.", "messages")
    if endpoint.openai_form and needs in ("prompt", "input"):
        _check_text(document[needs], needs)


def _check_text(value: Any, name: str) -> None:
    """OpenAI's forms take a text or a list; a number or a flag is a mistake."""
    if not isinstance(value, str | list):
        raise errors.invalid_request(f"`{name}` must be a text or a list.", name)


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "role" in item for item in value)


def _asked_model(endpoint: Endpoint, document: dict[str, Any] | None) -> str:
    """The model that is asked for. Only ids, never addresses: an id is matched against the catalog, not fetched."""
    asked = endpoint.model_id if endpoint.model_id is not None else (document or {}).get("model")
    if asked is None and endpoint.provider:
        asked = (document or {}).get("version") or _in_path(endpoint.raw_path)
    if not isinstance(asked, str) or not asked:
        raise errors.invalid_request("`model` is required. GET /v1/models lists the models.", "model")
    if len(asked) > 300:
        raise errors.model_not_found(asked)
    return asked


def _in_path(raw_path: str) -> str:
    """Return a provider's model by its path: fal-ai /{model}, black-forest-labs /v1/{model}, wavespeed
    /api/v3/{model}, novita /v3/hf/{model}, replicate /v1/models/{model}/predictions.

    Replicate's other form says it as `version` in the body.
    """
    return re.sub(r"^/(api/v3/|v3/hf/|v1/)?(models/)?|/predictions$", "", raw_path)


def _find(catalog: Catalog, endpoint: Endpoint, model_id: str) -> Listed:
    if endpoint.provider:
        return catalog.find_by_provider(endpoint.provider, model_id)
    if model_id not in catalog.models and not _MODEL_ID.fullmatch(model_id):
        raise errors.model_not_found(model_id)
    return catalog.find(model_id)


def _task(endpoint: Endpoint, listed: Listed) -> str:
    task = endpoint.task or listed.tasks[0]
    if task == RESPONSES:
        return task  # a form of chat: whoever chats may have it
    if task not in listed.tasks:
        does = ", ".join(listed.tasks)
        raise errors.invalid_request(
            f"{listed.model_id} does not do {task[:60]!r}. It does: {does}.", "model"
        )
    return task


# --- Preparing -----------------------------------------------------------------------------------


def _prepare(order: Order, document: dict[str, Any], most: int) -> None:
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
