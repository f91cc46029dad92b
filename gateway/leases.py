"""Allowances for a meter that is away: what a process may let through for an account until the meter is back.

Only plans that do not fail closed have them (`fails_closed` is False: Pro, Enterprise). While the meter answers, each
process asks it for one lease per account that called lately. It is granted only where it fits into the limits beside
everything that is used, held and leased, and stands apart from the counters: calls are admitted as if there were none.

    L calls = the least of METER_LEASE_CALLS, a minute's requests, 1 % of the period's calls (at least 1)
    L money = the least of METER_LEASE_MINOR_UNITS, 1 % of the credit, 1 % of each budget that stops the last caller

While the meter is away a call takes its hold from L and gives nothing back, so

    an account spends at most  processes x L  beyond its limits, however long the meter is away.

A lease ends LEASE_SECONDS after the last time that the meter granted it, in the meter and here.
"""

import os
import socket
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from billing.entitlements import BudgetLimit, Entitlements
from billing.money import from_minor
from billing.period import BillingPeriod
from gateway.admission import counted_at, new_request_id
from gateway.authentication import Caller
from gateway.counters import Counters
from gateway.limits import limits_of

LEASE_SECONDS = 300.0
RENEW_SECONDS = 15.0
ACTIVE_SECONDS = 300.0  # who has not called for so long has no lease
MOST_ACCOUNTS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """L: how many calls, and how much in nano-units of the account's currency."""

    calls: int
    nano: int


@dataclass(slots=True)
class _Lease:
    caller: Caller  # who called last
    called: float  # monotonic seconds, like the others
    asked: float = 0.0
    until: float = 0.0
    calls: int = 0
    nano: int = 0


def allowance_of(rights: Entitlements, budgets: Iterable[BudgetLimit] = ()) -> Allowance:
    """Return L for one account and process: the formula above. Nothing for a plan that fails closed."""
    if rights.fails_closed:
        return Allowance(0, 0)
    calls = [settings.METER_LEASE_CALLS]
    if rights.requests_per_minute is not None:
        calls.append(rights.requests_per_minute)
    if rights.calls_per_period is not None:
        calls.append(max(rights.calls_per_period // 100, 1))
    nano = [from_minor(settings.METER_LEASE_MINOR_UNITS, rights.currency)]
    if rights.spend_limit_nano is not None:
        nano.append(rights.spend_limit_nano // 100)
    nano += [budget.limit_nano // 100 for budget in budgets if budget.hard_stop]
    return Allowance(min(calls), min(nano))


class Leases:
    """The leases of this process."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._process = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._leases: dict[str, _Lease] = {}

    def note(self, caller: Caller) -> None:
        """Take note of a call that the meter admitted: its account shall have a lease."""
        lease = self._leases.get(caller.account_id)
        if lease is not None:
            lease.caller, lease.called = caller, time.monotonic()
        elif len(self._leases) < MOST_ACCOUNTS:
            self._leases[caller.account_id] = _Lease(caller, time.monotonic())

    def drop(self, account_id: str) -> None:
        """Take note that an account is at a limit: it has nothing left to live on."""
        self._leases.pop(account_id, None)

    def take(self, account_id: str, nano: int) -> bool:
        """Take one call of at most `nano` from the account's lease. False if there is not enough."""
        lease = self._leases.get(account_id)
        if lease is None or lease.until <= time.monotonic() or lease.calls < 1 or lease.nano < nano:
            return False
        lease.asked = 0.0  # a whole one is wanted as soon as the meter is back
        lease.calls -= 1
        lease.nano -= nano
        return True

    async def renew(self, busy: Collection[str]) -> None:
        """Ask the meter for the leases that are due, new and old. One that is not granted is gone.

        `busy` are accounts with calls on a lease that are not settled yet: theirs must be counted first.
        MeterUnavailable if the meter went away; what it granted before stands.
        """
        now = time.monotonic()
        for account_id, lease in list(self._leases.items()):
            if account_id in busy:
                continue
            if lease.called + ACTIVE_SECONDS < now:
                del self._leases[account_id]
            elif lease.asked + RENEW_SECONDS <= now:
                await self._ask(account_id, lease)

    async def _ask(self, account_id: str, lease: _Lease) -> None:
        rights, budgets = lease.caller.entitlements, lease.caller.budgets
        most = allowance_of(rights, budgets)
        period = BillingPeriod.containing(timezone.now()).key
        spends = [counted.spend for counted in counted_at(budgets, new_request_id())]
        asked = time.monotonic()
        granted = await self._counters.lease(
            self._process, account_id, period, limits_of(rights), spends, most.calls, most.nano, LEASE_SECONDS
        )
        lease.asked = asked
        lease.until = asked + LEASE_SECONDS if granted else 0.0
        lease.calls, lease.nano = most.calls, most.nano
