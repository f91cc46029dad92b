"""Calls at a fixed pace, each sent when it is due whether or not the one before is back: added latency."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.bench.load import CALL, Target
from tests.bench.streaming import request_bytes

CALLS_PER_SECOND = 100
_CONNECTIONS = 16


@dataclass(frozen=True)
class Latency:
    """Milliseconds from sending to the whole answer, over all calls that were answered 200."""

    ok: int
    p50_ms: float
    p99_ms: float


def latency(target: Target, seconds: float) -> Latency:
    """Send CALLS_PER_SECOND for `seconds`."""
    took = sorted(asyncio.run(_calls(target, round(CALLS_PER_SECOND * seconds))))
    if not took:
        return Latency(0, 0.0, 0.0)
    return Latency(len(took), took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000)


async def _calls(target: Target, count: int) -> list[float]:
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    place, request = urlsplit(target.url), request_bytes(target, CALL)
    for _ in range(_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(place.hostname, place.port))
    took: list[float] = []

    async def one() -> None:
        reader, writer = await free.get()
        began = time.perf_counter()
        writer.write(request)
        if await _answered(reader):
            took.append(time.perf_counter() - began)
        free.put_nowait((reader, writer))

    begin, sent = time.perf_counter(), []
    for number in range(count):
        await asyncio.sleep(max(begin + number / CALLS_PER_SECOND - time.perf_counter(), 0))
        sent.append(asyncio.create_task(one()))
    await asyncio.wait(sent, timeout=30)
    while not free.empty():
        free.get_nowait()[1].close()
    return took


async def _answered(reader: asyncio.StreamReader) -> bool:
    """Read one answer; tell whether it was 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r")[0]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return head.startswith(b"http/1.1 200")
