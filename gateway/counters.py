"""The meter's scripts, one method each, return values explained. What keys they touch: `meter_keys.py`."""

from collections.abc import Sequence
from copy import copy
from struct import Struct, pack
from typing import Any, NamedTuple

import orjson
import redis.asyncio as aioredis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from billing.period import BillingPeriod
from gateway.limits import LONG_STREAM as LONG_STREAM
from gateway.limits import LONGEST_STREAM as LONGEST_STREAM
from gateway.limits import Admitted as Admitted
from gateway.limits import Counter as Counter
from gateway.limits import Denied as Denied
from gateway.limits import Limits as Limits
from gateway.limits import Look as Look
from gateway.limits import Missing as Missing
from gateway.limits import Offer as Offer
from gateway.limits import Spend as Spend
from gateway.limits import Tally as Tally
from gateway.limits import Waiting as Waiting
from gateway.limits import WrongPeriod as WrongPeriod
from gateway.meter import connect as connect
from gateway.meter_keys import SHARDS, keys_of, shard_of, shard_tag
from gateway.scripting import Scripts
from gateway.usage_stream import GROUP

# What `admit.lua` unpacks as "<dddddddddd": numbers of Lua are doubles, and reading them out of text cost it more than
# its commands' own work.
_NUMBERS = Struct("<10d").pack
HOLD_MS = 30_000  # a hold lives this long after its last heartbeat, unless HOLD_SECONDS says otherwise
MOST_WAITING = 10_000  # entries of one shard through which a missing counter is looked for; more: 503 for now
MOST_QUOTES = 20  # of one account, open at once

MeterUnavailable = RedisError  # what any method may raise; the caller decides what that means


def is_away(failure: RedisError) -> bool:
    """Tell a meter that does not answer from one that answers that it is full."""
    return not isinstance(failure, OutOfMemoryError)


class Settlement(NamedTuple):
    """Everything that `settle` needs; what a spool line carries when the meter is away."""

    request_id: str
    account_id: str
    period: str
    nano: int
    tokens: int
    calls: int
    report: str
    budgets: tuple[str, ...] = ()  # `Spend.name` of each budget that it was admitted with


