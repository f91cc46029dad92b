"""The upstream client against servers that behave, misbehave, or leave: nothing of one call reaches another."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from django.test import override_settings

from gateway.addresses import public_socket
from gateway.http_client import Client
from gateway.http_connection import MOST_HEADER_BYTES, Broken, Response, TooLarge

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next of `answers`, byte for byte; an empty one hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.left = asyncio.Event()
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Content-Length: " in head:
                    head += await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r")[0]))
                self.requests.append(head)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        self.left.set()
        writer.close()


@contextlib.asynccontextmanager
async def running(*answers: bytes) -> AsyncIterator[Server]:
    server = Server(*answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    await asyncio.sleep(0.01)
    listening.close()


Ask = Callable[..., Awaitable[Response]]


@contextlib.asynccontextmanager
async def asking(server: Server, **options: object) -> AsyncIterator[Ask]:
    client = Client(**options)  # type: ignore[arg-type]

    async def ask(
        silence: float = 5.0, seconds: float = 5.0, body: bytes = b"{}", **headers: str
    ) -> Response:
        url = f"http://127.0.0.1:{server.port}/v1/chat?x"
        return await client.send(
            "POST", url, headers, body, silence=silence, deadline=time.monotonic() + seconds
        )

    yield ask
    client.close()
    await asyncio.sleep(0)


async def test_ten_calls_in_turn_take_one_connection() -> None:
    async with running(OK) as server, asking(server) as ask:
        for _ in range(10):
            response = await ask(Authorization="Bearer x")
            assert (response.status, await response.read(100)) == (200, b"ok")
        assert server.connections == 1
        assert server.requests[0].startswith(b"POST /v1/chat?x HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAuthorization: Bearer x\r\n" in server.requests[0]
        assert server.requests[0].endswith(b"\r\nContent-Length: 2\r\n\r\n{}")


async def test_ten_calls_at_once_take_ten_connections_and_keep_their_answers_apart() -> None:
    async with running(OK) as server, asking(server) as ask:
        responses = await asyncio.gather(*(ask() for _ in range(10)))
        assert [await response.read(100) for response in responses] == [b"ok"] * 10
        assert server.connections == 10


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_an_answer_in_another_form_is_read_whole(answer: bytes, body: bytes) -> None:
    async with running(answer) as server, asking(server) as ask:
        for _ in range(2):
            assert await (await ask()).read(100) == body
        assert server.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with running(b"HTTP/1.0 200 OK\r\n\r\nall of it", b"") as server, asking(server) as ask:
        response = await ask()
        waiting = asyncio.ensure_future(response.read(100))
        await asyncio.sleep(0.01)
        response._connection._transport.close()
        assert await waiting == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers",  # an answer that nobody asked for
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    async with running(answer) as server, asking(server) as ask:
        for _ in range(3):
            assert await (await ask()).read(100) == b"ok"
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MOST_HEADER_BYTES + 1),
    ],
    ids=["nothing", "no HTTP", "no length", "endless headers"],
)
async def test_an_answer_that_is_none_is_a_broken_connection(answer: bytes) -> None:
    async with running(answer) as server, asking(server) as ask:
        with pytest.raises(Broken):
            await ask()


async def test_a_body_that_breaks_off_is_a_broken_connection_and_no_short_answer() -> None:
    async with running(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok") as server, asking(server) as ask:
        response = await ask()
        response._connection._transport.close()
        with pytest.raises(Broken):
            await response.read(100)


async def test_nobody_listening_is_told_apart_from_a_broken_connection() -> None:
    server = Server(OK)
    server.port = 1
    async with asking(server) as ask:
        with pytest.raises(Broken) as failure:
            await ask()
        assert not failure.value.reached


async def test_an_upstream_that_is_silent_times_out() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    async with running(half) as server, asking(server) as ask:
        response = await ask(silence=0.05)
        with pytest.raises(TimeoutError):
            await response.read(100)
        with pytest.raises(TimeoutError):
            await (await ask(seconds=0.05)).read(100)
        assert server.connections == 2


async def test_a_cancelled_call_takes_its_connection_with_it() -> None:
    async with (
        running(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", OK) as server,
        asking(server) as ask,
    ):
        response = await ask()
        reading = asyncio.ensure_future(response.read(100))
        await asyncio.sleep(0)
        reading.cancel()
        response.close()
        await server.left.wait()
        assert await (await ask()).read(100) == b"ok"
        assert server.connections == 2


async def test_more_than_the_reader_takes_is_refused_whether_or_not_it_was_announced() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with running(OK, chunked) as server, asking(server) as ask:
        for _ in range(2):
            response = await ask()
            with pytest.raises(TooLarge):
                await response.read(1)
            response.close()


async def test_a_slow_reader_holds_the_upstream_back_and_gets_everything() -> None:
    size = 8_000_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with running(answer) as server, asking(server) as ask:
        response = await ask(silence=0.2)
        await asyncio.sleep(0.5)  # longer than the silence: it is ours, not the upstream's
        assert sum(len(piece) for piece in response._pieces) < size / 2
        read = 0
        async for piece in response.pieces():
            read += len(piece)
        assert read == size
        assert await (await ask()).read(size) == b"x" * size
        assert server.connections == 1


PIECES = [b"%d," % number for number in range(300)]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with `PIECES`, some alone, some together."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(CHUNKED)
    for number, piece in enumerate(PIECES):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if number % 3:
            await asyncio.sleep(0.02 if number % 50 == 1 else 0.0005)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("takes", [lambda _: True, lambda _: False, lambda piece: b"7" not in piece])
async def test_what_the_sink_takes_and_what_the_reader_gets_is_everything_in_its_order(
    takes: Callable[[bytes], bool],
) -> None:
    got: list[bytes] = []
    woken = 0

    def sink(piece: bytes) -> bool:
        if takes(piece):
            got.append(piece)
        return takes(piece)

    listening = await asyncio.start_server(trickle, "127.0.0.1", 0)
    client, port = Client(), listening.sockets[0].getsockname()[1]
    response = await client.send(
        "POST", f"http://127.0.0.1:{port}/", {}, b"{}", silence=5, deadline=time.monotonic() + 5
    )
    response.pass_to(sink)
    async for piece in response.pieces():
        woken += 1
        await asyncio.sleep(0.002)  # what comes meanwhile must not overtake
        got.append(piece)
    assert b"".join(got) == b"".join(PIECES)
    assert woken < len(got) or not takes(b"")
    client.close()
    await asyncio.sleep(0.01)
    listening.close()


async def test_a_sink_does_not_count_against_what_may_wait() -> None:
    size = 3_000_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    taken: list[int] = []

    def take(piece: bytes) -> bool:
        taken.append(len(piece))
        return True

    async with running(answer) as server, asking(server) as ask:
        response = await ask()
        response.pass_to(take)
        assert sum([len(piece) async for piece in response.pieces()]) + sum(taken) == size
        assert sum(taken) > size / 2


async def test_a_large_body_leaves_whole() -> None:
    async with running(OK) as server, asking(server) as ask:
        assert await (await ask(body=b"x" * 5_000_000)).read(100) == b"ok"
        assert server.requests[0].endswith(b"x" * 5_000_000)


async def test_a_header_cannot_smuggle_another() -> None:
    async with running(OK) as server, asking(server) as ask:
        with pytest.raises(Broken, match="line break"):
            await ask(**{"Content-Type": "a\r\nX-Evil: 1"})
        assert server.requests == []


@override_settings(ALLOW_PRIVATE_UPSTREAMS=False)
async def test_a_private_address_is_not_reached_where_only_public_ones_may_be() -> None:
    async with running(OK) as server, asking(server, socket_factory=public_socket) as ask:
        with pytest.raises(Broken):
            await ask()
        assert server.connections == 0
