"""One cent, or one nano-unit, off on any side turns reconciliation red, with Stripe as the provider: one row, in the
admin and from `manage.py reconcile --date`, until somebody closes it. Without drift nothing is open."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from uuid import UUID

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from billing.invoicing import close_period
from billing.ledger import ledger_totals
from billing.models import Discrepancy, Statement, Subscription, UsageHour, UsagePeriod
from billing.partitions import ensure_partitions
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricing import Unit
from gateway.meter_keys import keys_of
from tests.browsing import staff_browser, text_of
from tests.factories import Person, make_report, record_calls
from tests.fakes.stripe.process import SECRET_KEY, FakeStripe

# A month that no other test uses: what they break on purpose must not be counted here.
PERIOD = BillingPeriod.containing(timezone.now()).previous.previous.previous
DAY = f"{PERIOD.key}-15"


@dataclass
class Books:
    """Alice's month, billed on Stripe's invoice, on every side."""

    fake: FakeStripe
    meter: "redis.Redis"
    alice: Person
    statement: Statement

    def stripe(self, by: int) -> None:
        """Somebody edits the invoice at Stripe."""
        (invoice,) = self.fake.objects("invoice")
        self.fake.control("edit", id=invoice["id"], fields={"subtotal": invoice["subtotal"] + by})

    def line(self, by: int) -> None:
        """Somebody edits a line of the statement."""
        self._sql(
            "billing_statementline SET amount_minor = amount_minor", "statement_id", self.statement.pk, by
        )

    def ledger(self, by: int) -> None:
        """Somebody edits a row of the ledger."""
        self._sql("billing_usageevent SET nano_cost = nano_cost", "account_id", self.alice.account.pk, by)

    def roll_up(self, by: int) -> None:
        """The period's total says something else."""
        rows = UsagePeriod.objects.filter(account=self.alice.account)
        rows.update(nano_cost=rows.get().nano_cost + by)

    def hour(self, by: int) -> None:
        """An hour's total says something else."""
        rows = UsageHour.objects.filter(account=self.alice.account)
        rows.update(nano_cost=rows.get().nano_cost + by)

    def counter(self, by: int) -> None:
        """The meter counts something else."""
        self.meter.hincrby(keys_of(str(self.alice.account.pk)).quota(PERIOD.key), "nano", by)

    def _sql(self, change: str, where: str, key: UUID, by: int) -> None:
        """Do what nobody may: the guards are off, as for somebody with the database's password."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(f"UPDATE {change} + %s WHERE {where} = %s", [by, key])
            assert cursor.rowcount == 1


@pytest.fixture
def books(
    live_database: dict[str, str],
    person: Callable[..., Person],
    start_fake_stripe: Callable[..., FakeStripe],
    settings: Settings,
    meter: "redis.Redis",
) -> Iterator[Books]:
    """Alice is on Enterprise: her month of one call is an invoice at Stripe, and counted in the meter."""
    fake = start_fake_stripe()
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = SECRET_KEY, fake.url
    ensure_partitions([PERIOD])
    Discrepancy.objects.all().delete()  # rows that stay
    alice = person("Alice", "enterprise")
    Subscription.objects.filter(account=alice.account).update(started_at=PERIOD.start)
    record_calls(make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 150_000_000}))
    statement = close_period(alice.account, PERIOD)
    assert statement
    issued = payment_provider().issue(statement)
    calls, nano = ledger_totals(str(alice.account.pk), PERIOD.key)
    assert issued.state == "finalized"
    assert nano == 3_000_000_000
    counters = keys_of(str(alice.account.pk)).quota(PERIOD.key)
    meter.hset(
        counters, mapping={"seeded": 1, "calls": calls, "nano": nano}
    )  # Lua would let it expire: it is over
    yield Books(fake, meter, alice, issued)
    meter.delete(counters)
    Discrepancy.objects.all().delete()


def reconciled() -> tuple[int, str]:
    """Run the command; return its exit code and what it said."""
    said = StringIO()
    try:
        call_command("reconcile", "--date", DAY, stdout=said)
    except CommandError as red:
        return red.returncode, said.getvalue()
    return 0, said.getvalue()


DRIFTS = [
    ("stripe", 1, "provider"),
    ("line", 1, "totals"),
    ("ledger", 1, "rollups"),
    ("roll_up", 1, "rollups"),
    ("hour", 1, "rollups"),
    ("counter", 1, "counters"),
    ("stripe", -1, "provider"),
    ("counter", -1, "counters"),
]


def test_a_cent_or_a_nano_unit_anywhere_is_one_row_that_olivia_must_close(books: Books) -> None:
    code, said = reconciled()
    assert (code, Discrepancy.objects.count()) == (0, 0), said
    asked = {"counters", "rollups", "statements", "totals", "provider"}
    compared = dict(re.findall(r"(\w+) +(\d+) compared", said))
    assert asked <= {name for name, count in compared.items() if int(count)}, said
    olivia = staff_browser(f"Olivia-{books.alice.account.pk}", is_superuser=True)
    for side, by, check in DRIFTS:
        _drift_is_found_and_closed(books, olivia, side, by, check)


def _drift_is_found_and_closed(books: Books, olivia: Client, side: str, by: int, check: str) -> None:
    getattr(books, side)(by)
    code, said = reconciled()
    (row,) = Discrepancy.objects.filter(closed_at=None)
    assert (code, row.check_name, abs(row.difference)) == (1, check, 1), (side, said)
    assert f"OPEN {check} {PERIOD.key} {row.subject}" in said

    getattr(books, side)(-by)  # mended; but somebody has to say what it was
    assert reconciled()[0] == 1
    assert row.subject in text_of(olivia.get("/admin/billing/discrepancy/?open=yes"))
    form = {"_form_submitted": "1", "reason": "A test wrote this."}
    olivia.post(f"/admin/billing/discrepancy/{row.pk}/close/", form)
    assert reconciled()[0] == 0
    assert not Discrepancy.objects.filter(closed_at=None).exists()
