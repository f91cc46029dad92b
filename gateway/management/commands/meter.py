"""`manage.py meter`: how the meter is, and by how much an account may pass its limits while it is away."""

import json
from argparse import ArgumentParser
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Account
from billing.entitlements import budget_limits, entitlements_of
from billing.models import Budget
from gateway import counters
from gateway.counters import MeterUnavailable
from gateway.leases import allowance_of
from gateway.shards import Shards, ShardState
from gateway.usage_stream import UsageStream


class Command(BaseCommand):
    """One JSON line."""

    help = (
        "Print, as one JSON line, how the meter is (shards that are sound, usage that waits, open holds), and by how "
        "much an account passes its limits at most while the meter is away: processes x L. With --account it is that "
        "account's own bound, else the most for any. Exit code 2 if the meter is away; the bound is printed anyway."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many processes, whose bound."""
        parser.add_argument("--processes", type=int, default=1, help="web processes that run (default: 1)")
        parser.add_argument("--account", help="the id of an account whose own bound to print")

    def handle(self, **options: Any) -> None:
        """Print it."""
        bound = _bound(options["account"], options["processes"])
        try:
            state = async_to_sync(look)()
        except MeterUnavailable as failure:
            self.stdout.write(json.dumps({"meter": "away", "bound": bound}))
            raise CommandError(f"The meter is away: {failure}", returncode=2) from failure
        self.stdout.write(json.dumps(state | {"bound": bound}))


async def look() -> dict[str, Any]:
    """Return how the meter is. MeterUnavailable if a shard does not answer."""
    client = counters.connect(settings.METER_REDIS_URL, timeout=5.0)
    try:
        waiting = await UsageStream(client).backlog()
        holds = await counters.Counters(client).open_holds()
        states = await Shards(client).states()
    finally:
        await client.aclose()
    sound = sum(isinstance(state, ShardState) and state.is_sound for state in states)
    return {"meter": "ok", "sound_shards": sound, "waiting": waiting, "open_holds": holds}


def _bound(account_id: str | None, processes: int) -> dict[str, int]:
    """Return processes x L. CommandError if there is no such account."""
    if account_id is None:
        most = {"calls": settings.METER_LEASE_CALLS, "minor_units": settings.METER_LEASE_MINOR_UNITS}
        return {name: amount * processes for name, amount in most.items()}
    try:
        account = Account.objects.get(pk=account_id)
    except (Account.DoesNotExist, ValidationError) as failure:
        raise CommandError(f"There is no account {account_id}.", returncode=2) from failure
    budgets = budget_limits(Budget.objects.in_force().filter(account=account), account.time_zone)
    allowance = allowance_of(entitlements_of(account), budgets)
    return {"calls": allowance.calls * processes, "nano": allowance.nano * processes}
