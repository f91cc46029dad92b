"""The client of a stream: what it is sent, a comment while there is nothing to send, and whether it takes anything."""

import asyncio
from collections.abc import Awaitable, Callable

Write = Callable[[bytes], Awaitable[None]]
AtOnce = Callable[[bytes], bool]  # sends, or answers False and sends nothing: then it must go by `Write`
KEEP_ALIVE_SECONDS = 15.0
# A client that takes nothing for so long has left, whatever its connection says. Looked at when a comment may be due.
WRITE_SECONDS = 30.0
_COMMENT = b": keep-alive\n\n"


def never(_data: bytes) -> bool:
    """Where there is no way to send without waiting."""
    return False


class Client:
    """Made in the task that streams to it, which is cancelled should the client take nothing. Close it."""

    def __init__(self, write: Write, at_once: AtOnce = never) -> None:
        self.has_left = False
        self._write = write
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._streaming = asyncio.current_task()
        self._silent = True  # nothing was sent since the last look
        self._writing_since: float | None = None  # by the loop's clock
        self._comment: asyncio.Future[None] | None = None
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._look)

    def send_now(self, data: bytes) -> bool:
        """Send without waiting. False, and nothing is sent, where it must go by `send`."""
        self._silent = False
        return self._at_once(data)

    async def send(self, data: bytes) -> None:
        """Send, and wait where the client is slow to take."""
        self._silent = False
        await self._timed(data)

    async def _timed(self, data: bytes) -> None:
        self._writing_since = self._loop.time()
        await self._write(data)
        self._writing_since = None

    def left(self) -> None:
        """The client has gone: end its stream."""
        self.has_left = True
        if self._streaming is not None:
            self._streaming.cancel()

    def read_on(self) -> None:
        """The stream goes on without its client: what is sent goes nowhere, and is not waited for."""
        self.close()
        self._write, self._at_once = _nowhere, _nowhere_at_once

    def close(self) -> None:
        """Nothing more is sent."""
        self._timer.cancel()
        if self._comment is not None:
            self._comment.cancel()

    def _look(self) -> None:
        """Send a comment where the upstream has been silent, so that no proxy hangs up.

        Ends the stream where its client takes nothing, as if it had left: cheaper than a timer for each event.
        """
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._look)
        if self._writing_since is None:
            if self._silent:
                self._comment = asyncio.ensure_future(self._timed(_COMMENT))
        elif self._loop.time() - self._writing_since >= WRITE_SECONDS:
            self.left()
        self._silent = True


async def _nowhere(_data: bytes) -> None:
    """Gives way all the same, so that a drain can be cancelled."""
    await asyncio.sleep(0)


def _nowhere_at_once(_data: bytes) -> bool:
    return True
