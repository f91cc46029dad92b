"""Refusals, once: an `ApiError` is raised anywhere and becomes the dialect of the path that was called.

`/models/…` answers Hugging Face's `{"error": "<string>", "error_type": …}` (Text Generation Inference's
names), every other path OpenAI's `{"error": {"message", "type", "param", "code"}}`. Both carry
Content-Length: the asynchronous Hugging Face client reads no error text without it.
"""

import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HF_ERROR_TYPES = {
    "invalid_request": "validation",
    "context_length_exceeded": "validation",
    "request_too_large": "validation",
    "overloaded": "overloaded",
    "server_error": "generation",
    "timeout": "incomplete_generation",
}
"""OpenAI code -> Text Generation Inference's error_type; a code that is not here keeps its own name."""


class ApiError(Exception):
    """A refusal with its HTTP status (OpenAI's choice), a stable code, and a message that says what to do
    next.
    """

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class InvalidRequestError(ApiError):
    """The body is JSON, but not what this path takes: 400 in OpenAI's dialect, 422 in Hugging Face's."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(400, "invalid_request", message, param)


class ContextExceededError(ApiError):
    """The text has more tokens than the model reads: 400 in OpenAI's dialect, 422 in Hugging Face's."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "context_length_exceeded", message)


class OverloadedError(ApiError):
    """The waiting line is full."""

    def __init__(self) -> None:
        super().__init__(503, "overloaded", "The local model is overloaded. Try again in a second.")


def is_hf_path(request: web.Request) -> bool:
    """Whether the caller speaks Hugging Face's dialect."""
    return request.path.startswith("/models/")


def error_object(error: ApiError, *, hf: bool) -> dict[str, object]:
    """The JSON body of a refusal; also what a stream carries when it fails after its first byte."""
    if hf:
        return {"error": error.message, "error_type": HF_ERROR_TYPES.get(error.code, error.code)}
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def error_response(error: ApiError, *, hf: bool) -> web.Response:
    """Status, body and Retry-After (seconds, on 503) of a refusal."""
    status = 422 if hf and isinstance(error, InvalidRequestError | ContextExceededError) else error.status
    headers = {"Retry-After": "1"} if status == 503 else {}
    body = json.dumps(error_object(error, hf=hf), ensure_ascii=False)
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


def _as_api_error(exception: Exception, request: web.Request) -> ApiError:
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, web.HTTPRequestEntityTooLarge):
        return ApiError(413, "request_too_large", "The body is too large. Send at most 8 MiB in one call.")
    if isinstance(exception, web.HTTPException):
        return ApiError(exception.status, "not_found", f"There is no {request.method} {request.path} here.")
    logger.error("a call failed: %s %s", request.method, request.path, exc_info=exception)
    return ApiError(500, "server_error", "The local model failed on this call. Try again.")


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception of a handler into a refusal in the caller's dialect."""
    try:
        return await handler(request)
    except Exception as exception:
        return error_response(_as_api_error(exception, request), hf=is_hf_path(request))
