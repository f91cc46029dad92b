"""Loops that run beside the calls of a process for as long as it lives, and how they end."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import structlog

END_SECONDS = 3.0
_CANCEL_AGAIN_SECONDS = 0.3
_log = structlog.get_logger(__name__)


async def forever(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop that must never end; should a fault of ours end it, say so and start it again."""
    while True:
        try:
            await loop()
        except Exception:
            _log.exception("a loop beside the calls failed", loop=getattr(loop, "__name__", "announcements"))
        await asyncio.sleep(1)


async def end(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel tasks until each has ended, for END_SECONDS at most.

    Once is not enough: redis-py makes an error of its own out of a cancellation that comes while it hangs up, and a
    loop that takes this for a meter that is away goes on.
    """
    deadline = time.monotonic() + END_SECONDS
    running = set(tasks)
    while running and time.monotonic() < deadline:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)
    if running:
        _log.warning("loops do not end", loops=len(running))


async def finish(tasks: Collection["asyncio.Future[Any]"]) -> None:
    """Wait for what must be done before the process ends, for END_SECONDS at most. What fails or hangs is logged."""
    done, running = await asyncio.wait(tasks, timeout=END_SECONDS)
    failures = [repr(failure) for task in done if (failure := task.exception())]
    if failures or running:
        _log.warning("not everything could be closed", failures=failures, hanging=len(running))
