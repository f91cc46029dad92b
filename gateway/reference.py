"""The API reference at /docs/: the OpenAPI document as a page in our own look, without a script.

Redoc and Swagger UI style themselves inline and fetch pictures from elsewhere; our content security policy
allows neither.
"""

import re
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_GET
from drf_spectacular.generators import SchemaGenerator

from gateway.snippets import first_call, first_model

JSON = "application/json"


class Field(NamedTuple):
    """One field of a body, or one part of the path."""

    name: str
    type: str
    required: bool
    words: SafeString


class Endpoint(NamedTuple):
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    words: SafeString
    path_fields: list[Field]
    body_fields: list[Field]  # and what headers and the query may say
    answers: list[tuple[str, str]]  # status, what it means


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """How to sign in, call, stream and read a refusal; then every endpoint."""
    context = {
        "endpoints": endpoints(),
        "base_url": settings.SITE_URL,
        "snippets": first_call(first_model()),
    }
    return render(request, "docs.html", context)


@cache
def endpoints() -> list[Endpoint]:
    """Read the OpenAPI document once per process: it changes only with the code."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    found = [
        _endpoint(schema, path, method, operation)
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]
    return sorted(found, key=lambda endpoint: (endpoint.path.startswith("/hf-inference"), endpoint.path))


def _endpoint(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Endpoint:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema", {})
    return Endpoint(
        operation["operationId"],
        method.upper(),
        path,
        operation.get("summary", ""),
        _with_code(operation.get("description", "")),
        [
            Field(p["name"], "string", True, _with_code(""))
            for p in operation.get("parameters", [])
            if p["in"] == "path"
        ],
        _fields(schema, _resolved(schema, body)) + _asked_beside(schema, operation),
        [(status, answer.get("description", "")) for status, answer in operation["responses"].items()],
    )


def _with_code(words: str) -> SafeString:
    """Show what stands between backticks as code, everything else as text."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words)))  # noqa: S308 - escaped first


def _fields(schema: dict[str, Any], body: dict[str, Any]) -> list[Field]:
    required = body.get("required", [])
    return [
        Field(name, _type(schema, part), name in required, _with_code(part.get("description", "")))
        for name, part in body.get("properties", {}).items()
    ]


def _asked_beside(schema: dict[str, Any], operation: dict[str, Any]) -> list[Field]:
    """What may be said in headers and behind the path's question mark."""
    beside = [each for each in operation.get("parameters", []) if each["in"] in ("header", "query")]
    return [
        Field(
            each["name"],
            "header" if each["in"] == "header" else f"in the query: {_type(schema, each['schema'])}",
            each.get("required", False),
            _with_code(each.get("description", "")),
        )
        for each in beside
    ]


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow a `$ref`; anything else stays as it is."""
    name = part.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = schema["components"]["schemas"][name] if name else part
    return resolved


def _type(schema: dict[str, Any], part: dict[str, Any]) -> str:
    """Say a type in words that a curl user reads: `string`, `list of object`, `float | base64`."""
    part = _resolved(schema, (part.get("allOf") or [part])[0])
    if part.get("enum"):
        return " | ".join(str(value) for value in part["enum"])
    if part.get("type") == "array":
        return f"list of {_type(schema, part['items'])}"
    return str(part.get("type", "any JSON"))
