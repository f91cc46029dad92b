"""A waiting line with an end: so many calls at work, so many waiting, everybody else is told to come back."""

import asyncio
from types import TracebackType

from gateway.local_model.errors import OverloadedError


class Gate:
    """`async with gate:` waits for one of `places`; raises OverloadedError when `queue` callers wait."""

    def __init__(self, places: int, queue: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._queue = queue
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Take a place, in order of arrival. A caller that is cancelled while it waits leaves the line."""
        if self._places.locked() and self._waiting >= self._queue:
            raise OverloadedError
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back, whatever happened."""
        self._places.release()
