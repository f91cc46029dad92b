"""A call and its answer, over ASGI and nothing else: what the lean entry hands to `views.py` and back.

Django's handler costs more than the rest of the call together, spools whole bodies and has no deadline, so
calls do not pass it (ADR 0003 has the figures).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.conf import settings

from accounts.client_address import client_address
from gateway import errors
from gateway.authentication import Caller
from gateway.limits import Admitted
from gateway.relay_client import Client

Scope = Mapping[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
StreamBody = Callable[[Client], Awaitable[None]]

# A body must arrive whole within this time.
BODY_SECONDS = 30.0
# How much of a body is taken in, and for how long, where the call is refused before it was read.
DISCARD_SECONDS = 1.0
MOST_DISCARDED_BYTES = 1_000_000


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Exchange(Protocol):
    """What our server offers beside ASGI (gateway/server.py): shorter ways for what is whole, and for a piece."""

    def whole_body(self) -> bytes | None:
        """Return the body if all of it is here."""

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer; False where it must go by `send`."""

    def when_gone(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` should the client leave before it has its answer. None: no longer."""

    def begin(self, status: int, headers: Headers) -> bool:
        """Send the head of a stream; False where it must go by `send`."""

    def piece(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun; False where it must go by `send`."""


class Call:
    """One request as it comes in. `caller` is set once it is known, `meter` once the meter has admitted it."""

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.id = request_id
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.receive = receive
        self._scope = scope
        self.exchange = exchange_of(scope)
        self.caller: Caller | None = None
        self.meter: Admitted | None = None
        self._whole = False  # the body has been read to its end
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    def header(self, name: bytes) -> bytes | None:
        """Return a header by its lower-case name, or None."""
        return self._headers.get(name)

    def client_address(self) -> str | None:
        """Return the client's IP address, as far as the operator's proxies (`TRUSTED_PROXIES`) tell it."""
        peer = (self._scope.get("client") or (None,))[0]
        forwarded = [value for name, value in self._scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer, forwarded, settings.TRUSTED_PROXIES)

    @property
    def content_type(self) -> str:
        """The Content-Type as it was sent (a form's boundary has its case), or "" where none was."""
        return self._headers.get(b"content-type", b"").decode("latin-1")

    async def read_body(self, limit: int) -> bytes:
        """Read the body, up to `limit` bytes. Refusal request_too_large while reading, request_timeout when late."""
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise errors.request_too_large(limit)
        body = self.exchange.whole_body() if self.exchange else None
        if body is not None:
            self._whole = True
            if len(body) > limit:
                raise errors.request_too_large(limit)
            return body
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read(limit)
        except TimeoutError:
            raise errors.request_timeout() from None

    async def _read(self, limit: int) -> bytes:
        pieces, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise errors.request_too_large(limit)
            pieces.append(piece)
            if not message.get("more_body"):
                self._whole = True
                return b"".join(pieces)

    async def discard_body(self) -> None:
        """Take in what is still being sent, within limits, before a refusal goes out.

        A server that answers and closes while the client still sends resets the connection, and the client
        reports that instead of the refusal (RFC 9112, 9.6).
        """
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self._whole and size <= MOST_DISCARDED_BYTES:
                    message = await self.receive()
                    size += len(message.get("body", b""))
                    self._whole = message["type"] == "http.disconnect" or not message.get("more_body")


def exchange_of(scope: Scope) -> Exchange | None:
    """Return what our server offers; None under another one."""
    found: Exchange | None = scope.get("extensions", {}).get("turnpike")
    return found


@dataclass(slots=True)
class Answer:
    """What goes back: a whole body, or a stream that writes itself."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    stream: StreamBody | None = None
