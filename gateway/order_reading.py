"""A call's path and body, read once and checked: whatever makes no sense is refused here, before it holds anything."""

import re
from typing import Any

import orjson

from gateway import errors, media
from gateway.allow_lists import check_model
from gateway.authentication import Caller
from gateway.catalog import Catalog, Listed
from gateway.dialects import RESPONSES
from gateway.endpoints import Endpoint
from gateway.measures import measure
from gateway.order_body import prepare
from gateway.orders import Order
from gateway.routing import split_suffix
from gateway.ways import ways_for

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_GZIP = b"\x1f\x8b"  # RFC 1952
_INSTEAD_OF_INPUTS = ("table", "source_sentence")


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
        prepare(order, document, rights.max_output_tokens)
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
        if body.startswith(_GZIP):
            raise errors.invalid_request(
                "The body is compressed. Send it without Content-Encoding."
            ) from None
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
