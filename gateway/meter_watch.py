"""Watches the meter: does it answer, is it the one that we know, has it lost its data? Calls ask here first.

A shard is *sound* when its epoch says that its counters belong to this run of this server. One that is not, since the
server restarted, was replaced or was wiped, admits nobody until its counters come from the ledger again:

1 it is found out                no call of this process is admitted; what ends meanwhile goes to the spool
2 what this process knows is put back: open calls' holds, settlements that may be lost
                                 if we die here: our calls are lost with us, as at any kill; the others' are put back
3 the others do the same         an empty shard waits for GRACE_SECONDS: by then every process has found out
4 counters are forgotten         if we die here: the next process does it again
5 the epoch is written           once, whoever comes first. From here on each account's first call rebuilds its counters

A meter that does not answer is asked again each AWAY_SECONDS; nobody waits for it meanwhile.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Collection

import structlog
from redis.exceptions import ConnectionError as Disconnected

from gateway.counters import Counters, MeterUnavailable
from gateway.errors import Refusal
from gateway.meter_keys import SHARDS, shard_of
from gateway.shards import Shards, ShardState

LOOK_SECONDS = 0.5
AWAY_SECONDS = 0.1
GRACE_SECONDS = 2.0  # longer than any process takes to look, with a look that timed out in between
_log = structlog.get_logger(__name__)

PutBack = Callable[[Collection[int]], Awaitable[None]]


class MeterWatch:
    """What one process knows of the meter, shard by shard."""

    def __init__(self, counters: Counters, put_back: PutBack) -> None:
        self._counters = counters
        self._shards = Shards(counters.client)
        self._put_back = put_back
        self._ready = [False] * SHARDS
        self._waiting = [0] * SHARDS
        self._run_ids: dict[str, str] = {}  # host:port -> the server that answered there
        self._unsound_since: dict[int, float] = {}
        self._to_put_back: set[int] = set()
        self._answers = False
        self._wake = asyncio.Event()

    def is_ready(self, account_id: str) -> bool:
        """Tell whether an account's counters answered, and were sound, when last heard of."""
        return self._ready[shard_of(account_id)]

    def waiting(self, account_id: str) -> int:
        """How many reports waited for the ledger in an account's shard when last looked, LOOK_SECONDS ago at most."""
        return self._waiting[shard_of(account_id)]

    @property
    def all_ready(self) -> bool:
        """Every shard answers and is sound."""
        return all(self._ready)

    @property
    def any_ready(self) -> bool:
        """Some shard is."""
        return any(self._ready)

    @property
    def any_answers(self) -> bool:
        """Some shard answered the last look, sound or not."""
        return self._answers

    def failed(self, account_id: str) -> None:
        """Take note that the meter did not answer a call of this account."""
        self._ready[shard_of(account_id)] = False
        self._wake.set()

    def greet(self, place: str, run_id: str) -> None:
        """Hear which server a new connection leads to. RedisError if it is not the one that was there before: what
        was to be asked of that one is not asked of this."""
        known, self._run_ids[place] = self._run_ids.get(place), run_id
        if known not in (None, run_id):
            for shard in range(SHARDS):
                self._close(shard, f"another server at {place}")
            self._wake.set()
            raise Disconnected(f"{place} is another server now.")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self._wake.clear()
            await self.look()
            seconds = LOOK_SECONDS if self.all_ready else AWAY_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
                await asyncio.sleep(AWAY_SECONDS)  # a call has just failed: do not ask in the same moment
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Look at every shard once, and do what step of a rebuild is due."""
        states = await self._shards.states()
        sound = {shard: state for shard, state in enumerate(states) if isinstance(state, ShardState)}
        self._answers = bool(sound)
        for shard in set(range(SHARDS)) - sound.keys():
            self._close(shard, str(states[shard]))
        for shard, state in sound.items():
            self._waiting[shard] = state.waiting
            self._compare(shard, state)
        try:
            if due := self._to_put_back & sound.keys():
                await self._put_back(due)
                self._to_put_back -= due
            for shard, state in sound.items():
                await self._adopt(shard, state)
        except (MeterUnavailable, Refusal) as failure:  # it went away again, or the ledger is away: next time
            _log.warning("meter not rebuilt yet", error=str(failure))

    def _compare(self, shard: int, state: ShardState) -> None:
        """Close a shard that is not the one that we know. A first look at a sound one finds nothing to put back."""
        known = self._counters.epochs[shard]
        if state.is_sound and state.epoch == known:
            return
        self._close(shard, "another server, or its data is gone")
        if shard not in self._unsound_since:
            self._unsound_since[shard] = time.monotonic()
            if known or not state.is_sound:
                self._to_put_back.add(shard)

    async def _adopt(self, shard: int, state: ShardState) -> None:
        """Open a shard that is sound; declare one sound whose time has come."""
        epoch = state.epoch
        if not state.is_sound:
            if not epoch and time.monotonic() - self._unsound_since[shard] < GRACE_SECONDS:
                return
            await self._shards.forget_counters(shard)
            epoch = f"{state.run_id}:{uuid.uuid4().hex}"
            if not await self._shards.declare_sound(shard, state.epoch, epoch):
                return  # somebody was faster: the next look adopts theirs
            _log.warning("counters of a shard are built anew", shard=shard, was_empty=not state.epoch)
        self._unsound_since.pop(shard, None)
        self._counters.epochs[shard] = epoch
        self._ready[shard] = True

    def _close(self, shard: int, why: str) -> None:
        if self._ready[shard]:
            self._ready[shard] = False
            _log.warning("meter not usable", shard=shard, why=why)