class Counters:
    """The meter, as the calls of one process see it."""

    def __init__(self, client: "aioredis.Redis", hold_ms: int = HOLD_MS) -> None:
        self.client = client
        self.hold_ms = hold_ms
        # What this process knows of each shard: MeterWatch writes it. "" where nobody watches, as in tests.
        self.epochs = [""] * SHARDS
        self._scripts = Scripts(client)

    async def admit(
        self,
        request_id: str,
        account_id: str,
        period: BillingPeriod,
        limits: Limits,
        nano: int,
        tokens: int,
        report: bytes,
        budgets: Sequence[Spend] = (),
        offer: Offer | None = None,
    ) -> Admitted | Denied | Missing | WrongPeriod:
        """Check every limit and take a hold of `nano` and `tokens`: a call's, or with an `offer` a quote's. Writes only
        if admitted. Repeatable."""
        keys = keys_of(account_id)
        numbers = _NUMBERS(
            *(*period.bounds_ms, offer.lasts_ms if offer else self.hold_ms, limits.calls, limits.spend_nano),
            *(limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency, nano, tokens),
        )
        names: tuple[str, ...] = ()
        if budgets:
            names = tuple([keys.budget(spend.name) for spend in budgets])
            numbers += pack(f"<{len(budgets)}d", *[spend.limit_nano for spend in budgets])
        quote: tuple[str | bytes | int, ...] = ()
        if offer:
            names_of_quote = (keys.quotes, keys.quote(request_id))
            quote = (offer.terms, offer.until_ms, MOST_QUOTES, *names_of_quote, period.key)
        answer = await self._scripts.run(
            "admit",
            (keys.quota(period.key), keys.minute, keys.open, keys.deadlines, keys.hold(request_id), *names),
            (request_id, numbers, account_id, report, *quote),
        )
        return _read_admission(answer)

    async def settle(self, settlement: Settlement) -> str:
        """Replace the hold by what was used and emit the report. Returns OK, DUP, LATE or UNKNOWN. Repeatable."""
        keys = keys_of(settlement.account_id)
        answer = await self._scripts.run(
            "settle",
            (
                *(keys.quota(settlement.period), keys.open, keys.hold(settlement.request_id), keys.stream),
                *map(keys.budget, settlement.budgets),
            ),
            (settlement.request_id, settlement.nano, settlement.tokens, settlement.calls, settlement.report),
        )
        return str(answer.decode())

    async def peek(
        self, account_id: str, period: BillingPeriod, tokens_per_minute: int, budgets: Sequence[Spend] = ()
    ) -> Look:
        """Return where every limit of an account stands. Only looks."""
        keys = keys_of(account_id)
        names = [keys.quota(period.key), keys.minute, keys.open]
        names += [keys.budget(spend.name) for spend in budgets]
        answer = [int(value) for value in await self._scripts.run("peek", names, (tokens_per_minute,))]
        tallies = [Tally(bool(answer[i]), *answer[i + 1 : i + 5]) for i in range(5, len(answer), 5)]
        now, minute, oldest, free, running = answer[:5]
        return Look(now, minute, oldest, free, running, tallies[0], tuple(tallies[1:]))

    async def waiting(self, account_id: str) -> Waiting | None:
        """Return an account's reports that are on their way to the ledger. Only looks.

        None where so many wait, of all accounts in the shard, that the ledger has to catch up first.
        """
        stream = keys_of(account_id).stream
        if await self.client.xlen(stream) > MOST_WAITING:
            return None
        entries: Any = await self.client.xrange(stream)
        last = entries[-1][0].decode() if entries else await self._last_id(stream)
        own = [fields for _, fields in entries if account_id.encode() in fields.get(b"report", b"")]
        return Waiting(last, [(fields[b"kind"].decode(), fields[b"report"]) for fields in own])

    async def start(self, account_id: str, counter: Counter, calls: int, nano: int, last_id: str) -> str:
        """Start a counter that is missing at what was used so far; open calls and newer reports join it.

        Returns SEEDED; KNOWN if it was there already (then nothing changed); MOVED if the ledger's writer may have
        seen reports after `last_id` (of `waiting`): look again, then; STALE if the meter is not the one that this
        process knows.
        """
        keys = keys_of(account_id)
        name = keys.quota(counter.period) if counter.period else keys.budget(counter.name)
        only = "" if counter.key_ids is None else orjson.dumps(counter.key_ids)
        answer = await self._scripts.run(
            "seed",
            (name, keys.stream, keys.open, keys.epoch, keys.quota(counter.before)),
            (
                *(account_id, calls, nano, counter.expires_ms, last_id, GROUP, keys.tag),
                *(counter.period, counter.start_ms, counter.end_ms, only, self.epochs[shard_of(account_id)]),
            ),
        )
        return str(answer.decode())

    async def seed(self, account_id: str, period: BillingPeriod, calls: int, nano: int) -> bool:
        """Start a period's counters at given figures, for tests and fault runs; the gateway rebuilds them instead.

        Returns False if somebody did so before.
        """
        last_id = await self._last_id(keys_of(account_id).stream)
        return await self.start(account_id, Counter.of_period(period), calls, nano, last_id) == "SEEDED"

    async def _last_id(self, stream: str) -> str:
        """The id of the newest entry that an empty stream ever had."""
        try:
            facts: Any = await self.client.xinfo_stream(stream)
        except ResponseError:  # there is no stream yet
            return "0-0"
        return str(facts["last-generated-id"].decode())

    async def claim(
        self, account_id: str, name: str, request_id: str, print_: str, seconds: int, *, stream: bool
    ) -> list[str]:
        """Claim an Idempotency-Key for a call. Returns NEW, or OTHER, BUSY or DONE and the id of the call that has it
        (after DONE also "1" for a stream)."""
        keys = keys_of(account_id)
        args = (request_id, print_, self.hold_ms, seconds * 1000, keys.tag, int(stream))
        return [word.decode() for word in await self._scripts.run("claim", (keys.mark(name),), args)]

    async def mark(self, account_id: str, name: str, request_id: str, state: str) -> bool:
        """Write the state of an Idempotency-Key, answered or free. False if another call has it by now."""
        return bool(await self._scripts.run("mark", (keys_of(account_id).mark(name),), (request_id, state)))

    def for_restoring(self) -> "Counters":
        """Return the same meter for what is put back into it before it is sound again."""
        same = copy(self)
        same.epochs = [""] * SHARDS
        return same

    async def lease(
        self,
        process: str,
        account_id: str,
        period: str,
        limits: Limits,
        budgets: Sequence[Spend],
        calls: int,
        nano: int,
        seconds: float,
    ) -> bool:
        """Ask for an allowance to live on without the meter, or for the same one for longer. False: not granted."""
        keys = keys_of(account_id)
        names = (keys.quota(period), keys.leases, *(keys.budget(spend.name) for spend in budgets))
        args = (process, calls, nano, round(seconds * 1000), limits.calls, limits.spend_nano)
        return bool(await self._scripts.run("lease", names, (*args, *(it.limit_nano for it in budgets))))

    async def extend(self, account_id: str, request_id: str) -> bool:
        """Keep a running call's hold alive. Returns False if it was settled or swept."""
        keys = keys_of(account_id)
        names = (keys.hold(request_id), keys.open)
        return bool(await self._scripts.run("extend", names, (request_id, self.hold_ms)))

    async def sweep(self, shard: int, most: int = 100) -> list[str]:
        """End the shard's holds whose process died; each is reported as abandoned. Quotes end without. Returns the
        ids of both."""
        tag = shard_tag(shard)
        ended = await self._scripts.run("sweep", (f"{tag}deadlines", f"{tag}usage"), (most, tag))
        return [rid.decode() for rid in ended]

    async def usage_of(self, account_id: str, period: str) -> dict[str, int]:
        """Return the counters of a period as they stand: calls, nano, held_calls, held_nano. Only looks."""
        found: Any = await self.client.hgetall(keys_of(account_id).quota(period))
        values = {name.decode(): int(value) for name, value in found.items()}
        return {name: values.get(name, 0) for name in ("calls", "nano", "held_calls", "held_nano")}

    async def settled_of(self, account_id: str, period: str) -> tuple[int, int] | None:
        """Return (calls, nano) settled in a period, without what is held. None without counters. Only looks."""
        names = ["seeded", "calls", "nano"]
        seeded, calls, nano = await self.client.hmget(keys_of(account_id).quota(period), names)
        return (int(calls or 0), int(nano or 0)) if seeded else None

    async def open_holds(self) -> int:
        """Return how many holds are open in all shards. Only looks."""
        number = 0
        for tag in map(shard_tag, range(SHARDS)):
            accounts: Any = await self.client.zrange(f"{tag}deadlines", 0, -1)
            for account_id in accounts:
                number += await self.client.zcard(keys_of(account_id.decode()).open)
        return number


def _read_admission(answer: list[Any]) -> Admitted | Denied | Missing | WrongPeriod:
    match answer[0]:
        case b"OK":
            return Admitted(*map(int, answer[1:]))
        case b"NO":
            budget, limit, used, wait, *state = (int(value) for value in answer[2:])
            return Denied(answer[1].decode(), budget, limit, used, wait, Admitted(*state))
        case b"MISS":
            numbers = [int(value) for value in answer[1:]]
            return Missing(quota=0 in numbers, budgets=tuple(number - 1 for number in numbers if number))
        case _:
            return WrongPeriod(int(answer[1]))
