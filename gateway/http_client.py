"""The client that calls go to upstreams with: HTTP/1.1, connections kept and used again, nothing else.

No redirects, no cookies, no decompression, no proxy from the environment, no retry: bytes pass as they are. ADR
0035 says why it is ours: a request costs a fifth of what it costs through aiohttp.
"""

import asyncio
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import aiohappyeyeballs

from gateway.http_connection import Broken, Connection, Response

CONNECT_SECONDS = 3.0
KEEP_SECONDS = 30.0
_SECOND_FAMILY_SECONDS = 0.25  # when IPv4 is tried beside an IPv6 that does not answer (RFC 8305)
_ALWAYS = "User-Agent: turnpike\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"

SocketFactory = Callable[[tuple[Any, ...]], socket.socket]


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


class Client:
    """Connections to any number of upstreams. Use it from one event loop."""

    def __init__(self, socket_factory: SocketFactory | None = None) -> None:
        self._socket_factory = socket_factory
        self._tls = ssl.create_default_context()
        self._free: dict[Origin, deque[Connection]] = defaultdict(deque)
        self._all: WeakSet[Connection] = WeakSet()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        silence: float,
        deadline: float,
    ) -> Response:
        """Send a request and return its answer, as soon as the head is there.

        `silence`: how long the upstream may send nothing, in seconds; `deadline`: when all must be over, a
        monotonic moment. Broken or TimeoutError if it fails.
        """
        origin, head = _head_of(method, url, headers, body)
        connection = self._take(origin) or await self._connect(origin, deadline)
        response = connection.send(head + body, silence=silence, deadline=deadline)
        try:
            await response.begun()
        except BaseException:  # cancelled, too: nobody will read this answer
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._all):
            connection.hang_up()
        self._free.clear()

    def _take(self, origin: Origin) -> Connection | None:
        """Return a connection that is free, the one used last: the others may then grow old and go."""
        free = self._free[origin]
        while free:
            connection = free.pop()
            if connection.open and connection.free_since > time.monotonic() - KEEP_SECONDS:
                return connection
            connection.hang_up()
        return None

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        connection.free_since = now = time.monotonic()
        free = self._free[origin]
        free.append(connection)
        while free[0].free_since < now - KEEP_SECONDS or not free[0].open:
            free.popleft().hang_up()

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """Open a connection, by whichever of the host's addresses answers first."""
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, deadline - time.monotonic())):
                found = await self._dial(origin)
        except OSError as failure:
            if isinstance(failure, TimeoutError):
                raise
            raise Broken(f"no connection: {failure}", reached=False) from failure
        return found

    async def _dial(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        dialled = await aiohappyeyeballs.start_connection(
            found,
            happy_eyeballs_delay=_SECOND_FAMILY_SECONDS,
            interleave=1,
            socket_factory=self._socket_factory,
        )
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(lambda free: self._give_back(origin, free)),
                sock=dialled,
                ssl=self._tls if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:
            dialled.close()
            raise
        self._all.add(connection)
        return connection


def _head_of(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[Origin, bytes]:
    """Return where a request goes, and everything before its body. Broken for an address or header that is none."""
    try:
        origin, start = _start_of(method, url)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = "".join((start, *lines, f"Content-Length: {len(body)}\r\n\r\n" if body else "\r\n"))
        if head.count("\n") != len(lines) + _LINES + bool(body):
            raise ValueError("a header with a line break in it")
        return origin, head.encode("latin-1")
    except ValueError as failure:
        raise Broken(f"no request: {failure}", reached=False) from failure


@lru_cache(maxsize=10_000)
def _start_of(method: str, url: str) -> tuple[Origin, str]:
    """Return where `url` leads and the first lines of a request there."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    tls = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/:@~+-._!$&'()*,;=%")
    named = parts.netloc.rpartition("@")[2].encode("idna").decode()
    query = f"?{parts.query}" if parts.query else ""
    start = f"{method} {path}{query} HTTP/1.1\r\nHost: {named}\r\n{_ALWAYS}"
    return Origin(host, parts.port or (443 if tls else 80), tls), start


_LINES = _start_of("GET", "http://a")[1].count("\n") + 1
