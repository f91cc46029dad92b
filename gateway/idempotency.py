"""Idempotency-Key: one charge per key and account for 24 hours, and the first answer again for whoever repeats a call.

The meter has the mark of a key, in its account's shard; it is told from the call's hold whether the call still runs.

1 claim the key                  if we die here: it is free again when the claim's time is over
2 take the hold, call            if we die here: the hold expires, and the key is free for a new attempt
3 note: answered                 if we die here: as 2. Should we only have slept, we settle at no charge (claim.lua)
4 settle                         from here on no attempt is charged again
5 keep the answer                if we die here: a repeat is told that it was charged and that the answer is gone

Answers are kept because the customer asked for it with the header, sealed, in the cache, for as long as the mark; one
that is too large, or that the cache had to evict, is gone. A stream's answer is not kept.
"""

import base64
import hashlib

import orjson
import redis.asyncio as aioredis
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from accounts.vault import open_sealed, seal
from gateway import errors
from gateway.counters import Counters, MeterUnavailable
from gateway.http import Answer, Call
from gateway.orders import Mark

HEADER = b"idempotency-key"
KEEP_SECONDS = 86_400
LONGEST_KEY = 255
_log = structlog.get_logger(__name__)


class Idempotency:
    """The keys and answers of one process's calls."""

    def __init__(self, counters: Counters, cache: "aioredis.Redis") -> None:
        self._counters = counters
        self._cache = cache

    async def claim(self, call: Call, account_id: str, body: bytes, stream: bool) -> Mark | Answer:
        """Claim the call's key, or return the answer that it has had. Refusals: invalid_request,
        idempotency_key_reused, request_in_progress, idempotency_answer_gone, limiter_unavailable."""
        name = _digest(_read(call.header(HEADER)))
        print_ = _digest(b"POST", call.path.encode(), call.content_type.encode(), body)
        try:
            word, *rest = await self._counters.claim(
                account_id, name, call.id, print_, KEEP_SECONDS, stream=stream
            )
        except MeterUnavailable as failure:  # without the meter nobody can tell a first call from a second
            raise errors.limiter_unavailable() from failure
        match word:
            case "NEW":
                return Mark(account_id, name, call.id)
            case "OTHER":
                raise errors.idempotency_key_reused(rest[0])
            case "BUSY":
                raise errors.request_in_progress(rest[0])
        return await self._answer_of(account_id, rest[0], was_stream=rest[1] == "1")

    async def answered(self, mark: Mark) -> None:
        """Note that the call has its answer and is about to be charged."""
        await self._tell(mark, "answered")

    async def release(self, mark: Mark) -> None:
        """Give the key back: the call failed, and nobody was charged."""
        await self._tell(mark, "free")

    async def keep(self, mark: Mark, answer: Answer) -> None:
        """Keep a whole answer for whoever repeats the call."""
        if len(answer.body) > settings.IDEMPOTENCY_ANSWER_BYTES:
            return
        document = {
            "status": answer.status,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers],
            "body": base64.b64encode(answer.body).decode(),
        }
        place = _place(mark.account_id, mark.request_id)
        try:
            await self._cache.set(place, seal(orjson.dumps(document).decode(), place), ex=KEEP_SECONDS)
        except RedisError as failure:
            _log.warning("idempotent answer not kept", request_id=mark.request_id, error=str(failure))

    async def _tell(self, mark: Mark, state: str) -> None:
        try:
            await self._counters.mark(mark.account_id, mark.name, mark.request_id, state)
        except MeterUnavailable as failure:  # the hold tells the rest
            _log.warning("idempotency mark not written", request_id=mark.request_id, error=str(failure))

    async def _answer_of(self, account_id: str, request_id: str, *, was_stream: bool) -> Answer:
        place = _place(account_id, request_id)
        try:
            sealed = None if was_stream else await self._cache.get(place)
        except RedisError:
            sealed = None
        if not isinstance(sealed, bytes):
            raise errors.idempotency_answer_gone(request_id)
        found = orjson.loads(open_sealed(sealed, place))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found["headers"]]
        headers += [
            (b"idempotent-replayed", b"true"),
            (b"x-turnpike-original-request-id", request_id.encode()),
        ]
        return Answer(found["status"], headers, base64.b64decode(found["body"]))


def _read(header: bytes | None) -> bytes:
    """Return the key. Refusal `invalid_request` for one that is empty, too long or not plain."""
    key = (header or b"").strip()
    if not 1 <= len(key) <= LONGEST_KEY or any(not 0x21 <= byte <= 0x7E for byte in key):
        message = (
            f"Idempotency-Key must be 1 to {LONGEST_KEY} ASCII characters without spaces, such as a UUID."
        )
        raise errors.invalid_request(message, "Idempotency-Key")
    return key


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part) + part)
    return found.hexdigest()


def _place(account_id: str, request_id: str) -> str:
    return f"tp:answer:{account_id}:{request_id}"
