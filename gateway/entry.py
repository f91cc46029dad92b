"""The lean entry: calls go straight to `views.py`, quotes to `quote_answers.py`, everything else to Django.

Stands before Django with what Django's own handler lacks: a lifespan, a cap on bodies while they are read,
a deadline for them, a cap on calls in flight.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from gateway import errors, headers
from gateway.admission import new_request_id
from gateway.errors import Refusal, Words
from gateway.guard import guarded
from gateway.http import Answer, Call, ClientGone, Exchange, Message, Receive, Scope, Send
from gateway.quote_answers import answer_about_quotes, is_about_quotes
from gateway.relay_client import Client
from gateway.services import Services
from gateway.views import answer_call

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Work = Callable[[Call, Services], Awaitable[Answer]]
MOST_IN_FLIGHT = 2_000
_log = structlog.get_logger(__name__)


class Entry:
    """The ASGI application."""

    def __init__(self, django: App) -> None:
        self._django = django
        self._services: Services | None = None
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"Turnpike speaks HTTP, not {scope['type']}.")
        elif self._is_call(scope):
            await self._call(scope, receive, send, answer_call)
        elif is_about_quotes(scope["path"]):
            await self._call(scope, receive, send, answer_about_quotes)
        elif scope["path"] == "/health/live":
            await send_answer(send, Answer(200, [(b"content-type", b"text/plain")], b"alive\n"), None)
        else:
            await guarded(self._django, scope, receive, send)

    def _is_call(self, scope: Scope) -> bool:
        """Tell whether a request is a call: all under the bases of both dialects and of the providers."""
        path: str = scope["path"]
        base = path[1 : path.find("/", 1)]
        if base == "v1":
            return not path.startswith("/v1/models")
        return base == "hf-inference" or (
            self._services is not None and base in self._services.catalog.providers
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            self._services = await Services.start()
            await send({"type": "lifespan.startup.complete"})
        if self._services is not None:
            await self._services.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _call(self, scope: Scope, receive: Receive, send: Send, work: Work) -> None:
        call = Call(scope, receive, new_request_id())
        self._in_flight += 1
        try:
            answer = await self._answer(call, work)
            await deliver(answer, call, send)
        except ClientGone:
            return
        except Refusal as refusal:
            await call.discard_body()
            if self._services is not None:
                await self._services.look_for(call, refusal)
            words = Words.HUGGING_FACE if call.path.startswith("/hf-inference") else Words.OPENAI
            await send_answer(send, refused(refusal, call, words), call.exchange)
        finally:
            self._in_flight -= 1

    async def _answer(self, call: Call, work: Work) -> Answer:
        if call.method != "POST" and work is answer_call:
            raise errors.method_not_allowed(call.method)
        if self._in_flight > MOST_IN_FLIGHT:
            raise errors.overloaded()
        if self._services is None:
            self._services = await Services.start()
        try:
            return await work(call, self._services)
        except (Refusal, ClientGone):
            raise
        except Exception:
            _log.exception("call failed", request_id=call.id, path=call.path)
            raise errors.internal_error() from None


def refused(refusal: Refusal, call: Call, words: Words) -> Answer:
    """Put a refusal into the words of the dialect. Always with a length: some clients drop the text without."""
    limits = headers.of_refusal(refusal, call.caller, refusal.meter or call.meter)
    sent = [(b"content-type", b"application/json"), *limits]
    if refusal.status == 401:
        sent.append((b"www-authenticate", b"Bearer"))
    return Answer(refusal.status, sent + headers.of_call(call.id), refusal.body(words, call.id))


async def deliver(answer: Answer, call: Call, send: Send) -> None:
    """Send an answer. A stream is cancelled, and so settled, as soon as the client has left."""
    answer.headers += headers.of_call(call.id)
    if answer.stream is None:
        await send_answer(send, answer, call.exchange)
        return
    client = _client(answer, call.exchange, send)
    try:
        with _watching(call, client.left):
            await answer.stream(client)
    except asyncio.CancelledError:
        if not client.has_left:  # this process is stopping
            raise
    except Exception as failure:
        _log.warning("stream not delivered", request_id=call.id, error=repr(failure))
    else:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def _watching(call: Call, left: Callable[[], None]) -> Iterator[None]:
    """Call `left` should the client leave meanwhile."""
    watch = None
    if call.exchange is not None:
        call.exchange.when_gone(left)
    else:  # another server than ours
        watch = asyncio.create_task(_until_gone(call.receive, left))
    try:
        yield
    finally:
        if call.exchange is not None:
            call.exchange.when_gone(None)
        if watch is not None:
            watch.cancel()


async def _until_gone(receive: Receive, left: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    left()


def _client(answer: Answer, exchange: Exchange | None, send: Send) -> Client:
    """Return what a stream is sent to; its first write sends the headers."""
    begun = False

    async def write(data: bytes) -> None:
        nonlocal begun
        if not begun:
            begun = True
            if exchange is None or not exchange.begin(answer.status, answer.headers):
                await send(
                    {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
                )
        if data and not (exchange is not None and exchange.piece(data)):
            await send({"type": "http.response.body", "body": data, "more_body": True})

    return Client(write) if exchange is None else Client(write, exchange.piece)


async def send_answer(send: Send, answer: Answer, exchange: Exchange | None) -> None:
    """Send a whole answer, with its length."""
    if exchange is not None and exchange.answer(answer.status, answer.headers, answer.body):
        return
    length = (b"content-length", str(len(answer.body)).encode())
    start: Message = {"type": "http.response.start", "status": answer.status}
    await send(start | {"headers": [*answer.headers, length]})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
