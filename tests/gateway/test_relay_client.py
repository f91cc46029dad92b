"""The client of a stream: comments while there is nothing to send, and one that takes nothing is let go."""

import asyncio

import pytest

from gateway import relay_client
from gateway.relay_client import Client

COMMENT = b": keep-alive\n\n"


class Line:
    """What Alice is sent; while it is blocked nothing leaves."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, data: bytes) -> None:
        await self.open.wait()
        self.sent.append(data)

    def at_once(self, data: bytes) -> bool:
        if self.open.is_set():
            self.sent.append(data)
        return self.open.is_set()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(relay_client, "WRITE_SECONDS", 0.1)


async def test_silence_is_filled_with_comments_and_events_are_no_silence() -> None:
    line = Line()
    client = Client(line.write, line.at_once)
    for _ in range(10):
        assert client.send_now(b"event")
        await asyncio.sleep(0.02)
    assert COMMENT not in line.sent
    await asyncio.sleep(0.25)
    assert 3 <= line.sent.count(COMMENT) <= 5
    client.close()
    sent = len(line.sent)
    await asyncio.sleep(0.1)
    assert len(line.sent) == sent


async def test_where_nothing_can_be_sent_at_once_everything_is_waited_for() -> None:
    line = Line()
    client = Client(line.write)
    assert not client.send_now(b"event")
    await client.send(b"event")
    client.close()
    assert line.sent == [b"event"]


async def stream_to(line: Line) -> Client:
    """Send one event to a line that is blocked; returns when the client is taken for gone."""
    client = Client(line.write, line.at_once)
    try:
        assert not client.send_now(b"event")
        await client.send(b"event")
    except asyncio.CancelledError:
        pass
    finally:
        client.close()
    return client


async def test_mallory_who_takes_nothing_is_let_go() -> None:
    line = Line()
    line.open.clear()
    client = await asyncio.wait_for(asyncio.create_task(stream_to(line)), 2)
    assert client.has_left
    assert line.sent == []


async def test_bob_who_is_slow_gets_it_all() -> None:
    line = Line()
    line.open.clear()
    streaming = asyncio.create_task(stream_to(line))
    await asyncio.sleep(0.06)
    line.open.set()
    client = await asyncio.wait_for(streaming, 2)
    assert not client.has_left
    assert line.sent == [b"event"]


async def test_mallory_who_does_not_even_take_a_comment_is_let_go() -> None:
    line = Line()

    async def wait_for_events() -> Client:
        client = Client(line.write, line.at_once)
        try:
            await asyncio.sleep(2)
        except asyncio.CancelledError:
            pass
        finally:
            client.close()
        return client

    line.open.clear()
    client = await asyncio.create_task(wait_for_events())
    assert client.has_left


async def test_a_stream_that_is_read_on_writes_to_nobody() -> None:
    line = Line()
    client = Client(line.write, line.at_once)
    client.read_on()
    assert client.send_now(b"event")
    await client.send(b"event")
    await asyncio.sleep(0.1)
    assert line.sent == []
