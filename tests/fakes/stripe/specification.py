"""The judge: is what we are sent, and what we answer, valid under Stripe's own OpenAPI document?

Every request and every object is judged; what is wrong is kept in `violations`, which a test session reads at its
end. specification.json.gz is made by convert.py.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
from jsonschema import Draft202012Validator

FILE = Path(__file__).with_name("specification.json.gz")
Schema = dict[str, Any]
_MOST_KEPT = 1000


@cache
def document() -> Schema:
    """Return the converted document."""
    found: Schema = json.loads(gzip.decompress(FILE.read_bytes()))
    return found


@cache
def _validator(kind: str, name: str) -> Draft202012Validator:
    schema = document()[kind][name]
    return Draft202012Validator(schema | {"objects": document()["objects"]})


def version() -> str:
    """Return the API version that is judged by."""
    return str(document()["version"])


def knows(operation: str) -> bool:
    """Tell whether an operation (`POST /v1/customers`) is in the document."""
    return operation in document()["requests"]


def decode(operation: str, encoded: str) -> Any:
    """Return a bracketed form or query as the nested values that its schema calls for."""
    return _coerce(document()["requests"][operation], _nest(parse_qsl(encoded, keep_blank_values=True)))


def faults_of_request(operation: str, values: Any) -> list[str]:
    """Return what is wrong with a request, in words; nothing if it is valid."""
    return _judged("requests", operation, values)


def faults_of_answer(operation: str, answer: Any) -> list[str]:
    """Return what is wrong with what we want to answer."""
    return _judged("answers", operation, answer)


def faults_of_object(name: str, given: Any) -> list[str]:
    """Return what is wrong with an object of this name, such as the one in an event."""
    return _judged("objects", name, given)


def _judged(kind: str, name: str, value: Any) -> list[str]:
    """Judge a value, once: an invoice takes 12 ms, and whoever polls gets the same one again and again."""
    key = hashlib.sha256(orjson.dumps([kind, name, value], option=orjson.OPT_NON_STR_KEYS)).digest()
    if key not in _verdicts:
        if len(_verdicts) > _MOST_VERDICTS:
            _verdicts.clear()
        _verdicts[key] = _words(_validator(kind, name).iter_errors(value))
    return _verdicts[key]


_verdicts: dict[bytes, list[str]] = {}
_MOST_VERDICTS = 50_000


class Judge:
    """Counts what was judged and keeps what was wrong."""

    def __init__(self) -> None:
        self.requests = 0
        self.objects = 0
        self.violations: list[str] = []

    def request(self, operation: str, values: Any) -> list[str]:
        """Judge a request."""
        self.requests += 1
        return self._keep(f"request {operation}", faults_of_request(operation, values))

    def answer(self, operation: str, answer: Any) -> list[str]:
        """Judge an answer."""
        self.objects += 1
        return self._keep(f"answer to {operation}", faults_of_answer(operation, answer))

    def object(self, name: str, given: Any) -> list[str]:
        """Judge an object that is sent in an event."""
        self.objects += 1
        return self._keep(f"object {name}", faults_of_object(name, given))

    def refuse(self, what: str) -> None:
        """Keep something that is wrong and in no schema, such as an address that Stripe does not have."""
        self._keep(what, ["not part of Stripe's API as it is kept here"])

    def _keep(self, what: str, faults: list[str]) -> list[str]:
        if faults and len(self.violations) < _MOST_KEPT:
            self.violations.append(f"{what}: {'; '.join(faults)}")
        return faults


def blank(name: str) -> dict[str, Any]:
    """Return the emptiest object that Stripe might answer: what is required, and null wherever null may be."""
    return _blank_parts(document()["objects"][name])


def _blank_parts(schema: Schema) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        field: _blank(part)
        for field, part in schema.get("properties", {}).items()
        if field in required or _may_be_null(part)
    }


def _may_be_null(schema: Schema) -> bool:
    return {"type": "null"} in schema.get("anyOf", []) or isinstance(schema.get("type"), list)


def _blank(schema: Schema) -> Any:
    if "$ref" in schema:
        return blank(schema["$ref"].rpartition("/")[2])
    if _may_be_null(schema):
        return None
    if "anyOf" in schema:
        return _blank(schema["anyOf"][0])
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return _blank_parts(schema)
    return {"string": "", "boolean": False, "integer": 0, "number": 0, "array": []}[str(kind)]


def _nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`items[0][price]=x` -> {"items": {"0": {"price": "x"}}}. `a[]=x` counts by itself."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        name, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key)
        place, last = root, name
        for part in rest:
            place = place.setdefault(last, {})
            last = part or str(len(place))
        place[last] = value
    return root


def _coerce(schema: Schema, value: Any) -> Any:
    """Turn texts into what the schema calls for; what does not fit stays as it is and is judged so."""
    if "anyOf" in schema:
        tried = [_coerce(branch, value) for branch in schema["anyOf"]]
        fitting = [
            found
            for found, branch in zip(tried, schema["anyOf"], strict=True)
            if Draft202012Validator(branch | {"objects": {}}).is_valid(found)
        ]
        return fitting[0] if fitting else next((found for found in tried if found != value), value)
    if isinstance(value, dict):
        return _coerce_parts(schema, value)
    return _coerce_text(schema.get("type"), value)


def _coerce_parts(schema: Schema, value: dict[str, Any]) -> Any:
    if schema.get("type") == "array" and all(key.isdigit() for key in value):
        return [_coerce(schema["items"], value[key]) for key in sorted(value, key=int)]
    known, more = schema.get("properties", {}), schema.get("additionalProperties")
    return {
        key: _coerce(known.get(key) or (more if isinstance(more, dict) else {}), part)
        for key, part in value.items()
    }


def _coerce_text(kind: Any, value: str) -> Any:
    if kind == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value) if "." in value else int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _words(errors: Iterable[Any]) -> list[str]:
    found = []
    for error in errors:
        while error.context:  # the branch of an anyOf that came nearest says most
            error = max(error.context, key=lambda inner: len(inner.absolute_path))
        place = ".".join(str(part) for part in error.absolute_path) or "the whole"
        found.append(f"{place}: {error.message[:300]}")
    return found
