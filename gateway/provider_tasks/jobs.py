"""One media task at one provider: sent, asked after, and its result brought into hf-inference's form.

Everything happens within the upstream's `total_seconds`. Once a provider has taken a job on, a failure does not go
to the next way: the job may still be running there, and be charged to us.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from gateway import errors, media
from gateway.errors import Refusal
from gateway.provider_tasks.inputs import read_inputs
from gateway.provider_tasks.payload import Request, make_request, read_answer
from gateway.provider_tasks.results import Fetcher, NoResult
from gateway.provider_tasks.table import PROVIDERS, Poll, Provider, Row, found_at

# How long to wait before asking again: at first, and at most.
POLL_SECONDS = 0.5
LONGEST_POLL_SECONDS = 5.0
# (method, path below /{provider}, headers, body) -> body of the answer; fails by itself for anything but 2xx.
Send = Callable[[str, str, Mapping[str, str], bytes], Awaitable[bytes]]
_MASK = "image-segmentation"


class JobFailed(Exception):
    """The provider could not do it, or its answer is not what it should be."""

    def __init__(self, refusal: Refusal, *, elsewhere: bool) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.elsewhere = elsewhere


@dataclass(frozen=True, slots=True)
class Result:
    """What the customer gets, and what the provider said of its size, as headers that metering reads."""

    body: bytes
    headers: dict[str, str]


class Job:
    """One call's way through a provider."""

    def __init__(self, provider: str, task: str, model_id: str, provider_id: str) -> None:
        self._provider, self._task = provider, task
        self._model_id, self._provider_id = model_id, provider_id
        self._of: Provider = PROVIDERS[provider]
        self._row: Row = self._of.tasks[task]
        self.taken = False  # the provider has taken it on

    async def run(self, body: bytes, content_type: str, send: Send, fetcher: Fetcher) -> Result:
        """Do it. Refusal `invalid_request`, JobFailed, or whatever `send` fails with."""
        request = await asyncio.to_thread(self._request, body, content_type)
        first = await send("POST", request.path, request.headers, request.body)
        self.taken = True
        try:
            return await self._result(first, send, fetcher)
        except NoResult as failure:
            raise self._failed(str(failure)) from failure
        except aiohttp.ClientError as failure:
            raise self._failed("its result cannot be fetched") from failure
        except (KeyError, IndexError, TypeError, ValueError) as failure:
            raise self._failed("its answer is not what it should be") from failure

    def _request(self, body: bytes, content_type: str) -> Request:
        inputs, parameters = read_inputs(body, content_type, self._row.takes)
        return make_request(self._provider, self._task, self._model_id, self._provider_id, inputs, parameters)

    async def _result(self, first: bytes, send: Send, fetcher: Fetcher) -> Result:
        answer = _document(first)
        if self._row.poll is not None:
            answer = await self._wait(answer, self._row.poll, send)
        headers = self._seconds(answer) | _tokens(answer)
        if self._row.file:
            url = found_at(answer, self._row.file)
            if url is None:
                raise JobFailed(errors.upstream_timeout(), elsewhere=False)
            data: Any = await fetcher.fetch(url[0] if isinstance(url, list) else url, self._of.hosts)
        else:
            data = await asyncio.to_thread(read_answer, self._provider, self._task, answer)
        return self._in_form(data, headers)

    async def _wait(self, first: Any, poll: Poll, send: Send) -> Any:
        """Ask until it is done. The caller's deadline ends this."""
        answer, pause = first, POLL_SECONDS
        while (status := found_at(answer, poll.status)) != poll.done:
            if status is not None and status not in poll.pending:
                raise self._failed(f"it ended as {str(status)[:40]!r}", elsewhere=True)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
            answer = _document(await send("GET", _safe(poll.ask(first)), {}, b""))
        if poll.then is None:
            return answer
        return _document(await send("GET", _safe(poll.then(first)), {}, b""))

    def _in_form(self, data: Any, headers: dict[str, str]) -> Result:
        """Put a result into the form that hf-inference answers in: a file's bytes, or JSON."""
        if self._task == _MASK:
            data = [{"label": "mask", "score": 1.0, "mask": base64.b64encode(data).decode()}]
        if not isinstance(data, bytes):
            return Result(orjson.dumps(data), headers | {"content-type": "application/json"})
        kind, due = media.kind_of(data), self._task.rpartition("-")[2]
        if not kind.startswith({"speech": "audio"}.get(due, due)):
            raise self._failed(f"its result is no {due}")
        return Result(data, headers | {"content-type": kind})

    def _seconds(self, answer: Any) -> dict[str, str]:
        reported = found_at(answer, self._of.seconds) if self._of.seconds else None
        if not isinstance(reported, int | float) or isinstance(reported, bool):
            return {}
        return {"x-compute-time": str(reported / self._of.per_second)}

    def _failed(self, words: str, *, elsewhere: bool = False) -> JobFailed:
        return JobFailed(errors.upstream_error(words), elsewhere=elsewhere)


def _document(body: bytes) -> Any:
    """The answer as JSON, or its bytes where it is a file itself."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _tokens(answer: Any) -> dict[str, str]:
    """Embeddings say their tokens as OpenAI does."""
    reported = found_at(answer, ("usage", "prompt_tokens"))
    return {"x-prompt-tokens": str(reported)} if isinstance(reported, int) else {}


def _safe(path: str) -> str:
    """A path from a provider's answer is asked with our token: it must stay below the provider's own."""
    inside, _, _query = path.partition("?")
    if not inside.startswith("/") or any(part in ("", ".", "..") for part in inside[1:].split("/")):
        raise ValueError("a path that leads elsewhere")
    if not all(letter.isalnum() or letter in "/-_.:" for letter in inside):
        raise ValueError("a path that leads elsewhere")
    return path
