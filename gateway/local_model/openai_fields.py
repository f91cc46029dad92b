"""OpenAI bodies, checked and reduced to what the engine is to see.

Only the fields of these tables travel on. The engine knows many more of its own, and some can stop it for
everybody: a deeply nested `grammar` crashes the process (tried), so none of them is let through.
"""

from dataclasses import dataclass
from typing import Any

from gateway.local_model.errors import InvalidRequestError
from gateway.local_model.fields import (
    Field,
    Json,
    check_field,
    check_filled_text,
    check_stops,
    check_text,
    pick_fields,
    refuse_fields,
)
from gateway.local_model.models import EMBEDDING_DIMENSIONS
from gateway.local_model.schema import check_schema

MAX_TOKENS_FIELD = Field(int, low=1, high=2**31 - 1)

COMMON = {
    "temperature": Field(float, low=0, high=2),
    "top_p": Field(float, low=0, high=1),
    "top_k": Field(int, low=0, high=100_000),
    "min_p": Field(float, low=0, high=1),
    "presence_penalty": Field(float, low=-2, high=2),
    "frequency_penalty": Field(float, low=-2, high=2),
    "seed": Field(int, low=-(2**63), high=2**63 - 1),
    "stream": Field(bool),
    "stream_options": Field(dict),
    "logit_bias": Field(dict),
    "max_tokens": MAX_TOKENS_FIELD,
}
CHAT = COMMON | {
    "max_completion_tokens": MAX_TOKENS_FIELD,
    "logprobs": Field(bool),
    "top_logprobs": Field(int, low=0, high=20),
}
COMPLETION = COMMON | {"logprobs": Field(int, low=0, high=5)}

NOT_IN_CHAT = {
    "tools": "Remove it, and describe what you need in a message.",
    "functions": "Remove it, and describe what you need in a message.",
    "audio": "Remove it; this model reads and writes text.",
}
NOT_IN_COMPLETION = {
    "echo": "Remove it, and put the prompt before the answer yourself.",
    "suffix": "Remove it; this model only continues text.",
}
ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_BIASES = 300


def chat_body(body: Json) -> Json:
    """The engine's body for a chat call. Raises InvalidRequestError."""
    refuse_fields(body, NOT_IN_CHAT)
    picked = _common_body(body, CHAT)
    response_format = body.get("response_format")
    if response_format is not None:
        picked["response_format"] = _response_format(response_format)
    return picked | {"messages": _messages(body.get("messages"))}


def completion_body(body: Json) -> Json:
    """The engine's body for a completion call. Raises InvalidRequestError."""
    refuse_fields(body, NOT_IN_COMPLETION)
    return _common_body(body, COMPLETION) | {"prompt": _prompt(body.get("prompt"))}


def _common_body(body: Json, table: dict[str, Field]) -> Json:
    for name in ("n", "best_of"):
        # The engine counts the tokens of the first answer only, so a second one would go unmetered.
        if body.get(name) not in (None, 1):
            raise InvalidRequestError(f"`{name}` must be 1. Call again for another answer.", name)
    picked = pick_fields(body, table)
    if body.get("stop") is not None:
        picked["stop"] = check_stops(body["stop"])
    if "stream_options" in picked:
        picked["stream_options"] = pick_fields(picked["stream_options"], {"include_usage": Field(bool)})
    if "logit_bias" in picked:
        _check_biases(picked["logit_bias"])
    if "seed" in picked:
        picked["seed"] %= 2**32 - 1  # the engine's seed has 32 bits, and its highest value means "any"
    return picked


def _check_biases(biases: Json) -> None:
    if len(biases) > MAX_BIASES:
        raise InvalidRequestError(f"`logit_bias` has at most {MAX_BIASES} tokens.", "logit_bias")
    for token, bias in biases.items():
        check_field("logit_bias", bias, Field(float, low=-100, high=100))
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise InvalidRequestError("The keys of `logit_bias` must be token ids.", "logit_bias")


def _response_format(value: Any) -> Json:
    """`text`, `json_object` (with Hugging Face's `value` or llama.cpp's `schema`) or `json_schema`, for the
    engine.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return {"type": "text"}
    if kind == "json_schema":
        holder = value.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        return {"type": "json_object", "schema": check_schema("response_format", schema)}
    if kind == "json_object":
        schema = value.get("schema") or value.get("value") or {}
        return {"type": "json_object", "schema": check_schema("response_format", schema)}
    raise InvalidRequestError(
        "`response_format.type` must be text, json_object or json_schema.", "response_format"
    )


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise InvalidRequestError("`messages` must be a list with at least one message.", "messages")
    return [_message(message) for message in value]


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise InvalidRequestError(
            f"Each message must be an object with a `role` of {', '.join(ROLES)}.", "messages"
        )
    return {"role": message["role"], "content": _content(message.get("content"), message["role"])}


def _content(content: Any, role: str) -> str:
    """The text of a message: a string, or OpenAI's list of text parts, one after the other."""
    if content is None and role == "assistant":
        return ""
    if not isinstance(content, list):
        return check_text("content", content)
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise InvalidRequestError(
                "This model reads text only. Remove the message parts that are not text.", "messages"
            )
    return "\n".join(check_text("text", part.get("text")) for part in content)


def _prompt(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, list):
        raise InvalidRequestError(
            "`prompt` must be one string. Call once for each prompt; token ids are not read.", "prompt"
        )
    return check_filled_text("prompt", value)


@dataclass(frozen=True)
class EmbeddingOptions:
    """How /v1/embeddings is to answer."""

    base64: bool
    is_query: bool


def embedding_options(body: Json) -> EmbeddingOptions:
    """Read encoding_format, input_type and dimensions. Raises InvalidRequestError."""
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise InvalidRequestError("`encoding_format` must be float or base64.", "encoding_format")
    if body.get("input_type") not in (None, "query", "passage"):
        raise InvalidRequestError("`input_type` must be query or passage.", "input_type")
    if body.get("dimensions") not in (None, EMBEDDING_DIMENSIONS):
        raise InvalidRequestError(
            f"This model has {EMBEDDING_DIMENSIONS} dimensions. Remove `dimensions`.", "dimensions"
        )
    return EmbeddingOptions(body.get("encoding_format") == "base64", body.get("input_type") != "passage")
