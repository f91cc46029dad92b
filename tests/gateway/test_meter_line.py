"""The connection that scripts take: answers find their askers, and a meter that is late or gone is told at once."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import exceptions

from gateway import counters
from gateway.meter import line_of
from gateway.meter_line import Line, packed
from gateway.runner import valkey
from gateway.runner.processes import wait_for
from tests.processes import any_port

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def on_line(story: Callable[[Line], Awaitable[None]], url: str = settings.METER_REDIS_URL) -> None:
    """Run a story on a line to the meter, or to another address."""

    async def run() -> None:
        client = counters.connect(url, timeout=0.2)
        line = Line(client.connection_pool)
        try:
            await story(line)
        finally:
            line.close()
            await client.aclose()

    asyncio.run(run())


def on_server(server: Server, story: Callable[[Line], Awaitable[None]]) -> None:
    """Run a story on a line to a server that is no meter."""

    async def run() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = counters.connect(f"redis://127.0.0.1:{port}/0", timeout=0.2)
        line = Line(client.connection_pool)
        try:
            await story(line)
        finally:
            line.close()
            await client.aclose()
            await asyncio.sleep(0.01)  # the server sees that we hung up
            listening.close()

    asyncio.run(run())


def test_five_hundred_at_once_each_get_their_own_answer() -> None:
    async def story(line: Line) -> None:
        asked = [line.ask(packed("ECHO", f"{number}")) for number in range(500)]
        assert await asyncio.gather(*asked) == [b"%d" % number for number in range(500)]

    on_line(story)


def test_what_a_cancelled_call_had_asked_is_answered_to_nobody_else() -> None:
    async def story(line: Line) -> None:
        await line.ask(packed("PING"))
        left = asyncio.ensure_future(line.ask(packed("ECHO", "left")))
        await asyncio.sleep(0)
        left.cancel()
        assert await line.ask(packed("ECHO", "stayed")) == b"stayed"

    on_line(story)


def test_an_error_is_the_askers_alone() -> None:
    async def story(line: Line) -> None:
        answers = await asyncio.gather(
            line.ask(packed("ECHO", "one")),
            line.ask(packed("NOSUCHCOMMAND")),
            line.ask(packed("ECHO", "two")),
            return_exceptions=True,
        )
        assert answers[0] == b"one"
        assert isinstance(answers[1], exceptions.ResponseError)
        assert answers[2] == b"two"

    on_line(story)


def test_a_connection_that_the_meter_closed_is_made_anew() -> None:
    async def story(line: Line) -> None:
        number = await line.ask(packed("CLIENT", "ID"))
        asked = [line.ask(packed("CLIENT", "KILL", "ID", number, "SKIPME", "no")), line.ask(packed("PING"))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[1], exceptions.ConnectionError)
        assert await line.ask(packed("PING")) in ("PONG", b"PONG")

    on_line(story)


def test_a_meter_that_says_nothing_times_out_for_everybody_who_waits() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def story(line: Line) -> None:
        asked = [line.ask(packed("PING")) for _ in range(40)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {exceptions.TimeoutError}

    on_server(silent, story)


def test_a_server_that_is_no_meter_is_not_listened_to() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async def story(line: Line) -> None:
        with pytest.raises(exceptions.ConnectionError, match="something else"):
            await line.ask(packed("PING"))

    on_server(web, story)


def test_nobody_listening_is_one_clear_error() -> None:
    async def story(line: Line) -> None:
        answers: list[Any] = await asyncio.gather(
            *(line.ask(packed("PING")) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(answer, exceptions.ConnectionError) for answer in answers)

    on_line(story, "redis://127.0.0.1:1/0")


def test_a_wrong_password_is_refused() -> None:
    async def story(line: Line) -> None:
        with pytest.raises(exceptions.RedisError):
            await line.ask(packed("PING"))

    on_line(story, settings.METER_REDIS_URL.replace("redis://", "redis://nobody:wrong@", 1))


def test_a_meter_on_a_unix_socket_serves_scripts_and_looks_and_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "meter.sock"
    met: list[tuple[str, str]] = []
    argv = valkey.prepare("meter", f"redis://:secret@127.0.0.1:{any_port()}/0", tmp_path)
    meter = subprocess.Popen([*argv, "--port", "0", "--unixsocket", str(path)])

    async def run() -> None:
        client = counters.connect(
            f"unix://:secret@{path}?db=0", timeout=2, greet=lambda *said: met.append(said)
        )
        assert await line_of(client).ask(packed("PING")) == b"PONG"
        assert await client.ping()
        await client.aclose()

    try:
        assert wait_for(path.exists, 10)
        asyncio.run(run())
    finally:
        meter.kill()
        meter.wait()
    (line, look) = met
    assert line == look
    assert line[0] == str(path)
