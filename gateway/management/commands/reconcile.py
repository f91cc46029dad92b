"""`manage.py reconcile`: counters = ledger = totals = statements = provider's invoices = journal, or exit 1."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.models import Discrepancy, ReconciliationRun
from billing.money import to_nano
from billing.period import BillingPeriod
from billing.reconciliation import open_discrepancies
from gateway.counters import MeterUnavailable
from gateway.reconciling import reconcile_period

WRONG_USAGE = 2

_HELP = """Compare everything that must be equal, and list what nobody has closed yet.

Examples:
  manage.py reconcile                               the period of yesterday
  manage.py reconcile --date 2026-11-24             the period of that day
  manage.py reconcile --period 2026-10 --upstream-bill hf-router=1234.56

A difference stays open until somebody closes it with a note (admin, Discrepancies).

Exit code: 0 nothing is open; 1 something is; 2 wrong usage, or the meter is away."""


class Command(BaseCommand):
    """Reconciles one period, now. The same runs each night."""

    help = _HELP

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the lines of the help as they are."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--date", help="a day, YYYY-MM-DD: its period is compared")
        which.add_argument("--period", help="a period, YYYY-MM")
        parser.add_argument("--without-meter", action="store_true", help="leave the counters out")
        parser.add_argument(
            "--upstream-bill",
            action="append",
            default=[],
            metavar="UPSTREAM=USD",
            help="what an upstream billed for the period, in USD: compared with the recorded cost",
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare and print."""
        period = _period(options)
        bills = dict(map(_bill, options["upstream_bill"]))
        try:
            run = async_to_sync(reconcile_period)(period, bills, ask_meter=not options["without_meter"])
        except MeterUnavailable as away:
            raise CommandError(
                f"The meter is away ({away}). Start it, or leave it out: --without-meter.",
                returncode=WRONG_USAGE,
            ) from away
        rows = list(open_discrepancies())
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(run, rows)))
        else:
            self._print(run, rows)
        if rows:
            raise CommandError(f"{len(rows)} open: close each with a note in the admin.", returncode=1)

    def _print(self, run: ReconciliationRun, rows: list[Discrepancy]) -> None:
        self.stdout.write(f"Reconciliation of {run.period}: {run.found} differences")
        for check, count in run.compared.items():
            self.stdout.write(f"  {Discrepancy.Check(check).value:<12}{count:>9} compared")
        for row in rows:
            self.stdout.write(
                f"OPEN {row.check_name} {row.period} {row.subject}: "
                f"expected {row.expected}, found {row.found} {row.unit} ({row.difference:+d}). {row.detail}"
            )


def _as_json(run: ReconciliationRun, rows: list[Discrepancy]) -> dict[str, Any]:
    names = ("check_name", "period", "subject", "expected", "found", "unit", "detail")
    listed = [{name: getattr(row, name) for name in names} for row in rows]
    return {"period": run.period, "compared": run.compared, "found": run.found, "open": listed}


def _period(options: dict[str, Any]) -> BillingPeriod:
    try:
        if options["period"]:
            return BillingPeriod.parse(options["period"])
        if options["date"]:
            day = datetime.strptime(options["date"], "%Y-%m-%d").replace(tzinfo=UTC)
            return BillingPeriod.containing(day)
    except ValueError as error:
        raise CommandError(
            f"{error} Write the day as YYYY-MM-DD, the period as YYYY-MM.", returncode=WRONG_USAGE
        ) from error
    return BillingPeriod.containing(timezone.now() - timedelta(days=1))


def _bill(text: str) -> tuple[str, int]:
    name, _, amount = text.partition("=")
    try:
        return name, to_nano(Decimal(amount))
    except InvalidOperation as error:
        raise CommandError(
            f"Write --upstream-bill as hf-router=1234.56, not {text}.", returncode=WRONG_USAGE
        ) from error
