"""How the web server speaks HTTP: as uvicorn does with httptools, with the limits that it lacks and a shorter way
for calls (ADR 0036).

uvicorn runs it (`--http gateway.server:Protocol`) and has the workers, signals, and everything that ASGI asks for.
Here are: a request's head that trickles in or never ends, a connection on which nothing ever comes, and shorter
ways for a whole answer and for the pieces of a stream, which a call asks for by `scope["extensions"]["turnpike"]`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

HEAD_SECONDS = 30.0  # for a request's head to come
KEEP_SECONDS = 75.0  # that a connection may idle between two requests
MOST_HEAD_BYTES = 64 * 1024
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

Headers = list[tuple[bytes, bytes]]


class Exchange(RequestResponseCycle):
    """One request and its answer."""

    response_started: bool
    _leave: Callable[[], object] | None = None

    def when_gone(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` should the client close its connection before it has its answer. None: no longer."""
        self._leave = leave
        if leave is not None and self.disconnected:
            asyncio.get_running_loop().call_soon(leave)
        elif leave is not None:  # while nothing is read nobody is seen to leave
            self.flow.resume_reading()

    def client_left(self) -> None:
        """The connection is closed: tell whoever works on an answer that is not complete."""
        if self.response_complete:
            return
        self.disconnected = True
        self.message_event.set()
        if self._leave is not None:
            self._leave()

    def whole_body(self) -> bytes | None:
        """Return the request's body if all of it has come, or None: then it is read as ASGI has it."""
        if self.more_body or self.disconnected:
            return None
        self.message_event.clear()
        return bytes(self.body)

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer with its length, at once. False, and nothing is sent, where it must go by `send`."""
        if not self._may_begin():
            return False
        head = self._head(status, headers, b"content-length: %d" % len(body))
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(head + body)
        self.message_event.set()
        self.on_response()
        return True

    def _may_begin(self) -> bool:
        plain = self.keep_alive and not self.response_started and self.scope["method"] != "HEAD"
        return plain and not self.flow.write_paused and not self.disconnected

    def _head(self, status: int, headers: Headers, frame: bytes) -> bytes:
        lines = [b": ".join(header) for header in (*self.default_headers, *headers)]
        head = b"\r\n".join((*lines, frame, b"\r\n"))
        if head.count(b"\n") != len(lines) + 2:
            raise ValueError("a header with a line break in it")
        return STATUS_LINE[status] + head

    def begin(self, status: int, headers: Headers) -> bool:
        """Send the head of a stream. False, and nothing is sent, where it must go by `send`."""
        if not self._may_begin():
            return False
        head = self._head(status, headers, b"transfer-encoding: chunked")
        self.response_started = self.chunked_encoding = True
        self.waiting_for_100_continue = False
        self.transport.write(head)
        return True

    def piece(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun. False, and nothing is sent, where it must go by `send`."""
        if not self.chunked_encoding or self.response_complete or self.flow.write_paused or self.disconnected:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    cycle: Exchange

    def connection_made(self, transport: Any) -> None:
        """Begin to watch how long the client takes."""
        super().connection_made(transport)
        self._serving: Exchange | None = None  # `cycle` is the last one that came, and may wait behind it
        self._in_head = False
        self._head_bytes = 0
        self._since = self.loop.time()  # when the connection began to idle, or a head to come
        self._watch = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching, and tell the call that is being answered."""
        self._watch.cancel()
        super().connection_lost(exc)
        if self._serving is not None:
            self._serving.client_left()

    def _look(self) -> None:
        """Close a connection that idles, or whose head does not come. One timer for many requests."""
        busy = self.cycle is not None and not self.cycle.response_complete
        left = self._since + (HEAD_SECONDS if self._in_head else KEEP_SECONDS) - self.loop.time()
        if busy or left > 0:
            self._watch = self.loop.call_later(HEAD_SECONDS if busy else left, self._look)
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take in what came, within limits."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._since = True, 0, self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is whole: start the application, or queue the request behind the one before it."""
        self._in_head = False
        parser, version = self.parser, self.parser.get_http_version()
        scope = cast(dict[str, Any], self.scope)
        raw_path, _, query = self.url.partition(b"#")[0].partition(b"?")
        if not raw_path.startswith(b"/"):  # as to a proxy: http://host/path
            raw_path = urlsplit(raw_path).path or b"/"
        path = raw_path.decode("ascii")
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        before, self.cycle = self.cycle, self._exchange(version)
        scope["extensions"] = {"turnpike": self.cycle}
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start the application for a request, and remember whose turn it is."""
        self._serving = cast(Exchange, cycle)
        super()._start_asgi_task(cycle, app)

    def _exchange(self, version: str) -> Exchange:
        return Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_response_complete(self) -> None:
        """An answer has gone: the next request, if it is here already, or idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
