"""What a process puts back into a meter that may have lost its data: its open calls, and what it settled lately.

The ledger has everything older. What it has not, and no process remembers any more, is lost with the meter's disk.
"""

from collections.abc import Callable, Collection, Iterable

import orjson

from billing.ledger import known_calls
from gateway.admission import Hold, hold_again
from gateway.counters import Counters, MeterUnavailable, Settlement
from gateway.meter_keys import shard_of
from gateway.settlement import Settler
from gateway.spool import Spool
from gateway.threads import ask_ledger

_CHARGED = ("final", "late")
_BATCH = 1_000


class Restorer:
    """Puts back what belongs to some shards."""

    def __init__(
        self, counters: Counters, settler: Settler, spool: Spool, open_holds: Callable[[], Iterable[Hold]]
    ) -> None:
        self._counters = counters
        self._settler = settler
        self._spool = spool
        self._open_holds = open_holds
        self._away: set[int] = set()

    async def put_back(self, shards: Collection[int]) -> None:
        """Put back this process's part. Repeatable. MeterUnavailable if the meter went away again."""
        for hold in list(self._open_holds()):
            if shard_of(hold.caller.account_id) in shards:
                await hold_again(hold, self._counters.for_restoring())
        lately = [line for line in self._settler.lately if shard_of(line.account_id) in shards]
        for start in range(0, len(lately), _BATCH):
            await self.enter(lately[start : start + _BATCH])
        await self._empty_spool(shards)

    async def empty_spool(self) -> int:
        """Enter what waits on disk; return how many calls that were. MeterUnavailable if some must wait on."""
        return await self._spool.replay(self.enter)

    async def enter(self, settlements: list[Settlement]) -> None:
        """Settle calls that may be settled already, each once. MeterUnavailable if not all could be.

        The meter knows what it settled in the last hour, but a wiped one knows nothing: so the ledger is asked first.
        """
        known = await ask_ledger(known_calls, [line.request_id for line in settlements])
        failure = None
        for line in settlements:
            kind = known.get(line.request_id)
            try:
                if kind not in _CHARGED:
                    await self._counters.settle(line if kind is None else _as_late(line))
            except MeterUnavailable as away:  # of a cluster perhaps one node alone
                failure = away
                self._away.add(shard_of(line.account_id))
        if failure is not None:
            raise failure

    async def _empty_spool(self, shards: Collection[int]) -> None:
        """The same, where only these shards must not be left out."""
        self._away.clear()
        try:
            await self.empty_spool()
        except MeterUnavailable:
            if self._away & set(shards):
                raise


def _as_late(line: Settlement) -> Settlement:
    """The ledger has the call as abandoned, which the meter may have forgotten: its charge is a second record."""
    report = orjson.dumps(orjson.loads(line.report) | {"kind": "late"}).decode()
    return line._replace(report=report)
