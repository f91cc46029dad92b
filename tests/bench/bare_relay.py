"""A relay that does nothing but pass on: the least that a stream through Python costs. uvicorn runs it.

It goes to its upstream by the gateway's own client, so what Turnpike takes more is what Turnpike does.
"""

import os
import time
from typing import Any

from gateway.http_client import Client

_UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")
_clients: list[Client] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI callable."""
    if scope["type"] != "http":
        await _lifespan(receive, send)
    elif scope["path"] == "/alive":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"alive"})
    else:
        await _pass_on(scope["path"], await _body(receive), send)


async def _lifespan(receive: Any, send: Any) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        _clients.append(Client())
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Any) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _pass_on(path: str, body: bytes, send: Any) -> None:
    headers, deadline = {"Content-Type": "application/json"}, time.monotonic() + 60
    response = await _clients[0].send("POST", _UPSTREAM + path, headers, body, silence=30, deadline=deadline)
    kind = response.headers.get("content-type", "").encode()
    await send(
        {"type": "http.response.start", "status": response.status, "headers": [(b"content-type", kind)]}
    )
    async for piece in response.pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
