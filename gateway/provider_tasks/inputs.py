"""A call in Hugging Face's form, read for a helper: text, or the bytes of a picture or sound, and parameters.

huggingface_hub takes a text for a binary task as an address to fetch or a file to open, on the machine it runs on.
So no text ever gets there for one: it is base64 of what it should be, or the call is refused.
"""

import base64
import binascii
import re
from typing import Any

import orjson

from gateway import errors, media
from gateway.provider_tasks.table import Kind

# What this form settles itself: the model is the catalog's, one result comes back, and nobody else is told of it.
_OURS = frozenset({"model", "model_name", "response_format", "stream", "sync_mode", "version", "loras"})
_COUNTS = frozenset({"n", "num_images", "num_outputs", "number_of_images", "batch_size", "num_results"})
_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]*:)?//|\s*(data|file|javascript):", re.IGNORECASE)
_DEEPEST = 6


def read_inputs(body: bytes, content_type: str, takes: Kind) -> tuple[Any, dict[str, Any]]:
    """Return (inputs, parameters) as a helper takes them. Refusal `invalid_request` for what is not allowed."""
    if "json" not in content_type.lower() and body[:1] not in (b"{", b"["):
        return _media(body, takes), {}
    document = orjson.loads(body)
    inputs = document.get("inputs")
    found = _text(inputs) if takes is Kind.TEXT else _media(_decoded(inputs, takes), takes)
    return found, read_parameters(document.get("parameters"))


def read_parameters(parameters: Any) -> dict[str, Any]:
    """Return the parameters that may go on: no addresses, nothing that makes more than one result."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise errors.invalid_request("`parameters` must be an object.", "parameters")
    for name in _COUNTS & parameters.keys():
        if parameters[name] not in (None, 1):
            raise errors.invalid_request(f"`{name}` must be 1: this form answers with one result.", name)
    for name, value in parameters.items():
        _check(name, value, 0)
    return {name: value for name, value in parameters.items() if name not in _OURS}


def _check(name: str, value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise errors.invalid_request(f"`{name}` is nested too deeply.", "parameters")
    if isinstance(value, str) and _ADDRESS.match(value):
        raise errors.invalid_request(f"`{name}` is an address; addresses are not fetched here.", "parameters")
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        _check(name, item, depth + 1)


def _text(inputs: Any) -> Any:
    texts = inputs if isinstance(inputs, list) else [inputs]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise errors.invalid_request("`inputs` must be a text.", "inputs")
    return inputs


def _decoded(inputs: Any, takes: Kind) -> bytes:
    try:
        return base64.b64decode(inputs, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _not_media(takes) from None


def _media(data: bytes, takes: Kind) -> bytes:
    if not media.kind_of(data).startswith(takes.value):
        raise _not_media(takes)
    return data


def _not_media(takes: Kind) -> errors.Refusal:
    thing = {Kind.IMAGE: "a picture", Kind.SOUND: "sound"}.get(takes, "JSON with `inputs`")
    message = f"This task takes {thing}. Send its bytes as the body, or as base64 in `inputs`."
    if takes is Kind.TEXT:
        message = "This task takes text. Send JSON with `inputs`."
    return errors.invalid_request(f"{message} Addresses and file names are not read.", "inputs")
