"""Step 3, forward: the only code that speaks HTTP to upstreams, through one pooled client.

Bytes pass untouched. Headers go by allow-list both ways, so nothing of the customer's (key, cookies) reaches
an upstream and nothing of the operator's (token, cookies, server) reaches a customer. Each token is bound to
its upstream's own address; redirects are off, so it cannot be carried elsewhere.

Before the first byte a call may go on to the next way, where the fault was the upstream's own.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from gateway import dialects, errors, provider_tasks
from gateway.addresses import public_socket
from gateway.catalog import Server
from gateway.errors import Refusal
from gateway.http_client import Client
from gateway.http_connection import Broken, Response, TooLarge
from gateway.order_body import body_for
from gateway.orders import Order
from gateway.routing import MOST_ATTEMPTS, Breakers, Candidate, RetryBudget

TOTAL_SECONDS = 600.0
PROBE_SECONDS = 5.0
MOST_ANSWER_BYTES = 64 * 1024 * 1024

_PASSED_BACK = [
    (name, name.encode())
    for name in ("content-type", "x-compute-type", "x-compute-time", "x-compute-characters", "inference-id")
]
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reply:
    """What an upstream answered: headers, and either the whole body or a stream still open."""

    status: int
    headers: Mapping[str, str]
    served: Candidate
    attempts: int = 1
    body: bytes = b""
    stream: Response | None = None
    sent_at: float = field(default_factory=time.monotonic)

    def passed_back(self) -> list[tuple[bytes, bytes]]:
        """The upstream's headers that the customer may see."""
        return [
            (name, self.headers[of_upstream].encode("latin-1", "replace"))
            for of_upstream, name in _PASSED_BACK
            if of_upstream in self.headers
        ]


class Failed(Exception):
    """An attempt that failed. `elsewhere` where another upstream might do better."""

    def __init__(self, refusal: Refusal, *, elsewhere: bool) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.elsewhere = elsewhere
        self.candidate: Candidate | None = None


class Upstreams:
    """The pooled client, and what this process knows of how the upstreams behave."""

    def __init__(self) -> None:
        self._ours = Client()
        # Customers' own upstreams: apart, and each connection is looked at before it is made.
        self._theirs = Client(socket_factory=public_socket)
        self._files = provider_tasks.Fetcher()
        self._breakers = Breakers()
        self._budget = RetryBudget()

    async def close(self) -> None:
        """Close every connection."""
        self._ours.close()
        self._theirs.close()
        await self._files.close()

    async def probe(self, server: Server) -> tuple[int, int]:
        """Ask an upstream whether it is there; return (status, milliseconds). Refusal if nothing answers."""
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {server.secret}"} if server.secret else {}
        url = server.base_url + dialects.health_path(server.dialect)
        try:
            response = await self._to(server).send(
                "GET", url, headers, b"", silence=PROBE_SECONDS, deadline=began + PROBE_SECONDS
            )
            response.close()
            return response.status, round((time.monotonic() - began) * 1000)
        except TimeoutError:
            raise errors.upstream_timeout() from None
        except Broken as failure:
            raise errors.upstream_error(_plain(failure)) from None

    def _to(self, server: Server) -> Client:
        return self._ours if server.account_id is None else self._theirs

    async def forward(self, order: Order, request_id: str) -> Reply:
        """Send the call on, to the next way where one fails. Failed, with its candidate, if none answers."""
        self._budget.note_call()
        ways = self._breakers.awake(order.candidates)[:MOST_ATTEMPTS]
        deadline = time.monotonic() + TOTAL_SECONDS
        for number, candidate in enumerate(ways, start=1):
            self._breakers.begin(candidate.way)
            try:
                reply = await self._try(order, candidate, request_id, deadline - time.monotonic())
            except Failed as failed:
                self._breakers.note(candidate.way, failed=failed.refusal.status >= 500)
                _log.info(
                    "attempt failed", request_id=request_id, way=candidate.way.name, code=failed.refusal.code
                )
                another = number < len(ways) and failed.elsewhere and time.monotonic() < deadline
                if another and self._budget.take():
                    continue
                failed.candidate = candidate
                raise
            self._breakers.note(candidate.way, failed=False)
            reply.attempts = number
            return reply
        raise errors.upstream_error()  # there is always at least one way

    async def _try(self, order: Order, candidate: Candidate, request_id: str, seconds: float) -> Reply:
        """Send the call one way, with so many seconds left."""
        total, sent_at = min(candidate.way.server.total_seconds, seconds), time.monotonic()
        by_job = candidate.is_job and not order.endpoint.raw_path
        try:
            if by_job:
                async with asyncio.timeout(total):
                    reply = await self._run_job(order, candidate, request_id, total)
            else:  # the connection keeps the time: a timeout here would cost every call a timer more
                reply = await self._post(order, candidate, request_id, sent_at + total)
            reply.sent_at = sent_at
            return reply
        except TimeoutError as failure:  # a job may have been taken on, and would be paid for twice
            raise Failed(errors.upstream_timeout(), elsewhere=not by_job) from failure
        except Broken as failure:
            raise Failed(errors.upstream_error(_plain(failure)), elsewhere=True) from failure

    async def _post(self, order: Order, candidate: Candidate, request_id: str, deadline: float) -> Reply:
        server = candidate.way.server
        headers = _headers(server, request_id)
        if order.content_type:
            headers["Content-Type"] = order.content_type
        response = await self._to(server).send(
            "POST",
            _url(order, candidate),
            headers,
            body_for(order, candidate),
            silence=server.silence_seconds,
            deadline=deadline,
        )
        json_due = (
            order.endpoint.openai_form and order.task != dialects.SPEECH and not order.endpoint.multipart
        )
        return await _read(response, candidate, json_due=json_due)

    async def _run_job(self, order: Order, candidate: Candidate, request_id: str, total: float) -> Reply:
        """A task in a provider's own form: see provider_tasks. Once it was taken on, no other way is tried."""
        way = candidate.way

        async def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
            response = await self._to(way.server).send(
                method,
                f"{way.server.base_url}/{way.provider}{path}",
                {**headers, **_headers(way.server, request_id)},
                body,
                silence=way.server.silence_seconds,
                deadline=time.monotonic() + total,
            )
            reply = await _read(response, candidate, json_due=False)
            if reply.stream is not None:
                reply.stream.close()
            return reply.body

        provider_id = way.provider_id or order.listed.model_id
        job = provider_tasks.Job(way.provider, order.task, order.listed.model_id, provider_id)
        try:
            result = await job.run(order.body, order.content_type, send, self._files)
        except Refusal as refusal:
            raise Failed(refusal, elsewhere=False) from refusal
        except provider_tasks.JobFailed as failed:
            raise Failed(failed.refusal, elsewhere=failed.elsewhere) from failed
        except Failed as failed:
            failed.elsewhere = failed.elsewhere and not job.taken
            raise
        return Reply(200, result.headers, candidate, body=result.body)


