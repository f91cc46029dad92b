"""What tests/fakes/upstream.py answers when it is told to talk nonsense.

half         stops in the middle of a whole answer       empty       200 and nothing
html         200 and a page                              huge        says that a gigabyte follows
endless      streams one event that never ends           redirect    sends the caller to another address
negative     usage below zero                            absurd      usage of a thousand trillion tokens
textual      usage in words
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

ODD_USAGE: Mapping[str, Any] = {
    "negative": {"prompt_tokens": -5, "completion_tokens": -7},
    "absurd": {"prompt_tokens": 3, "completion_tokens": 10**15},
    "textual": {"prompt_tokens": "many", "completion_tokens": True},
}


def look_at_picture(data: bytes) -> web.Response:
    """Answer as Hugging Face does to a picture, and to what is none."""
    if data.startswith((b"\x89PNG", b"\xff\xd8")):
        return web.json_response([{"label": "toll booth", "score": 0.9}], headers={"x-compute-time": "0.25"})
    return web.json_response({"error": "cannot identify image file"}, status=400)


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def _empty(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"", content_type="application/json")


async def _html(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>Welcome to nginx!</html>", content_type="text/html")


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(2**30)})
    await response.prepare(request)
    await asyncio.sleep(5)
    return response


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(64):
        await response.write(b"x" * 16_384)
    return response


async def _redirect(request: web.Request) -> web.StreamResponse:
    # By its other name it is another host to any HTTP client.
    return web.Response(status=307, headers={"Location": f"http://localhost:{request.url.port}/elsewhere"})


WHOLE: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "half": _half,
    "empty": _empty,
    "html": _html,
    "huge": _huge,
    "endless": _endless,
    "redirect": _redirect,
}
