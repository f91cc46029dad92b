"""One connection to a server of the meter: what one turn of the event loop asks for leaves as one write.

The answers come in the order of the questions, as Redis promises. hiredis packs and parses, as it does for
redis-py; a command costs about 6 µs of CPU so, 30 through redis-py's own pipeline, 90 one at a time (ADR 0034).
While two batches are under way the next one gathers, so a busy process batches by itself, and the meter syncs
its log once per batch.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
from redis import exceptions
from redis._parsers import BaseParser
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

Answer = asyncio.Future[Any]
Greet = Callable[
    [str, str], None
]  # called with host:port (or a unix socket's path) and the server's run_id; RedisError refuses the connection
_BATCHES_AT_ONCE = 2
_GRACE_SECONDS = 0.005
_NOT_YET = object()
# Redis says what went wrong by the first word; redis-py makes exceptions of it, and so callers know them.
_read_error = BaseParser.parse_error


def packed(*words: str | bytes | int) -> bytes:
    """Return a command in the meter's form."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return command


class Line:
    """A connection that is made when it is first needed, and anew after it broke. Use it from one event loop."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool  # only knows where: the address, the password, how to speak TLS
        self._wire: _Wire | None = None
        self._opening: asyncio.Task[_Wire] | None = None

    def ask(self, command: bytes) -> Awaitable[Any]:
        """Send a packed command; what this returns gives its answer. RedisError if the meter is away or refuses it."""
        wire = self._wire
        if wire is None or wire.lost is not None:
            return self._open_and_ask(command)
        return wire.ask(command)

    async def _open_and_ask(self, command: bytes) -> Any:
        return await (await self._open()).ask(command)

    def close(self) -> None:
        """Hang up. Whoever still waits for an answer gets a ConnectionError."""
        if self._opening is not None:
            self._opening.cancel()
        if self._wire is not None:
            self._wire.hang_up(exceptions.ConnectionError("The connection to the meter was closed."))

    async def _open(self) -> "_Wire":
        """Connect. All that ask meanwhile wait for the same attempt, and share its failure."""
        if self._opening is None:
            self._opening = asyncio.create_task(_connect(self._pool))
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, attempt: "asyncio.Task[_Wire]") -> None:
        self._opening = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._wire = attempt.result()


class _Wire(asyncio.Protocol):
    """An open connection: batches under way, and what waits to leave."""

    def __init__(self, seconds: float | None) -> None:
        self.lost: RedisError | None = None
        self._seconds = seconds
        self._reader = hiredis.Reader(replyError=_read_error, notEnoughData=_NOT_YET)
        self._loop = asyncio.get_running_loop()
        self._commands: list[bytes] = []
        self._askers: deque[Answer] = deque()
        self._under_way: deque[tuple[float, deque[Answer]]] = deque()  # when it was sent, who waits
        self._watch: asyncio.TimerHandle | None = None
        self._late: tuple[float, deque[Answer]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def ask(self, command: bytes) -> Answer:
        """Send a command at the end of this turn of the loop."""
        if self.lost is not None:
            raise self.lost
        if not self._commands:
            self._loop.call_soon(self._send)
        answer: Answer = self._loop.create_future()
        self._commands.append(command)
        self._askers.append(answer)
        return answer

    def _send(self) -> None:
        if self._commands and len(self._under_way) < _BATCHES_AT_ONCE and self.lost is None:
            self._transport.write(b"".join(self._commands))
            self._under_way.append((time.monotonic(), self._askers))
            self._commands, self._askers = [], deque()
            if self._watch is None and self._seconds is not None:
                self._watch = self._loop.call_later(self._seconds, self._look)

    def data_received(self, data: bytes) -> None:
        """Hand out answers."""
        self._reader.feed(data)
        try:
            while self._under_way and (answer := self._reader.gets()) is not _NOT_YET:
                askers = self._under_way[0][1]
                _resolve(askers.popleft(), answer)
                if not askers:
                    self._under_way.popleft()
        except hiredis.ProtocolError as failure:
            self.hang_up(
                exceptions.ConnectionError(f"The meter answers something else than Redis would: {failure}")
            )
        self._send()

    def _look(self) -> None:
        """Hang up if the oldest batch waits for too long: what comes later could not be told from what is missing."""
        self._watch = None
        if not self._under_way or self._seconds is None:
            return
        sent, _ = oldest = self._under_way[0]
        left = sent + self._seconds - time.monotonic()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        elif (
            oldest is not self._late
        ):  # perhaps it was this process that was late: read first, then look again
            self._late = oldest
            self._watch = self._loop.call_later(_GRACE_SECONDS, self._look)
        else:
            self.hang_up(exceptions.TimeoutError("The meter did not answer in time."))

    def connection_lost(self, failure: Exception | None) -> None:
        """Tell everybody who waits."""
        self.hang_up(
            exceptions.ConnectionError(f"The connection to the meter broke: {failure or 'it was closed'}.")
        )

    def hang_up(self, failure: RedisError) -> None:
        """Close the connection for this reason. Only the first reason counts."""
        if self.lost is not None:
            return
        self.lost = failure
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        for _, askers in [*self._under_way, (0.0, self._askers)]:
            for answer in askers:
                _resolve(answer, failure)
        self._under_way.clear()


async def _connect(pool: ConnectionPool) -> _Wire:
    """Connect and sign in. RedisError if that fails."""
    # Never connected itself: redis-py reads the URL, and says here what it read.
    said: Any = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(said.socket_connect_timeout):
            wire = await _dial(said)
            await _sign_in(wire, said)
    except TimeoutError:
        raise exceptions.TimeoutError("The meter could not be reached in time.") from None
    except OSError as failure:
        raise exceptions.ConnectionError(f"The meter cannot be reached: {failure}") from failure
    return wire


async def _dial(said: Any) -> _Wire:
    loop = asyncio.get_running_loop()
    if path := getattr(said, "path", None):
        _, wire = await loop.create_unix_connection(lambda: _Wire(said.socket_timeout), path)
        return wire
    tls = getattr(said, "ssl_context", None)
    _, wire = await loop.create_connection(
        lambda: _Wire(said.socket_timeout), said.host, said.port, ssl=tls.get() if tls else None
    )
    return wire


async def _sign_in(wire: _Wire, said: Any) -> None:
    commands: list[tuple[str, ...]] = []
    if said.password:
        commands.append(("AUTH", *([said.username] if said.username else []), said.password))
    if said.db:
        commands.append(("SELECT", str(said.db)))
    try:
        for command in commands:
            await wire.ask(packed(*command))
        if said.redis_connect_func is not None:
            (greet,) = said.redis_connect_func.args  # of greet_on_connect
            _greet(greet, said, await wire.ask(packed("INFO", "server")))
    except RedisError as failure:
        wire.hang_up(exceptions.ConnectionError(str(failure)))
        raise


async def greet_on_connect(greet: Greet, connection: Any) -> None:
    """The same for redis-py's own connections, as their `redis_connect_func`."""
    await connection.on_connect()
    await connection.send_command("INFO", "server")
    _greet(greet, connection, await connection.read_response())


def _greet(greet: Greet, connection: Any, info: bytes) -> None:
    place = getattr(connection, "path", None) or f"{connection.host}:{connection.port}"
    greet(place, run_id_of(info))


def run_id_of(info: bytes) -> str:
    """Return which run of which server answered `INFO server`: each start has an id of its own."""
    return info.partition(b"run_id:")[2].partition(b"\r")[0].decode()


def _resolve(waiting: Answer, answer: Any) -> None:
    if waiting.done():  # its call was cancelled meanwhile
        return
    if isinstance(answer, BaseException):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
