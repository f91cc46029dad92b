"""The management API's errors: the same object as the calls' own."""

from typing import Any

from rest_framework import exceptions, views
from rest_framework.response import Response

from gateway.errors import Refusal, invalid_api_key, invalid_request


def exception_handler(failure: Exception, context: dict[str, Any]) -> Response | None:
    """Give the management API the same error object as the calls. Set in REST_FRAMEWORK."""
    request = context["request"]
    request_id = getattr(request, "request_id", "")
    if isinstance(failure, Refusal):
        return Response({"error": failure.as_object(request_id)}, status=failure.status)
    response = views.exception_handler(failure, context)
    if response is None:
        return None
    refusal = _from_drf(failure, response)
    response.data = {"error": refusal.as_object(request_id)}
    return response


def _from_drf(failure: Exception, response: Response) -> Refusal:
    if isinstance(failure, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return invalid_api_key()
    if response.status_code == 400:
        return invalid_request(_first_message(response.data), _first_field(response.data))
    code = getattr(failure, "default_code", "error")
    return Refusal(response.status_code, str(code), _first_message(response.data))


def _first_field(data: Any) -> str | None:
    """Return the name of the field that the first error is about; None where it is about the whole body."""
    name = next(iter(data), None) if isinstance(data, dict) else None
    return None if name in ("detail", "non_field_errors") else name


def _first_message(data: Any) -> str:
    """Return the first sentence out of DRF's nested errors, with the field's name in front."""
    if isinstance(data, dict):
        name, inner = next(iter(data.items()), ("", ""))
        return (
            _first_message(inner)
            if name in ("detail", "non_field_errors")
            else f"{name}: {_first_message(inner)}"
        )
    if isinstance(data, list):
        return _first_message(data[0]) if data else ""
    return str(data)
