"""One HTTP/1.1 connection to an upstream, and the answer that comes over it: httptools parses, this keeps order.

One request at a time. A connection is used again only after a whole answer, with nothing behind it, that does
not say `close`; in every other case it is closed, so what belongs to one call never reaches another.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httptools

MOST_HEADER_BYTES = 64 * 1024
MOST_UNREAD_BYTES = 256 * 1024  # past it the upstream waits until we have passed on what there is


class Broken(Exception):
    """The upstream cannot be reached (`reached` is False), or its connection or its HTTP broke."""

    def __init__(self, message: str, *, reached: bool = True) -> None:
        super().__init__(message)
        self.reached = reached


class TooLarge(Exception):
    """The body is larger than the reader takes."""


class Response:
    """An answer on its way: the head first, then the body in pieces. Close it, whatever happens."""

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], bool] | None = None
        self._failure: Exception | None = None
        self._whole = False

    async def begun(self) -> None:
        """Wait for the head. Broken, or TimeoutError where the upstream is silent for too long."""
        while not self.status:
            await self._news()

    async def read(self, most: int) -> bytes:
        """Return the whole body. TooLarge past `most` bytes; else as `begun`."""
        if int(self.headers.get("content-length") or 0) > most:
            raise TooLarge
        pieces, size = [], 0
        while True:
            for piece in self._take():
                pieces.append(piece)
                size += len(piece)
            if size > most:
                raise TooLarge
            if self._whole:
                return b"".join(pieces)
            await self._news()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Failures as in `begun`."""
        while True:
            if self._pieces:
                pieces = self._take()
                yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
            elif self._whole:
                return
            else:
                await self._news()

    def pass_to(self, sink: Callable[[bytes], bool]) -> None:
        """Offer what comes to `sink` from now on: what it takes, by True, does not wake the reader of `pieces`.

        It is asked only while that reader waits for more, so nothing overtakes what the reader has in hand.
        """
        self._sink = sink

    def close(self) -> None:
        """Let go. A connection whose answer is not whole is closed, which tells the upstream to stop."""
        if not self._whole:
            self._connection.hang_up()

    def _take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        if not self._whole:  # else the connection may serve another call by now
            self._connection.taken()
        return pieces

    async def _news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    # What the connection tells it:

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def came(self) -> None:
        """Something came: it is the sink's, or the reader's."""
        if self._waiter is None or self._waiter.done():
            return
        if self._sink is not None and self._pieces:
            piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            if self._sink(piece):
                self._pieces.clear()
                self._connection.taken()
                return
        self._waiter.set_result(None)

    def end(self, failure: Exception | None = None) -> None:
        self._whole = failure is None
        self._failure = failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """Sends a request, hands the answer to its `Response`, and says when it may be used again."""

    def __init__(self, free: Callable[["Connection"], None]) -> None:
        self.open = True
        self.free_since = 0.0  # monotonic seconds
        self._free = free
        self._loop = asyncio.get_running_loop()
        self._response: Response | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._paused = False
        self._timer: asyncio.TimerHandle | None = (
            None  # one for many requests: most end long before it is due
        )
        self._looks_at = 0.0  # monotonic seconds

    def send(self, request: bytes, *, silence: float, deadline: float) -> Response:
        """Send a whole request. `silence` is in seconds, `deadline` a monotonic moment; past either: TimeoutError."""
        self._response = response = Response(self)
        self._head_bytes = self._unread = 0
        self._until_closed = self._ended = self._more = False
        self._silence, self._deadline, self._heard = silence, deadline, time.monotonic()
        due = min(self._heard + silence, deadline)
        if self._timer is None or due < self._looks_at:
            self._look_by(due)
        self._transport.write(request)
        return response

    def hang_up(self) -> None:
        """Close at once."""
        self.open = False
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()

    def taken(self) -> None:
        """What had come was passed on."""
        self._unread = 0
        if self._paused and self.open:
            self._paused, self._heard = False, time.monotonic()
            self._transport.resume_reading()

    def _look_by(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = due
        self._timer = self._loop.call_later(due - time.monotonic(), self._look)

    def _look(self) -> None:
        """Fail if the upstream has been silent, or the call running, for too long."""
        self._timer = None
        if self._response is None:
            return
        now = time.monotonic()
        # While a large request still leaves, or the client is slow to take, the silence is not the upstream's.
        if self._paused or self._transport.get_write_buffer_size():
            self._heard = now
        due = min(self._heard + self._silence, self._deadline)
        if due > now:
            self._look_by(due)
        else:
            self._fail(TimeoutError())

    def _fail(self, failure: Exception) -> None:
        self.hang_up()
        self._end(failure)

    def _end(self, failure: Exception | None = None) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.end(failure)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # it was not asked
            self.hang_up()
            return
        self._heard = time.monotonic()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as failure:
            self._fail(Broken(f"not HTTP: {failure}"))
            return
        if not response.status:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEADER_BYTES:
                self._fail(Broken("endless headers"))
        elif self._ended:
            self._finish()
        else:
            response.came()

    def _finish(self) -> None:
        """The answer is whole: use the connection again, or close it."""
        if self._more or not self._keeps or self._transport.get_write_buffer_size():
            self.hang_up()
        self._end()
        if self.open:
            self.taken()
            self._free(self)

    def connection_lost(self, failure: Exception | None) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        self._end(None if self._until_closed and failure is None else Broken("the connection broke"))

    # httptools

    def on_message_begin(self) -> None:
        self._more = self._ended  # a second answer to one request
        self._head: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self._response is not None and not self._ended:  # 1xx only announces the answer
            self._response.status, self._response.headers = status, self._head
            framed = "content-length" in self._head or "transfer-encoding" in self._head
            self._until_closed = not framed and status not in (204, 304)

    def on_body(self, body: bytes) -> None:
        if self._response is not None and not self._ended:
            self._response.add(body)
            self._unread += len(body)
            if self._unread > MOST_UNREAD_BYTES and not self._paused:
                self._paused = True
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._response is not None and self._response.status and not self._ended:
            self._ended, self._keeps = True, self._parser.should_keep_alive()
