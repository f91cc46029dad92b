"""Steps 3 and 4 of a streamed call: events pass one by one, and the call is settled before the last one leaves.

A piece in which nothing is to be read goes from one connection to the other at once; only the others wake the task.

the upstream ends well     settle with the usage it reported (or the rule), then `[DONE]`
the upstream fails         settle at no charge, then one event with `error` and `finish_reason: "error"`
the client leaves          the upstream's connection is closed; what was passed on until then is charged
the hold is used up        the upstream's connection is closed; the stream ends as one cut by `max_tokens` does: see
                           relay_end.py. Charged is what was passed on, never more than the hold
"""

import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from billing.pricing import Unit
from gateway import errors, relay_end, sse
from gateway.admission import Hold
from gateway.errors import Refusal, Words
from gateway.metering import Usage, estimate, usage_of_document, with_time
from gateway.relay_client import Client
from gateway.settlement import Outcome, Receipt
from gateway.upstream import Reply, StreamBroke

Drain = Callable[[Coroutine[Any, Any, None]], bool]
Settle = Callable[[Hold, Outcome], Awaitable[Receipt]]
_log = structlog.get_logger(__name__)


class UpstreamFailed(Exception):
    """The upstream said in its stream that it failed, or stopped without a word."""


class HoldUsedUp(Exception):
    """The upstream writes more than `max_tokens`, which the hold was taken for."""


