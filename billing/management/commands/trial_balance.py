"""`manage.py trial_balance`: the sums of every ledger account, by currency."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from billing.journal import book_missing, trial_balance
from billing.wording import amount


class Command(BaseCommand):
    """Prints the trial balance."""

    help = (
        "Print debit and credit of every ledger account by currency; both must add up to the same. "
        "Exit code: 0 they do; 1 they do not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument(
            "--book-missing",
            action="store_true",
            help="first book statements from before there was a journal; needed once after an upgrade",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        if options["book_missing"]:
            self.stdout.write(f"{book_missing()} statements booked")
        sums: dict[str, tuple[int, int]] = {}
        with translation.override("en"):
            for currency, name, debit, credit in trial_balance():
                before = sums.get(currency, (0, 0))
                sums[currency] = (before[0] + debit, before[1] + credit)
                self._row(name.value, currency, debit, credit)
            for currency, (debit, credit) in sums.items():
                self._row("total", currency, debit, credit)
        if any(debit != credit for debit, credit in sums.values()):
            raise CommandError("Debit and credit differ.", returncode=1)

    def _row(self, name: str, currency: str, debit: int, credit: int) -> None:
        self.stdout.write(f"{name:<18}{amount(debit, currency):>18}{amount(credit, currency):>18}")
