"""Reading a JSON body: is it JSON, is it an object, and is every field of the kind and size that it must be?

The engine behind us ignores some wrong types and crashes on others, so each field is checked here, by one
table per form, and only fields of the table travel on.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.local_model.errors import ApiError, InvalidRequestError

BODY_SECONDS = 30
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 200

Json = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """What one field may be. `above` is exclusive, `low` and `high` are inclusive; they apply to numbers."""

    kind: type
    low: float | None = None
    high: float | None = None
    above: float | None = None


KIND_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    dict: "an object",
    list: "a list",
}


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_object(raw: bytes) -> Json:
    """Decode a body; raises ApiError 400 for what is not JSON (also NaN, and nesting too deep to read)."""
    try:
        body = json.loads(raw, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            400, "not_json", "The body is not valid JSON. Send one JSON object as UTF-8."
        ) from error
    if not isinstance(body, dict):
        raise ApiError(400, "not_json", "The body must be one JSON object, like {…}.")
    return body


async def read_object(request: web.Request) -> Json:
    """Read and decode the request's body; a client that takes more than 30 s to send it gets 408."""
    try:
        raw = await asyncio.wait_for(request.read(), BODY_SECONDS)
    except TimeoutError as error:
        raise ApiError(408, "timeout", "The body took too long to arrive. Send it again.") from error
    return parse_object(raw)


def _is_kind(value: object, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _bounds(field: Field) -> str:
    parts = [
        f"above {field.above:g}" if field.above is not None else "",
        f"at least {field.low:.10g}" if field.low is not None else "",
        f"at most {field.high:.20g}" if field.high is not None else "",
    ]
    return " and ".join(part for part in parts if part)


def _in_bounds(value: float, field: Field) -> bool:
    return (
        (field.above is None or value > field.above)
        and (field.low is None or value >= field.low)
        and (field.high is None or value <= field.high)
    )


def check_field(name: str, value: Any, field: Field) -> None:
    """Raise InvalidRequestError unless the value is of the field's kind and within its bounds."""
    if not _is_kind(value, field.kind):
        raise InvalidRequestError(f"`{name}` must be {KIND_NAMES[field.kind]}.", name)
    if isinstance(value, int | float) and not _in_bounds(value, field):
        raise InvalidRequestError(f"`{name}` must be {_bounds(field)}.", name)
    if isinstance(value, str):
        check_text(name, value)


def pick_fields(body: Mapping[str, Any], table: Mapping[str, Field]) -> Json:
    """The fields of `table` that the body sets (null counts as unset), each checked. All others are left
    behind.
    """
    picked = {name: body[name] for name in table if body.get(name) is not None}
    for name, value in picked.items():
        check_field(name, value, table[name])
    return picked


def refuse_fields(body: Mapping[str, Any], advice: Mapping[str, str]) -> None:
    """Raise InvalidRequestError if a field is set that would change the answer but is not done here. Name ->
    what to do.
    """
    for name, what_to_do in advice.items():
        if body.get(name) not in (None, False, 0, "", [], {}):
            raise InvalidRequestError(f"This model does not do `{name}`. {what_to_do}", name)


def check_text(name: str, value: Any) -> str:
    """A string that can be written as UTF-8 (JSON can carry half a surrogate pair, which cannot)."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"`{name}` must be a string.", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"`{name}` holds half a surrogate pair. Send whole characters.", name
        ) from error
    return value


def check_filled_text(name: str, value: Any) -> str:
    """A string as above that is not empty."""
    text = check_text(name, value)
    if not text:
        raise InvalidRequestError(f"`{name}` must not be empty.", name)
    return text


def check_stops(value: Any) -> list[str]:
    """`stop`: a string or a list of at most 16 strings, each 1 to 200 characters."""
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise InvalidRequestError(
            f"`stop` must be a string or a list of at most {MAX_STOPS} strings.", "stop"
        )
    for stop in stops:
        if len(check_filled_text("stop", stop)) > MAX_STOP_CHARACTERS:
            raise InvalidRequestError(
                f"A `stop` string has at most {MAX_STOP_CHARACTERS} characters.", "stop"
            )
    return stops
