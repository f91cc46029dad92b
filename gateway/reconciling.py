"""The meter's side of reconciliation, handed to billing as plain values.

With calls going on, counters and ledger never stand still together. Both only grow, so this order proves them
equal without stopping anybody:
1 read the counters
2 move what waits into the ledger, read the ledger    everything counted in 1 is in it
3 read the counters again                             everything in the ledger is counted in them
So first <= ledger <= last. Where that fails, a writer beside us may hold entries that it has not committed:
such accounts are read again, TRIES times.
"""

import asyncio
from collections.abc import Mapping, Sequence

from django.conf import settings

from billing.aggregation import catch_up
from billing.ledger import accounts_of, ledger_totals
from billing.models import ReconciliationRun
from billing.period import BillingPeriod
from billing.reconciliation import CounterReading, Evidence, reconcile
from gateway import counters
from gateway.ledger_writer import drain_usage
from gateway.threads import in_thread

TRIES = 3
WAIT_SECONDS = 2.0


async def reconcile_period(
    period: BillingPeriod, upstream_bills: Mapping[str, int] | None = None, *, ask_meter: bool = True
) -> ReconciliationRun:
    """Compare everything of a period, the meter's counters among it, unless it is not to be asked."""
    readings: Sequence[CounterReading] = await read_counters(period) if ask_meter else ()
    evidence = Evidence(readings, upstream_bills or {})
    await in_thread(catch_up)
    return await in_thread(reconcile, period, evidence)


async def read_counters(period: BillingPeriod) -> list[CounterReading]:
    """Read the counters of every account with usage in a period. Those without counters are left out."""
    client = counters.connect(settings.METER_REDIS_URL, timeout=5.0)
    meter = counters.Counters(client)
    try:
        await drain_usage()
        await in_thread(catch_up)
        readings = await _read(meter, period, await in_thread(accounts_of, period.key))
        for _ in range(TRIES - 1):
            off = [reading.account_id for reading in readings if not reading.agrees]
            if not off:
                break
            await asyncio.sleep(WAIT_SECONDS)
            agreed = [reading for reading in readings if reading.agrees]
            readings = agreed + await _read(meter, period, off)
        return readings
    finally:
        await client.aclose()


async def _read(
    meter: counters.Counters, period: BillingPeriod, accounts: Sequence[str]
) -> list[CounterReading]:
    first = {account: await meter.settled_of(account, period.key) for account in accounts}
    await drain_usage()
    ledger = {account: await in_thread(ledger_totals, account, period.key) for account in accounts}
    readings = []
    for account in accounts:
        before, after = first[account], await meter.settled_of(account, period.key)
        if before and after:
            readings.append(CounterReading(account, before, ledger[account], after))
    return readings
