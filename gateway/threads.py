"""Work for a thread: queries that a call needs only when a cache has nothing."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from gateway import errors

# A ledger that takes longer than this is as good as away.
LEDGER_SECONDS = 5.0
_log = structlog.get_logger(__name__)

Params = ParamSpec("Params")
Result = TypeVar("Result")


async def in_thread(work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Run blocking `work` in a thread and return its result. Its database connection goes back to the pool."""

    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            connections.close_all()

    return await sync_to_async(run, thread_sensitive=False)()


async def ask_ledger(work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Run a query that a call waits for. Refusal `limiter_unavailable` where the ledger is away or hangs."""
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            return await in_thread(work, *args, **kwargs)
    except (DatabaseError, TimeoutError) as failure:
        _log.error("ledger away", error=repr(failure))
        raise errors.limiter_unavailable() from failure
