"""`manage.py rerate`: what an account's usage would have cost at other prices; with --write, the corrections."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from accounts.models import Account
from billing.management.accounts import WRONG_USAGE, account_of, period_of
from billing.models import UsagePeriod
from billing.other_prices import PriceBookError, read_price_book
from billing.period import BillingPeriod
from billing.pricebook import PriceBook
from billing.rerating import Row, compare, correct
from billing.wording import amount

_HELP = """Show what usage would have cost at other prices, by customer and line; write corrections with --write.

Examples:
  manage.py rerate --account a@example.com --period 2026-10 --price-book prices.json
  manage.py rerate --account all --period 2026-10 --price-book p123 --write

The price book is a file like billing/data/pricebook.json, a price version (p123), or a day whose prices to take.
Where an issued statement charged too much it becomes a credit note, else an adjustment on the next statement.
Events and statements are not touched, and running again with --write does nothing more.

Exit code: 0 done, or nothing differs; 2 wrong usage."""


class Command(BaseCommand):
    """Re-rates one account, or all with usage in the period."""

    help = _HELP

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the lines of the help as they are."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--account", required=True, help="an id, a member's e-mail address, or all")
        parser.add_argument("--period", required=True, help="YYYY-MM")
        parser.add_argument(
            "--price-book", required=True, metavar="FILE|VERSION|DAY", help="the other prices"
        )
        parser.add_argument(
            "--write", action="store_true", help="write the corrections (without it nothing is)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, print, and write if asked to."""
        period = period_of(options["period"])
        differs = False
        for account in _accounts(options["account"], period):
            book = _book(options["price_book"], account)
            rows = compare(account, period, book)
            differs = differs or bool(rows)
            self._show(account, rows)
            if rows and options["write"]:
                self._write(account, period, book)
        if not differs:
            self.stdout.write("Nothing differs.")
        elif not options["write"]:
            self.stdout.write("Nothing was written. Add --write to correct it.")

    def _show(self, account: Account, rows: Iterable[Row]) -> None:
        with translation.override("en"):
            for row in rows:
                model, unit, version = row.group
                figures = (row.standing_minor, row.target_minor, row.difference)
                stands, should, differs = (amount(minor, account.currency) for minor in figures)
                what = f"{model or 'other models'} {unit} p{version}" if version else model or "other models"
                self.stdout.write(f"{account}: {what}: {stands} -> {should} ({differs})")

    def _write(self, account: Account, period: BillingPeriod, book: PriceBook) -> None:
        wrote = correct(account, period, book, by="manage.py rerate")
        with translation.override("en"):
            for note in wrote.credit_notes:
                self.stdout.write(
                    f"{account}: {note.number} on {note.statement}: {amount(note.total_minor, note.currency)}"
                )
            for row in wrote.adjustments:
                self.stdout.write(
                    f"{account}: {amount(row.amount_minor, row.currency)} on the next statement"
                )


def _accounts(text: str, period: BillingPeriod) -> Iterable[Account]:
    if text != "all":
        return [account_of(text)]
    return Account.objects.filter(pk__in=UsagePeriod.objects.filter(period=period.key).values("account"))


def _book(text: str, account: Account) -> PriceBook:
    try:
        return read_price_book(text, account.currency)
    except PriceBookError as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from error
