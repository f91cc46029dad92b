"""What runs beside the calls ends when the process is told to stop, even where a library eats the cancellation."""

import asyncio
import time

import pytest
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from gateway import loops


async def listens_like_redis_py() -> None:
    """Take a cancellation for a meter that is away, once: redis-py does when hanging up takes too long."""
    eaten = False
    while True:
        try:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if eaten:
                    raise
                eaten = True
                raise RedisTimeout("Timed out closing the connection.") from None
        except RedisError:
            pass


async def does_not_end() -> None:
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            if loops.END_SECONDS < 0:  # the test has seen enough
                raise


async def test_a_loop_that_takes_its_end_for_a_failure_is_told_again() -> None:
    loop = asyncio.create_task(loops.forever(listens_like_redis_py))
    await asyncio.sleep(0)
    began = time.monotonic()
    await loops.end([loop])
    assert loop.cancelled()
    assert time.monotonic() - began < loops.END_SECONDS


async def test_a_loop_that_never_ends_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "END_SECONDS", 0.5)
    loop = asyncio.create_task(does_not_end())
    await asyncio.sleep(0)
    began = time.monotonic()
    await loops.end([loop])
    assert not loop.done()
    assert time.monotonic() - began < 5
    monkeypatch.setattr(loops, "END_SECONDS", -1.0)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_an_engine_that_hangs_or_fails_while_it_is_closed_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise RedisTimeout("Timed out closing the connection.")

    monkeypatch.setattr(loops, "END_SECONDS", 0.3)
    hanging = asyncio.create_task(asyncio.sleep(60))
    failing = asyncio.create_task(fails())
    began = time.monotonic()
    await loops.finish([hanging, failing])
    assert time.monotonic() - began < 5
    assert not hanging.done()
    assert "not everything could be closed" in caplog.text
    assert "TimeoutError" in caplog.text
    hanging.cancel()


async def test_nothing_to_end_is_fine() -> None:
    await loops.end([])
