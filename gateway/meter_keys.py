"""The names of everything in the meter. Only the modules around the scripts in `gateway/lua/` use them.

Every key of an account carries the hash tag of its shard (`{07}`, 16 shards), so that one script can touch
all of them and a cluster can split the load; the shard's usage stream carries it too, which is what makes
"move the counters and emit the usage" one atomic step. ADR 0004 says why shards and not accounts.

    tp:{07}:period:<account>:<period>  hash   calls, nano (settled); held_calls, held_nano (open); seeded; tat, GCRA's
                                              theoretical arrival time, µs; next, the period that has begun since;
                                              trim_at, when the log of requests is trimmed next, ms
    tp:{07}:window:<subject>:<window>  hash   nano, held_nano (and calls that nobody reads); seeded. A subject is
                                              an account, a member or a key; made only where there is a budget
    tp:{07}:minute:<account>           zset   request id -> µs, the admitted calls of the last minute, and older ones
    tp:{07}:open:<account>             zset   request id -> deadline ms, the open calls and quotes
    tp:{07}:held:<request id>          string one call, or a quote that is open: see below
    tp:{07}:deadlines                  zset   account -> ms, when the sweep looks at it: never later than the first
                                              deadline of its open calls
    tp:{07}:usage                      stream reports on their way to the ledger
    tp:{07}:epoch                      string which server's counters these are, since when: ADR 0019
    tp:{07}:idem:<account>:<digest>    hash   an Idempotency-Key: which call has it, for which request
    tp:{07}:quotes:<account>           zset   quote id -> deadline ms, the open quotes
    tp:{07}:quote:<quote id>           hash   a quote: state open | redeemed | expired, its terms, which call has it
    tp:{07}:lease:<account>            hash   process -> what it may spend should the meter go away

A hold begins with its state, four letters: open; quot, an open quote's; done, settled, of which nothing more is kept;
void, swept. Then Lua's struct "<ddddHc0": nano and tokens held, the limit of tokens a minute then, when it began (µs),
and the names of the counters that it is held in, the period's first, with their length. Then the report that the sweep
gives out for an open one. A string, since every call writes and reads one: a hash of these fields is dearer.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

SHARDS = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one account, made once per account and process."""

    tag: str
    minute: str
    open: str
    deadlines: str
    stream: str
    epoch: str
    leases: str
    quotes: str
    quota_prefix: str
    budget_prefix: str
    mark_prefix: str

    def quota(self, period: str) -> str:
        """The counters of one period."""
        return self.quota_prefix + period

    def budget(self, name: str) -> str:
        """The counter of a budget's subject in a window, as `Spend.name` writes both."""
        return self.budget_prefix + name

    def hold(self, request_id: str) -> str:
        """The hold of one call, or of an open quote."""
        return f"{self.tag}held:{request_id}"

    def quote(self, quote_id: str) -> str:
        """A quote: what is kept of it beside its hold."""
        return f"{self.tag}quote:{quote_id}"

    def mark(self, name: str) -> str:
        """The mark of an Idempotency-Key."""
        return f"{self.mark_prefix}{name}"


@lru_cache(maxsize=100_000)
def keys_of(account_id: str) -> Keys:
    """Return the key names of an account."""
    tag = shard_tag(shard_of(account_id))
    return Keys(
        tag=tag,
        minute=f"{tag}minute:{account_id}",
        open=f"{tag}open:{account_id}",
        deadlines=f"{tag}deadlines",
        stream=f"{tag}usage",
        epoch=f"{tag}epoch",
        leases=f"{tag}lease:{account_id}",
        quotes=f"{tag}quotes:{account_id}",
        quota_prefix=f"{tag}period:{account_id}:",
        budget_prefix=f"{tag}window:",
        mark_prefix=f"{tag}idem:{account_id}:",
    )


@lru_cache(maxsize=100_000)
def shard_of(account_id: str) -> int:
    """Return the shard that an account belongs to, for good."""
    return zlib.crc32(account_id.encode()) % SHARDS


def shard_tag(shard: int) -> str:
    """Return the prefix of every key of a shard."""
    return f"tp:{{{shard:02d}}}:"
