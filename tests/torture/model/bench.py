"""What both properties of quota_model stand on: a meter, the gateway's client of it, and looks from outside."""

from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, TypeVar

import orjson
import uvloop

from gateway import counters
from gateway.counters import Limits
from gateway.meter_keys import keys_of
from gateway.quote_holds import QuoteHolds
from tests.torture.meters import Meter
from tests.torture.model.oracle import Bounds

HOLD_MS = 30_000
ACCOUNTS = [f"{number:08d}-0000-7000-8000-000000000000" for number in range(40)]
Result = TypeVar("Result")

# Moves every time that is stored for an account back. KEYS minute, open, deadlines, quotes, marks of keys...
# ARGV ms, tag
PASS_TIME = """
local ms = tonumber(ARGV[1])
for _, rid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], -ms * 1000, rid) end
for _, quota in ipairs(redis.call('KEYS', ARGV[2] .. 'period:*')) do
  for name, by in pairs({tat = -ms * 1000, trim_at = -ms}) do
    if tonumber(redis.call('HGET', quota, name) or 0) > 0 then redis.call('HINCRBY', quota, name, by) end
  end
end
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. 'held:*')) do
  local hold = redis.call('GET', key)
  if #hold > 4 then
    local nano, tokens, tpm, begun_us, counters, report_at = struct.unpack('<ddddHc0', hold, 5)
    local moved = struct.pack('<ddddHc0', nano, tokens, tpm, begun_us - ms * 1000, #counters, counters)
    redis.call('SET', key, string.sub(hold, 1, 4) .. moved .. string.sub(hold, report_at), 'KEEPTTL')
  end
end
for _, quote in ipairs(redis.call('KEYS', ARGV[2] .. 'quote:*')) do -- also those that may be opened again
  redis.call('HINCRBY', quote, 'until', -ms)
end
for i = 5, #KEYS do
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 then
    redis.call('HINCRBY', KEYS[i], 'until', -ms)
    redis.call('PEXPIRE', KEYS[i], left - ms)
  end
end
for i = 2, 4 do
  for _, rid in ipairs(redis.call('ZRANGE', KEYS[i], 0, -1)) do redis.call('ZINCRBY', KEYS[i], -ms, rid) end
end
"""


@dataclass(frozen=True)
class Span:
    """A billing period with bounds of our own; the meter asks for no more."""

    key: str
    start: datetime
    end: datetime

    @property
    def previous(self) -> "Span":
        """The span before: p3 after p2."""
        return Span(f"p{int(self.key[1:]) - 1}", self.start, self.end)

    @property
    def bounds_ms(self) -> tuple[int, int]:
        """Return `start` and `end` in Unix milliseconds."""
        return int(self.start.timestamp() * 1000), int(self.end.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the meter had of an account at a moment."""

    tallies: list[dict[str, int]]
    budgets: list[dict[str, int]]
    looked_at: float | None  # when the sweep looks at the account, ms
    first_deadline: float  # of what is open, ms
    open: set[bytes]
    quotes: set[bytes]
    entries: list[Any]
    now_us: int


class Bench:
    """The meter, the gateway's own client of it, and clients that only look from outside."""

    def __init__(self, own_meter: Meter) -> None:
        self.own_meter = own_meter
        # A node of a cluster serves no sooner than 2 s after its start.
        self.one_restart_in = 40 if own_meter.is_cluster else 3
        self.fired: Counter[str] = Counter()
        self.judged = 0
        self.unsure = 0
        self._loop = uvloop.new_event_loop()
        self._connect()
        self._outside = {tag: own_meter.client_for(f"{tag}any") for tag in set(map(tag_of, ACCOUNTS))}

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do async work to its end."""
        return self._loop.run_until_complete(work)

    def outside(self, account: str) -> Any:
        """A client of the node that has an account."""
        return self._outside[tag_of(account)]

    def look(self, account: str, periods: list[str], budgets: list[str]) -> "Seen":
        """Everything that the meter has of an account, and its clock."""
        keys = keys_of(account)
        with self.outside(account).pipeline(transaction=False) as pipe:
            for period in periods:
                pipe.hgetall(keys.quota(period))
            for budget in budgets:
                pipe.hgetall(keys.budget(budget))
            pipe.zscore(keys.deadlines, account)
            pipe.zrange(keys.open, 0, -1, withscores=True)
            pipe.zrange(keys.quotes, 0, -1)
            pipe.xrange(keys.stream)
            pipe.time()
            *found, looked_at, opened, quotes, entries, (seconds, micros) = pipe.execute()
        tallies = [
            {name.decode(): int(value) for name, value in counted.items() if name != b"next"}
            for counted in found
        ]
        now_us = int(seconds) * 1_000_000 + int(micros)
        return Seen(
            tallies[: len(periods)],
            tallies[len(periods) :],
            *(looked_at, min((deadline for _, deadline in opened), default=inf)),
            *({rid for rid, _ in opened}, set(quotes)),
            entries,
            now_us,
        )

    def pass_time(self, account: str, ms: int, marks: Iterable[str] = ()) -> None:
        """Let time pass for an account, and for its idempotency keys of these names."""
        keys = keys_of(account)
        names = (keys.minute, keys.open, keys.deadlines, keys.quotes, *map(keys.mark, marks))
        self.outside(account).eval(PASS_TIME, len(names), *names, ms, keys.tag)

    def restart(self) -> None:
        """Kill the meter (-9) and start it again from its log."""
        self.run(self._client.aclose())
        self.own_meter.restart()
        self._connect()
        self.own_meter.tell("CONFIG", "SET", "auto-aof-rewrite-min-size", "1mb")

    def _connect(self) -> None:
        self._client = counters.connect(self.own_meter.url, timeout=20)
        self.meter = counters.Counters(self._client, hold_ms=HOLD_MS)
        self.quotes = QuoteHolds(self.meter)

    def close(self) -> None:
        """End the loop."""
        self.run(self._client.aclose())
        self._loop.close()


def tag_of(account: str) -> str:
    """The hash tag of an account's keys."""
    return keys_of(account).tag


def kinds_of(entries: list[Any]) -> list[tuple[str, str]]:
    """The stream's entries as (kind, request id)."""
    return [(fields[b"kind"].decode(), str(orjson.loads(fields[b"report"])["rid"])) for _, fields in entries]


def shard_of(account: str) -> int:
    """The shard of an account, as the tag of its keys says it: "tp:{07}:"."""
    return int(tag_of(account).partition("{")[2][:2])


def limits_of(bounds: Bounds) -> Limits:
    """The same for the gateway."""
    return Limits(
        calls=bounds.calls,
        spend_nano=bounds.nano,
        requests_per_minute=bounds.requests,
        tokens_per_minute=bounds.tokens,
        concurrency=bounds.concurrency,
    )
