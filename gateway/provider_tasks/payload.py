"""The provider's request, as huggingface_hub's helper for (provider, task) would make it, without sending anything.

Of a helper only the steps that neither ask the Hub nor look for a token are used. Its own `prepare_request` does both,
and keeps what the Hub said for ever. This can take a while for large files, so it runs in a thread.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from gateway import errors, media

# Stands in for a token: helpers make the router's form of a route where it begins like this. Never sent.
_ROUTED = "hf_"
_NOT_SENT = frozenset({"authorization", "user-agent"})


@dataclass(frozen=True, slots=True)
class Request:
    """What to POST below /{provider}."""

    path: str
    headers: dict[str, str]
    body: bytes


def make_request(
    provider: str, task: str, model_id: str, provider_id: str, inputs: Any, parameters: dict[str, Any]
) -> Request:
    """Return the provider's request. Refusal `invalid_request` where its helper cannot make one of this."""
    helper, mapping = _helper(provider, task), _mapping(provider, task, model_id, provider_id)
    if isinstance(inputs, bytes):
        inputs = _with_type(inputs)
    try:
        payload = helper._prepare_payload_as_dict(inputs, parameters, mapping)
        data = helper._prepare_payload_as_bytes(inputs, parameters, mapping, None)
    except (AttributeError, KeyError, TypeError, ValueError):
        message = f"{provider} does not take these parameters for {task}."
        raise errors.invalid_request(message, "parameters") from None
    kind = "application/json" if data is None else data.mime_type
    sent = {name.lower(): value for name, value in helper._prepare_headers({}, _ROUTED).items()}
    headers = {name: value for name, value in sent.items() if name not in _NOT_SENT}
    path = "/" + helper._prepare_route(provider_id, _ROUTED).lstrip("/")
    return Request(path, headers | {"content-type": kind}, orjson.dumps(payload) if data is None else data)


def read_answer(provider: str, task: str, answer: Any) -> Any:
    """Return what the helper makes of an answer that holds its result itself: bytes or a JSON document.

    KeyError, TypeError or ValueError where it is not what the provider promised.
    """
    return _helper(provider, task).get_response(_without_files(answer), None)


# huggingface_hub takes a quarter of a second to import, and most processes never need it: so not at the top.


def _helper(provider: str, task: str) -> Any:
    from huggingface_hub.inference._providers import PROVIDERS

    tasks: Any = PROVIDERS
    return tasks[provider][task]


def _mapping(provider: str, task: str, model_id: str, provider_id: str) -> Any:
    """What the helper would ask the Hub for; we have it from the catalog."""
    from huggingface_hub.hf_api import InferenceProviderMapping

    facts = {"provider": provider, "hf_model_id": model_id, "providerId": provider_id}
    return InferenceProviderMapping(**facts, status="live", task=task)  # type: ignore[no-untyped-call]


def _with_type(data: bytes) -> bytes:
    from huggingface_hub.inference._common import MimeBytes

    return MimeBytes(data, media.kind_of(data))


def _without_files(answer: Any) -> Any:
    """Replicate may name a text file for a transcript, which its helper would fetch from wherever it is."""
    output = answer.get("output") if isinstance(answer, dict) else None
    for found in output if isinstance(output, list) else [output]:
        if isinstance(found, dict):
            found.pop("txt_file", None)
    return answer
