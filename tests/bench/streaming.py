"""Many streams at once: an upstream that sends events at a steady pace, and clients that time their first one.

Both are plain asyncio on the load's core, the same for every gateway.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from gateway.runner.processes import Program
from tests.bench.load import CALL, MODEL, Target
from tests.bench.processes import answers, bare_environment, cpu_seconds, free_port, serving

STREAMS = 100
CHUNKS = 50
GAP_SECONDS = 0.02
_LONGEST_SECONDS = 90.0


@dataclass(frozen=True)
class Streams:
    """What became of one batch of streams. Times in milliseconds."""

    whole: int  # streams that came to their [DONE] with every chunk
    first_ms: float  # the median time to the first event
    cpu_ms: float  # CPU of the gateway for each stream


def batch(target: Target, streams: int = STREAMS) -> Streams:
    """Open `streams` at once, read them to the end."""
    before = cpu_seconds(target.pid)
    firsts, whole = asyncio.run(_batch(target, streams))
    spent = cpu_seconds(target.pid) - before
    return Streams(whole, median(firsts) * 1000 if firsts else 0.0, spent / streams * 1000)


async def _batch(target: Target, streams: int) -> tuple[list[float], int]:
    found = await asyncio.gather(*(_one(target) for _ in range(streams)), return_exceptions=True)
    sound = [one for one in found if isinstance(one, tuple)]
    return [first for first, _ in sound], sum(chunks >= CHUNKS for _, chunks in sound)


async def _one(target: Target) -> tuple[float, int]:
    """Return (seconds to the first event, events of the answer)."""
    place = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            began = time.perf_counter()
            writer.write(request_bytes(target, CALL | {"stream": True, "max_tokens": CHUNKS}))
            first, text = 0.0, b""
            while b"[DONE]" not in text:
                piece = await reader.read(65536)
                if not piece or not (text or piece).startswith(b"HTTP/1.1 200"):
                    break
                text += piece
                if not first and b"data: " in text:
                    first = time.perf_counter() - began
            return first, text.count(b'"chat.completion.chunk"')
    finally:
        writer.close()


def request_bytes(target: Target, call: dict[str, Any]) -> bytes:
    """Return a call as a client would send it."""
    body = json.dumps(call).encode()
    headers = {
        "Host": urlsplit(target.url).netloc,
        "Authorization": f"Bearer {target.key}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    } | dict(target.headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body


@contextmanager
def stream_upstream(folder: Path, *, core: int) -> Iterator[Target]:
    """Run the upstream on `core`."""
    port = free_port()
    program = Program("streams", [sys.executable, "-m", "tests.bench.streaming", "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    with serving(program, core=core, ready=answers(url), folder=folder, env=bare_environment()) as pid:
        yield Target("direct", url, "none", pid)


def _chunk(delta: dict[str, str], **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(chunk | more).encode() + b"\n\n"


_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_ALIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every POST with the same stream, every GET with "ok"."""
    piece, last = _framed(_chunk({"content": "word "})), _chunk({}, choices=[], usage=_USAGE)
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"GET"):
                writer.write(_ALIVE)
                continue
            length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
            await (reader.readexactly(int(length)) if length else reader.readuntil(b"0\r\n\r\n"))
            writer.write(_HEAD)
            for _ in range(CHUNKS):
                writer.write(piece)
                await asyncio.sleep(GAP_SECONDS)
            writer.write(_framed(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streaming", description="The upstream.")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_main(parser.parse_args().port))
