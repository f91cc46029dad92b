"""The web server's own rules, byte by byte: how heads are timed and bounded, and how whole answers leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway import server
from gateway.http import exchange_of
from gateway.server import Protocol

REQUEST = b"POST /echo HTTP/1.1\r\nHost: turnpike\r\nContent-Length: 5\r\n\r\nhello"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what came, by the short way where there is one."""
    exchange = exchange_of(scope)
    assert exchange is not None
    body = exchange.whole_body()
    while body is None:
        message = await receive()
        if not message.get("more_body"):
            body = b"in pieces"
    headers = [(b"x-method", scope["method"].encode()), (b"x-path", scope["path"].encode())]
    if exchange.answer(200, headers, body):
        return
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Answer with two pieces, by the short way where there is one."""
    exchange = exchange_of(scope)
    assert exchange is not None
    if not exchange.begin(200, [(b"x-way", b"short")]):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-way", b"long")]})
    for piece in (b"Hello, ", b"Alice"):
        if not exchange.piece(piece):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def divided(scope: Any, _receive: Any, _send: Any) -> None:
    """Begin a stream with a header that has a line break in it."""
    exchange_of(scope).begin(200, [(b"x-bad", b"1\r\nset-cookie: 2")])  # type: ignore[union-attr]


def talk(words: Talk, app: Any = echo) -> bytes:
    """Run the server, let `words` speak to it, return what they brought back."""

    async def run() -> bytes:
        config = Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        try:
            async with asyncio.timeout(10):
                return await words(reader, writer)
        finally:
            writer.close()
            listening.close()

    return asyncio.run(run())


def says(*pieces: bytes, pause: float = 0.0) -> Talk:
    """Send these pieces with a pause between, then read until the server closes or is silent for a while."""

    async def words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        heard = b""
        try:
            while piece := await asyncio.wait_for(reader.read(65536), 0.3):
                heard += piece
            return heard + b"<closed>"
        except ConnectionError:
            return heard + b"<closed>"
        except TimeoutError:
            return heard + b"<open>"

    return words


def test_a_whole_answer_has_its_length_and_the_connection_goes_on() -> None:
    heard = talk(says(REQUEST))
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 5\r\n\r\nhello<open>" in heard
    assert heard.count(b"x-path: /echo") == 1


def test_alice_sends_three_calls_at_once_and_hears_three_answers_in_order() -> None:
    first, third = REQUEST.replace(b"/echo", b"/one"), REQUEST.replace(b"/echo", b"/three")
    heard = talk(says(first + REQUEST + third))
    assert [heard.find(path) for path in (b"/one", b"/echo", b"/three")] == sorted(
        heard.find(path) for path in (b"/one", b"/echo", b"/three")
    )
    assert heard.count(b"HTTP/1.1 200 OK") == 3


def test_a_body_in_pieces_is_read_as_asgi_has_it() -> None:
    assert b"\r\n\r\nin pieces" in talk(says(REQUEST[:-3], REQUEST[-3:], pause=0.05))


@pytest.mark.parametrize(
    "request_bytes",
    [
        REQUEST.replace(b"Host", b"Connection: close\r\nHost"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_a_client_that_wants_one_answer_is_hung_up_on(request_bytes: bytes) -> None:
    heard = talk(says(request_bytes))
    assert b"connection: close\r\n" in heard
    assert heard.endswith(b"hello<closed>")


def test_a_stream_leaves_in_chunks_and_the_connection_goes_on() -> None:
    heard = talk(says(REQUEST + REQUEST), stream)
    assert heard.count(b"x-way: short\r\ntransfer-encoding: chunked\r\n\r\n") == 2
    assert heard.count(b"\r\n\r\n7\r\nHello, \r\n5\r\nAlice\r\n0\r\n\r\n") == 2
    assert heard.endswith(b"<open>")


def test_a_client_that_wants_one_stream_is_hung_up_on() -> None:
    heard = talk(says(REQUEST.replace(b"Host", b"Connection: close\r\nHost")), stream)
    assert b"x-way: long\r\n" in heard
    assert heard.endswith(b"7\r\nHello, \r\n5\r\nAlice\r\n0\r\n\r\n<closed>")


def test_a_stream_does_not_begin_with_a_header_that_has_a_line_break() -> None:
    heard = talk(says(REQUEST), divided)
    assert heard.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in heard


class Endless:
    """A stream that ends when its client has left, and remembers whose did."""

    def __init__(self) -> None:
        self.left: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange, ends = exchange_of(scope), asyncio.Event()
        assert exchange is not None

        def leave() -> None:
            self.left.append(scope["path"])
            ends.set()

        exchange.when_gone(leave)
        exchange.begin(200, [])
        exchange.piece(b"Hello")
        await ends.wait()
        assert not exchange.piece(b"nobody hears")


@pytest.mark.parametrize("sent", [REQUEST, REQUEST + REQUEST.replace(b"/echo", b"/waits-behind")])
def test_a_stream_is_told_once_that_its_client_has_left(sent: bytes) -> None:
    endless = Endless()

    async def leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        heard = await reader.readuntil(b"Hello")
        writer.transport.abort()
        await asyncio.sleep(0.1)
        return heard

    talk(leaves, endless)
    assert endless.left == ["/echo"]


def test_nobody_is_told_of_a_client_that_leaves_with_its_answer() -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = exchange_of(scope)
        assert exchange is not None
        exchange.when_gone(lambda: left.append(scope["path"]))
        assert exchange.answer(200, [], b"done")

    assert talk(says(REQUEST), app).endswith(b"done<open>")
    assert left == []


def test_forty_calls_at_once_are_all_answered_in_order() -> None:
    calls = [REQUEST.replace(b"/echo", b"/%d" % number) for number in range(40)]
    heard = talk(says(b"".join(calls)))
    places = [heard.find(b"x-path: /%d\r\n" % number) for number in range(40)]
    assert -1 not in places
    assert places == sorted(places)


def test_head_has_no_body() -> None:
    heard = talk(says(b"HEAD /echo HTTP/1.1\r\nHost: turnpike\r\n\r\n"))
    assert heard.endswith(b"\r\n\r\n<open>")


def test_the_path_is_decoded_once() -> None:
    assert b"x-path: /a b%20" in talk(says(REQUEST.replace(b"/echo", b"/a%20b%2520?q=1")))


def test_a_request_as_to_a_proxy_has_its_path() -> None:
    assert b"x-path: /echo\r\n" in talk(says(REQUEST.replace(b"/echo", b"http://turnpike/echo?q=1#f")))


def test_a_head_that_trickles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    trickle = [b"POST /echo HTTP/1.1\r\n", *[b"x-%d: y\r\n" % number for number in range(8)]]
    assert talk(says(*trickle, pause=0.05)) == b"<closed>"


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(server, "KEEP_SECONDS", 0.1)
    assert talk(says()) == b"<closed>"
    assert talk(says(REQUEST)).endswith(b"hello<closed>")


def test_mallorys_endless_head_is_431() -> None:
    endless = [b"x-%d: %s\r\n" % (number, b"y" * 8000) for number in range(9)]
    heard = talk(says(b"POST /echo HTTP/1.1\r\n", *endless, pause=0.01))
    assert heard.startswith(b"HTTP/1.1 431 ")
    assert heard.endswith(b"<closed>")


@pytest.mark.parametrize(
    "smuggled",
    [
        REQUEST.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
        REQUEST.replace(b"Content-Length", b"Content-Length: 5\r\nContent-Length"),
        REQUEST.replace(b"Host:", b"Host :"),
        REQUEST.replace(b"\r\nContent", b"\nContent"),
    ],
)
def test_what_two_servers_could_read_differently_is_400(smuggled: bytes) -> None:
    assert talk(says(smuggled)).startswith(b"HTTP/1.1 400 ")


def test_a_header_with_a_line_break_never_leaves() -> None:
    async def careless(scope: Any, receive: Any, send: Any) -> None:
        exchange = exchange_of(scope)
        assert exchange is not None
        exchange.answer(200, [(b"x-name", b"a\r\nset-cookie: b")], b"")

    heard = talk(says(REQUEST), careless)
    assert b"set-cookie" not in heard
    assert heard.startswith(b"HTTP/1.1 500 ")
