"""Server-sent events: reading the engine's, writing the client's."""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from gateway.local_model.errors import ApiError, error_object, is_hf_path

DONE = b"data: [DONE]\n\n"
FAILED = ApiError(500, "server_error", "The local model failed in the middle of the answer. Try again.")
STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


def event(payload: Mapping[str, Any]) -> bytes:
    """One event that carries one JSON object."""
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


async def read_events(content: aiohttp.StreamReader) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of the engine's stream, in order, up to `[DONE]` or the end. Comments are left out."""
    rest = b""
    async for chunk in content.iter_any():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            data = block.strip().removeprefix(b"data: ")
            if data.startswith(b"{"):
                yield json.loads(data)


async def stream_answer(
    request: web.Request, chunks: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send each chunk the moment it comes.

    An engine that fails on the way ends the stream with one event that carries `error`, and without `[DONE]`.
    A client that leaves ends it silently; the caller's `async with` then cancels the engine's work.
    """
    answer = web.StreamResponse(headers={**STREAM_HEADERS, **headers})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionResetError):
        try:
            async for chunk in chunks:
                await answer.write(chunk)
        except (aiohttp.ClientPayloadError, TimeoutError):
            await answer.write(event(error_object(FAILED, hf=is_hf_path(request))))
        await answer.write_eof()
    return answer