class Relay:
    """One streamed call on its way through."""

    def __init__(self, hold: Hold, reply: Reply) -> None:
        self._hold = hold
        self._reply = reply
        self._splitter = sse.Splitter()
        self._usage: dict[Unit, int] | None = None
        self._total: int | None = None  # output tokens so far, from an upstream that says so on every chunk
        self._most_pieces = relay_end.most_pieces(hold.order)
        self._pieces = 0
        self._first_byte: float | None = None
        self._last_event = b""
        self._last_piece = b""
        self._settled = False

    async def run(self, client: Client, *, settle: Settle, drain: Drain) -> None:
        """Pass everything on and settle. CancelledError when the client left, after settling or handing over."""
        self._client = client
        try:
            await client.send(b"")  # the headers leave at once
            await self._finish(settle)
        except BaseException:  # the client left, or this process is stopping
            if not self._settled and not self._is_drained(settle, drain):
                await self._settle_what_there_is(settle)
            raise
        finally:
            client.close()

    async def _finish(self, settle: Settle) -> None:
        """Read to the end, settle, and send the last event."""
        try:
            await self._pass_on()
        except (UpstreamFailed, sse.GarbledStream, *StreamBroke) as failure:
            self._close()
            await self._settle(settle, self._outcome(error="upstream_error", charged=False))
            await self._client.send(self._failure(failure))
        except HoldUsedUp:
            self._close()
            await self._settle(settle, self._outcome(stopped=True))
            await self._client.send(relay_end.cut_short(self._hold, self._last_piece, self._used()))
        else:
            self._close()
            await self._settle(settle, self._outcome())
            await self._client.send(relay_end.why(self._hold, self._used()) + self._last_event)

    def _is_drained(self, settle: Settle, drain: Drain) -> bool:
        return self._hold.caller.entitlements.drains and drain(self._drain(settle))

    async def _drain(self, settle: Settle) -> None:
        """Read on for a client that left, so that what it pays for is what the upstream says, not an estimate."""
        self._client.read_on()
        try:
            await self._finish(settle)
        except BaseException:
            await self._settle_what_there_is(settle)
            raise

    async def _settle_what_there_is(self, settle: Settle) -> None:
        self._close()
        await self._settle(settle, self._outcome(error="client_closed_request"))

    async def _settle(self, settle: Settle, outcome: Outcome) -> None:
        """Settle once: a client may leave while it is sent the last event of a stream that is settled already."""
        if not self._settled:
            self._settled = True
            await settle(self._hold, outcome)

    def _close(self) -> None:
        if self._reply.stream is not None:
            self._reply.stream.close()

    async def _pass_on(self) -> None:
        """Relay all but the last event, which must wait for the settlement."""
        assert self._reply.stream is not None
        self._reply.stream.pass_to(self._pass_at_once)
        async for piece in self._reply.stream.pieces():
            if not self._pass_at_once(piece):
                await self._pass_on_events(piece)
        if self._splitter.rest().strip():
            raise UpstreamFailed("the stream broke off")

    def _pass_at_once(self, piece: bytes) -> bool:
        """Relay whole events in which nothing is to be read. False, and nothing is done, for any other piece."""
        events = self._splitter.plain_events(piece)
        if not events or self._is_used_up(events) or not self._client.send_now(piece):
            return False
        self._note(piece, events)
        return True

    async def _pass_on_events(self, piece: bytes) -> None:
        """Relay what a piece completes, event by event looked at."""
        passed: list[bytes] = []
        for event in self._splitter.feed(piece):
            passes = self._passes(event)
            if self._is_used_up():
                await self._client.send(b"".join(passed))
                raise HoldUsedUp
            if passes:
                passed.append(event)
        if passed:
            await self._client.send(b"".join(passed))

    def _passes(self, event: bytes) -> bool:
        """Take note of an event; tell whether it goes on to the client now."""
        seen = sse.look(event)
        if seen.is_done:
            self._last_event = event
            return False
        if seen.is_comment:
            return True
        self._note(event, 1)
        return seen.document is None or self._read(seen.document)

    def _note(self, piece: bytes, events: int) -> None:
        """Count so many events of the answer."""
        if self._first_byte is None:
            self._first_byte = time.monotonic()
        self._pieces += relay_end.tokens_in(self._hold.order, piece, events)
        self._last_piece = piece

    def _is_used_up(self, more: int = 0) -> bool:
        """Whether the stream, with so many events more, has passed what was set aside.

        By a running total where there is one, else by events.
        """
        if self._total is None:
            return self._pieces + more > self._most_pieces
        return self._total > (self._hold.order.max_output_tokens or math.inf)

    def _read(self, document: dict[str, Any]) -> bool:
        """Note usage or an error. Returns False for the usage chunk that only we had asked for."""
        if document.get("error"):
            raise UpstreamFailed(str(document["error"])[:300])
        found = usage_of_document(document) or _usage_of_details(document)
        if found is not None:
            self._usage = found  # the last one counts: some upstreams send a running total
        if found is not None and relay_end.goes_on(document):
            self._total = found.get(Unit.OUTPUT_TOKEN, 0)
        only_usage = found is not None and document.get("choices") == []
        self._pieces -= only_usage
        return not only_usage or self._hold.order.wants_usage

    def _used(self) -> Usage:
        """What was used so far: as the upstream reported, or else by the rule, one token for each event."""
        order = self._hold.order
        pieces = min(self._pieces, order.max_output_tokens) if order.max_output_tokens else self._pieces
        return estimate(order, pieces) if self._usage is None else Usage(self._usage | {Unit.REQUEST: 1})

    def _outcome(self, error: str = "", charged: bool = True, stopped: bool = False) -> Outcome:
        usage = with_time(self._used(), self._reply)
        first = None if self._first_byte is None else round((self._first_byte - self._hold.started) * 1000)
        return Outcome(200 if charged else 502, usage, self._reply.served, error, charged, first, stopped)

    def _failure(self, failure: Exception) -> bytes:
        _log.warning("stream failed", request_id=self._hold.request_id, error=str(failure))
        refusal = errors.upstream_timeout() if isinstance(failure, TimeoutError) else errors.upstream_error()
        return failure_event(refusal, self._hold.order.endpoint.words, self._hold.request_id)


def failure_event(refusal: Refusal, words: Words, request_id: str) -> bytes:
    """Return the one event that tells a client of a failure after the stream began."""
    if words is Words.HUGGING_FACE:
        return sse.encode({"error": refusal.message, "error_type": "generation", "request_id": request_id})
    choice = {"index": 0, "delta": {}, "finish_reason": "error"}
    chunk = {"id": request_id, "object": "chat.completion.chunk", "choices": [choice]}
    return sse.encode(chunk | {"error": refusal.as_object(request_id)})


def _usage_of_details(document: dict[str, Any]) -> dict[Unit, int] | None:
    """Text Generation Inference's last event: {"details": {"generated_tokens", "input_length"}}."""
    details = document.get("details")
    if not isinstance(details, dict):
        return None
    usage = {
        "prompt_tokens": details.get("input_length"),
        "completion_tokens": details.get("generated_tokens"),
    }
    return usage_of_document({"usage": usage})
