"""PostgreSQL accepts connections and says nothing: nobody waits for it longer than a few seconds."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from accounts.keys import new_secret
from gateway import threads
from gateway.health import _ledger, _state
from tests.live import FakeUpstream, Process, Web, any_port, chat_body, eventually, start_web

# Forwards to the real server until the file `stalled` appears; then it takes connections and says nothing.
STALLING = """
import asyncio, pathlib, sys
port, socket, flag = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])

async def copy(reader, writer):
    while data := await reader.read(65536):
        while flag.exists():
            await asyncio.sleep(0.05)
        writer.write(data)
        await writer.drain()

async def serve(reader, writer):
    while flag.exists():
        await asyncio.sleep(0.05)
    r, w = await asyncio.open_unix_connection(socket)
    await asyncio.gather(copy(reader, w), copy(r, writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def flag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "stalled"


@pytest.fixture(scope="module")
def stalling_web(live_database: dict[str, str], upstream: FakeUpstream, flag: Path) -> Iterator[Web]:
    """A gateway whose ledger can be made to stall."""
    parts = psycopg.conninfo.conninfo_to_dict(live_database["DATABASE_URL"])
    port = any_port()
    socket = f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}"
    proxy = Process([sys.executable, "-c", STALLING, str(port), socket, str(flag)], live_database)
    user = f"{parts.get('user', 'postgres')}:{parts.get('password') or ''}"
    url = f"postgresql://{user}@127.0.0.1:{port}/{parts['dbname']}"
    yield from start_web(live_database | {"DATABASE_URL": url, "MODEL_URL": upstream.url})
    proxy.kill()


def test_a_call_with_an_unknown_key_gets_503_and_readiness_says_so(stalling_web: Web, flag: Path) -> None:
    assert stalling_web.post("/v1/chat/completions", new_secret(), chat_body()).status_code == 401
    flag.touch()
    try:
        began = time.monotonic()
        answer = stalling_web.post("/v1/chat/completions", new_secret(), chat_body())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "limiter_unavailable")
        assert time.monotonic() - began < threads.LEDGER_SECONDS + 3
        ready = httpx2.get(stalling_web.url + "/health/ready", timeout=10)
        assert ready.status_code == 503
        assert ready.json()["ledger"].startswith("away")
        assert httpx2.get(stalling_web.url + "/health/live", timeout=2).status_code == 200
    finally:
        flag.unlink()

    def works_again() -> bool:
        return stalling_web.post("/v1/chat/completions", new_secret(), chat_body()).status_code == 401

    eventually(works_again, "calls pass again", 20)


def test_a_ledger_that_answers_is_ok() -> None:
    assert _state(lambda: "ok") == "ok"
    assert _state(_ledger) == "ok"
