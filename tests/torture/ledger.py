"""The Django side of a fault run: people and plans, and what meter and ledger say of them. Import it after
`django.setup()` only; see world.py."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.entitlements import entitlements_of
from billing.models import Plan, PlanVersion, UsageEvent
from billing.period import BillingPeriod
from gateway import counters, ledger_writer
from gateway.leases import allowance_of
from gateway.seeding import seed_catalog
from gateway.usage_stream import UsageStream
from tests.factories import Person, make_person

Result = TypeVar("Result")
# A disk that syncs for long must not look like a lost entry.
_METER_SECONDS = 20.0


def prepare() -> None:
    """Migrate and seed the database. Doing it again changes nothing."""
    call_command("migrate", verbosity=0, interactive=False)
    seed_catalog()


def make_plan(**limits: Any) -> str:
    """Write a plan with one version and return its slug. Without a limit that is named here there is none."""
    slug = f"torture-{uuid.uuid4().hex[:8]}"
    plan = Plan.objects.create(slug=slug, name=slug, position=90, by_agreement=True)
    PlanVersion.objects.create(plan=plan, number=1, **{"overage": True, "fails_closed": True} | limits)
    return slug


def make_people(count: int, plan: str) -> list[Person]:
    """Sign people up on a plan."""
    return [make_person(f"torture-{uuid.uuid4().hex[:12]}", plan) for _ in range(count)]


def period_now() -> BillingPeriod:
    """The billing period that calls fall into now."""
    return BillingPeriod.containing(timezone.now())


def with_meter(work: Callable[[counters.Counters, UsageStream], Awaitable[Result]]) -> Result:
    """Run async `work` on the meter, from outside the web processes."""

    async def run() -> Result:
        client = counters.connect(settings.METER_REDIS_URL, timeout=_METER_SECONDS)
        try:
            return await work(counters.Counters(client), UsageStream(client))
        finally:
            await client.aclose()

    return asyncio.run(run())


def used(person: Person) -> dict[str, int]:
    """What the meter counts for a person's account now: calls, nano, held_calls, held_nano."""
    period = period_now().key
    return with_meter(lambda meter, _: meter.usage_of(str(person.account.pk), period))


def open_holds() -> int:
    """How many holds are open in all shards."""
    return with_meter(lambda meter, _: meter.open_holds())


def drain() -> int:
    """Move the usage stream into the ledger, as the worker does; how many entries that were."""
    return asyncio.run(ledger_writer.drain_usage(idle_ms=0))


def sweep() -> int:
    """End the holds of dead processes, as the worker does; how many there were."""
    return asyncio.run(ledger_writer.sweep_holds())


def paid_bound(person: Person, processes: int) -> int:
    """How many calls of a paid account may pass while the meter is away: processes x L, as gateway/leases.py says."""
    return processes * allowance_of(entitlements_of(person.account)).calls


@dataclass(frozen=True)
class Row:
    """One row of the ledger."""

    request_id: str
    kind: str
    status: int
    nano: int


def rows(people: Iterable[Person]) -> list[Row]:
    """The ledger's rows of these people's accounts."""
    ids = [person.account.pk for person in people]
    found = UsageEvent.objects.filter(account__in=ids).values_list(
        "request_id", "kind", "status", "nano_cost"
    )
    rows = [Row(str(request_id), kind, status, nano) for request_id, kind, status, nano in found]
    connection.close()  # a run is long, and a fault run's database connection need not be
    return rows
