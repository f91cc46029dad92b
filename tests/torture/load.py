"""Many clients at once in one process, lean enough to keep gateways busy."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from gateway.local_model.models import CHAT_MODEL

PATH = "/v1/chat/completions"
GIVE_UP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client saw of its call. Status 0: the connection broke or timed out before an answer."""

    web: int  # which web process was asked
    status: int
    code: str  # of a refusal
    request_id: str
    cost: str  # as the header says it: "0.000001234 USD"
    seconds: float
    headers: dict[str, str]


class Clients:
    """Calls to several web processes over kept connections, and how many are under way."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [url + PATH for url in urls]
        self.under_way = 0
        self.most_under_way = 0

    async def __aenter__(self) -> "Clients":
        timeout = aiohttp.ClientTimeout(total=GIVE_UP_SECONDS)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, web: int, secret: str, body: bytes, headers: dict[str, str] | None = None) -> Reply:
        """Make one call and read its answer to the end."""
        sent = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"} | (headers or {})
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        began = time.perf_counter()
        try:
            async with self._session.post(self._urls[web], data=body, headers=sent) as answer:
                text = await answer.read()
                return _reply(web, answer, text, time.perf_counter() - began)
        except (aiohttp.ClientError, TimeoutError):
            return Reply(web, 0, "", "", "", time.perf_counter() - began, {})
        finally:
            self.under_way -= 1


def _reply(web: int, answer: aiohttp.ClientResponse, text: bytes, seconds: float) -> Reply:
    code = ""
    if answer.status >= 400:
        code = str(json.loads(text)["error"]["code"])
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(
        *(web, answer.status, code, headers.get("x-request-id", "")),
        *(headers.get("x-turnpike-cost", ""), seconds, headers),
    )


def chat(text: str, user: str, max_tokens: int = 5, **fields: object) -> bytes:
    """A chat of one message, whose words say what the scripted upstream does and whose user it counts."""
    messages = [{"role": "user", "content": text}]
    body = {"model": CHAT_MODEL, "messages": messages, "max_tokens": max_tokens, "user": user}
    return json.dumps(body | fields).encode()


def nano(cost: str) -> int:
    """Return "0.000001234 USD" in nano-units."""
    whole, _, part = cost.partition(" ")[0].partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))