def _headers(server: Server, request_id: str) -> dict[str, str]:
    headers = {"X-Request-Id": request_id}
    if server.secret:
        headers["Authorization"] = f"Bearer {server.secret}"
    if server.bill_to:
        headers["X-HF-Bill-To"] = server.bill_to
    return headers


def _url(order: Order, candidate: Candidate) -> str:
    server = candidate.way.server
    if order.endpoint.raw_path:
        return f"{server.base_url}/{order.endpoint.provider}{order.endpoint.raw_path}"
    return candidate.url


async def _read(response: Response, candidate: Candidate, *, json_due: bool) -> Reply:
    """Read a whole answer, or leave a stream open. Failed for anything but 2xx and what is no answer."""
    reply = Reply(response.status, response.headers, candidate)
    if response.status < 300 and response.headers.get("content-type", "").startswith("text/event-stream"):
        reply.stream = response
        return reply
    try:
        reply.body = await response.read(MOST_ANSWER_BYTES)
    except TooLarge:
        raise Failed(errors.upstream_error("its answer is too large"), elsewhere=False) from None
    finally:
        response.close()
    if response.status >= 300:
        raise _failure(reply)
    if json_due and reply.body.lstrip()[:1] not in (b"{", b"["):
        raise Failed(errors.upstream_error("its answer is not JSON"), elsewhere=True)
    return reply


def _failure(reply: Reply) -> Failed:
    """Say what the upstream's refusal means here: faults of the request are the customer's to mend, no others."""
    message = _message(reply.body)
    match reply.status:
        case 400 | 404 | 413 | 422:
            status = 422 if reply.status == 422 else 400
            words = message or "The model's server refused the request."
            return Failed(errors.invalid_request(words, status=status), elsewhere=False)
        case 503 if (seconds := _seconds_to_load(reply)) is not None:
            return Failed(errors.model_loading(seconds), elsewhere=True)
        case 408 | 504:
            return Failed(errors.upstream_timeout(), elsewhere=True)
        case 401 | 403:
            words = "it does not accept this installation's token; tell support"
            return Failed(errors.upstream_error(words), elsewhere=True)
        case _:
            return Failed(errors.upstream_error(message), elsewhere=True)


def _seconds_to_load(reply: Reply) -> int | None:
    """Hugging Face says {"error": "Model X is currently loading", "estimated_time": 20.0}; others Retry-After."""
    document = _json(reply.body)
    estimated = document.get("estimated_time") if isinstance(document, dict) else None
    if isinstance(estimated, int | float) and 0 <= estimated < 3600:
        return max(1, round(estimated))
    after = reply.headers.get("retry-after", "")
    return min(int(after), 3600) if after.isdigit() else None


def _message(body: bytes) -> str:
    """Return the upstream's words: {"error": {"message"}}, {"error": "…"}, {"error": ["…"]} or {"message"}."""
    document = _json(body)
    if not isinstance(document, dict):
        return ""
    found: Any = document.get("error", document.get("message", document.get("detail")))
    if isinstance(found, dict):
        found = found.get("message")
    if isinstance(found, list):
        found = "; ".join(str(item) for item in found)
    return str(found)[:500] if found else ""


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _plain(failure: Broken) -> str:
    """A word for the customer, without addresses."""
    return "the connection broke" if failure.reached else "it cannot be reached"


StreamBroke = (Broken, TimeoutError)
