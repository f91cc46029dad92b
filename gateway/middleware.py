"""Middleware of the screens and the management API. Calls do not pass here."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bound_contextvars

from accounts.ids import uuid7


class RequestIdMiddleware:
    """Gives every request an id: on the request, in its log lines, and on the answer as `x-request-id`.

    Django's 500 page has no request to ask: it reads the id from the log lines' context too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = str(uuid7())  # type: ignore[attr-defined]
        with bound_contextvars(request_id=request.request_id):  # type: ignore[attr-defined]
            response = self.get_response(request)
        response.headers["x-request-id"] = request.request_id  # type: ignore[attr-defined]
        return response
