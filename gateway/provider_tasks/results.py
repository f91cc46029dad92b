"""Result files: fetched without any token, from the provider's own hosts, from public addresses, up to a size."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from django.conf import settings

from gateway.addresses import public_socket

MOST_FILE_BYTES = 64 * 1024 * 1024


class NoResult(Exception):
    """The result cannot be had. The words are for the customer: no addresses in them."""


class Fetcher:
    """The client for result files: it knows no token and keeps no cookie."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100, socket_factory=public_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "turnpike"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def fetch(self, url: object, hosts: Sequence[str]) -> bytes:
        """Return the file. NoResult where it is elsewhere, too large, or not there. Redirects lead elsewhere."""
        if not isinstance(url, str) or not url:
            raise NoResult("it named no result")
        if url.startswith("data:"):
            return _in_place(url)
        check_result_address(url, hosts)
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise NoResult("its result cannot be fetched")
            return await _capped(response)


def check_result_address(url: str, hosts: Sequence[str]) -> None:
    """NoResult unless `url` is on one of `hosts` or below, over https; plain http only where private hosts may be."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise NoResult("its result has no address") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.ALLOW_PRIVATE_UPSTREAMS):
        raise NoResult("its result has no safe address")
    known = any(host == name or host.endswith("." + name) for name in hosts) and port in (None, 443)
    more = host in settings.PROVIDER_RESULT_HOSTS
    if parts.username is not None or parts.password is not None or not (known or more):
        raise NoResult("its result is on a host that is not known to be its own")


async def _capped(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_FILE_BYTES:
            raise NoResult("its result is too large")
    return b"".join(pieces)


def _in_place(url: str) -> bytes:
    """Read a data: address, which some providers answer with where files are small."""
    head, comma, data = url.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise NoResult("its result is garbled") from None
