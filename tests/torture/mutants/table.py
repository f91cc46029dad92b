"""The mutants: what each breaks, how, and which run must notice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RACE = ("quota_race", "--rounds", "1", "--attempts", "600", "--quota", "300")
MODEL = ("quota_model", "--examples", "60", "--at-least", "0")
# Where a fault shows only after a story that few examples tell: 60 of them missed it with the seed 390075.
LONG_MODEL = ("quota_model", "--examples", "600", "--at-least", "0")
OUTAGE = ("redis_outage", "--rounds", "1", "--only", "gateway")


@dataclass(frozen=True)
class Mutant:
    """`edits`: file -> (text that must be there once, text in its place). `added`: file -> text at its end."""

    name: str
    breaks: str
    caught_by: Sequence[str]
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)


_CHECK_THEN_ACT = '''

_atomic = Counters.admit


async def _check_then_act(self, request_id, account_id, period, limits, nano, *rest, **more):  # type: ignore
    """Look whether the call fits, then take the hold without looking again."""
    from dataclasses import replace

    used = await self.usage_of(account_id, period.key)
    fits = limits.calls < 0 or used["calls"] + used["held_calls"] + 1 <= limits.calls
    fits = fits and (limits.spend_nano < 0 or used["nano"] + used["held_nano"] + nano <= limits.spend_nano)
    if fits:
        limits = replace(limits, calls=-1, spend_nano=-1)
    return await _atomic(self, request_id, account_id, period, limits, nano, *rest, **more)


Counters.admit = _check_then_act  # type: ignore
'''

_REPLY_BEFORE_SETTLE = '''

async def _settle_later(self, hold, outcome):  # type: ignore
    """Answer first, settle when there is time."""
    self._open.pop(hold.request_id, None)
    self._start(self.settler.settle(hold, outcome))
    return Receipt(0, hold.caller.entitlements.currency, outcome.served.pin.version_id)


Services.settle = _settle_later  # type: ignore
'''

MUTANTS = (
    Mutant(
        "check-then-act",
        "the limit is looked at in one step and the hold is taken in the next",
        RACE,
        added={"gateway/counters.py": _CHECK_THEN_ACT},
    ),
    Mutant(
        "no-sweep",
        "holds of dead processes are never ended",
        MODEL,
        edits={
            "gateway/lua/sweep.lua": (
                "local ended = {}\n",
                "local ended = {}\nif most then return ended end\n",
            )
        },
    ),
    Mutant(
        "hold-without-expiry",
        "an open call gets no deadline",
        MODEL,
        edits={"gateway/lua/admit.lua": ("call('ZADD', KEYS[4], 'LT', deadline, ARGV[3])", "")},
    ),
    Mutant(
        "reply-before-settle",
        "the answer leaves before its settlement is durable",
        OUTAGE,
        added={"gateway/services.py": _REPLY_BEFORE_SETTLE},
    ),
    Mutant(
        "late-redemption",
        "a quote that has expired and is not swept yet is redeemed all the same",
        MODEL,
        edits={"gateway/lua/redeem.lua": (" or tonumber(quote[3]) <= now", "")},
    ),
    Mutant(
        "failure-after-its-end",
        "a call that fails after its quote's end opens the quote again",
        LONG_MODEL,
        edits={"gateway/lua/reopen.lua": ("tonumber(quote[3]) <= now or ", "")},
    ),
    Mutant(
        "no-takeover",
        "a lost call whose key another has got is charged beside it, should it settle late",
        MODEL,
        edits={"gateway/lua/claim.lua": ("  redis.call('SET', old, 'done', 'PX', ARGV[4])\n", "")},
    ),
    Mutant(
        "no-idempotency",
        "a settlement that is sent twice counts twice",
        MODEL,
        edits={"gateway/lua/settle.lua": ("if state == 'done' then return 'DUP' end\n", "")},
    ),
)
