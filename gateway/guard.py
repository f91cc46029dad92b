"""A guard before Django: bodies are capped while they are read, and must arrive in time.

Django's ASGI handler spools the whole body before any middleware runs, without a cap and without a deadline
(django/core/handlers/asgi.py, `read_body`; `body_receive_timeout` is defined there and never used).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from gateway import errors
from gateway.admission import new_request_id
from gateway.errors import Refusal, Words
from gateway.http import BODY_SECONDS, Message, Receive, Scope, Send

MOST_BODY_BYTES = 2_500_000  # forms and the management API; no file comes this way


class _Cut(Exception):
    """Stops Django's reading. Carries what to answer instead."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


async def guarded(
    app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope, receive: Receive, send: Send
) -> None:
    """Run `app` with a body that is capped and timed."""
    size, deadline = 0, asyncio.get_running_loop().time() + BODY_SECONDS
    whole, cut = False, None

    async def capped_receive() -> Message:
        nonlocal size, whole, cut
        if whole:
            return await receive()  # now it only waits for the client to leave
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            cut = _Cut(errors.request_timeout())
            raise cut from None
        size += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if size > MOST_BODY_BYTES:
            cut = _Cut(errors.request_too_large(MOST_BODY_BYTES))
            raise cut
        return message

    with contextlib.suppress(_Cut):
        await app(scope, capped_receive, send)
    if cut is not None:
        await _refuse(cut.refusal, send)


async def _refuse(refusal: Refusal, send: Send) -> None:
    request_id = new_request_id()
    body = refusal.body(Words.OPENAI, request_id)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
