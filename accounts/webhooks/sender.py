"""The only place that speaks HTTP to customers' webhooks. Knows no row: bytes out, an outcome back.

No redirect is followed (it could lead inside), no proxy of the environment is used, no cookie is kept, and
the answer's body is not read. The address is checked once more on the socket that is connected: see
`accounts/addresses.py`.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from django.conf import settings

from accounts import addresses

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """One attempt: where to, with which headers, and what."""

    url: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to: a status, or a word where there was no answer."""

    status: int | None = None
    error: str = ""  # timeout, unreachable, private_address, tls, invalid_answer

    @property
    def taken(self) -> bool:
        """Whether the receiver has it: any 2xx."""
        return self.status is not None and 200 <= self.status <= 299


async def send(messages: Sequence[Message]) -> list[Outcome]:
    """Post all messages at once; return an outcome for each, in their order. Never raises for a receiver's fault."""
    connector = aiohttp.TCPConnector(socket_factory=_socket, limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        return await asyncio.gather(*(_post(session, message) for message in messages))


async def _post(session: aiohttp.ClientSession, message: Message) -> Outcome:
    headers = message.headers | {"Content-Type": "application/json", "User-Agent": "Turnpike-Webhooks/1"}
    try:
        async with session.post(
            message.url, data=message.body.encode(), headers=headers, allow_redirects=False
        ) as response:
            return Outcome(status=response.status)
    except TimeoutError:
        return Outcome(error="timeout")
    except aiohttp.ClientSSLError:
        return Outcome(error="tls")
    except (aiohttp.ClientConnectorError, OSError) as failure:
        return Outcome(error="private_address" if _leads_inside(failure) else "unreachable")
    except (aiohttp.ClientError, ValueError):
        return Outcome(error="invalid_answer")


def _socket(info: tuple[int, int, int, str, Any]) -> socket.socket:
    if settings.ALLOW_PRIVATE_WEBHOOKS:
        return socket.socket(*info[:3])
    return addresses.public_socket(info)


def _leads_inside(failure: BaseException) -> bool:
    """Tell whether `public_socket` refused: aiohttp wraps what it raised, sometimes in a group."""
    inner = getattr(failure, "os_error", None) or failure
    return isinstance(inner, PermissionError) or "leads inside" in str(inner)
