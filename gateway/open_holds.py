"""The holds of the calls that run in this process, and the heartbeat that keeps them: a hold without one expires.

So a hold can end soon after its process died, however long calls may take.
"""

import asyncio
import time

import structlog
from redis.exceptions import RedisError

from gateway.admission import Hold
from gateway.counters import Counters
from gateway.meter_watch import MeterWatch
from gateway.upstream import TOTAL_SECONDS

BEATS_A_HOLD = 3  # so that a hold outlives two heartbeats that were lost
_log = structlog.get_logger(__name__)


class OpenHolds(dict[str, Hold]):
    """Holds by request id. A dict itself, since every call enters and leaves it."""

    def __init__(self, counters: Counters, watch: MeterWatch, hold_seconds: float) -> None:
        super().__init__()
        self._counters = counters
        self._watch = watch
        self._beat_seconds = hold_seconds / BEATS_A_HOLD

    async def keep_alive(self) -> None:
        """Extend every hold, again and again. Runs for as long as the process serves."""
        while True:
            await asyncio.sleep(self._beat_seconds)
            self._let_go_of_the_lost()
            holds = [hold for hold in list(self.values()) if self._watch.is_ready(hold.caller.account_id)]
            extended = [self._counters.extend(hold.caller.account_id, hold.request_id) for hold in holds]
            for answer in await asyncio.gather(*extended, return_exceptions=True):
                if isinstance(answer, RedisError):
                    _log.warning("heartbeat lost", error=str(answer))

    def _let_go_of_the_lost(self) -> None:
        """A hold older than any call can be was lost by a fault of ours: the sweep shall have it."""
        oldest = time.monotonic() - TOTAL_SECONDS - self._beat_seconds
        for request_id in [rid for rid, hold in self.items() if hold.started < oldest]:
            _log.error("hold lost", request_id=request_id)
            del self[request_id]
