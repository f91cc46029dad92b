"""`manage.py close_period`: the functions of billing/invoicing.py and payments.py, for people and scripts."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone, translation

from accounts.models import Account
from billing.aggregation import catch_up
from billing.due import accounts_to_close
from billing.invoicing import StatementError, close_period
from billing.models import Statement
from billing.payments import payment_provider
from billing.pdf import statement_pdf
from billing.period import BillingPeriod
from billing.wording import amount

WRONG_USAGE = 2

_HELP = """Close a billing period: freeze what each account owes and issue it. Run it as often as you like.

Examples:
  manage.py close_period                                   last month, every account that is not closed yet
  manage.py close_period 2026-10 --account a@example.com   one account
  manage.py close_period 2026-11 --until now --pdf out/    an interim statement of the running month

Exit code: 0 done, or nothing to do; 1 an account could not be closed; 2 wrong usage."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the command says about one statement."""

    account: str
    account_id: str
    period: str
    part: int
    number: str | None
    state: str
    total_minor: int
    currency: str
    lines: int
    new: bool

    @classmethod
    def of(cls, statement: Statement, new: bool) -> "Row":
        """Make the row of a statement; `new` if this run made it."""
        return cls(
            account=str(statement.account),
            account_id=str(statement.account_id),
            period=statement.period,
            part=statement.sequence,
            number=statement.number,
            state=statement.state,
            total_minor=statement.total_minor,
            currency=statement.currency,
            lines=statement.lines.count(),
            new=new,
        )


class Command(BaseCommand):
    """Closes a period for one account or for all, issues the statements, and prints what there is now."""

    help = _HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the help text's lines as they are."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the arguments."""
        parser.add_argument("period", nargs="?", help="YYYY-MM; last month if not given")
        parser.add_argument(
            "--account", default="all", help="id, a member's e-mail address, or all (default)"
        )
        parser.add_argument(
            "--until", help="close a part of a running period: now, or a time like 2026-11-15T00:00Z"
        )
        parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
        parser.add_argument(
            "--pdf", type=Path, metavar="DIR", help="write each statement's PDF into this folder"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. CommandError with the exit code that the help text promises."""
        period = _period(options["period"])
        until = _until(options["until"], period)
        catch_up()
        rows, failures = [], []
        for account in _accounts(options["account"], period):
            try:
                statement, new = _close(account, period, until)
            except StatementError as error:
                failures.append(str(error))
                continue
            if statement:
                rows.append(Row.of(statement, new))
                _write_pdf(statement, options["pdf"])
        self._print(rows, period, options["json"])
        if failures:
            raise CommandError("\n".join(failures), returncode=1)

    def _print(self, rows: Sequence[Row], period: BillingPeriod, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        elif rows:
            self.stdout.write("\n".join(_table(rows)))
        else:
            self.stdout.write(f"Nothing to close for {period}.")


def _period(text: str | None) -> BillingPeriod:
    if text is None:
        return BillingPeriod.containing(timezone.now()).previous
    try:
        return BillingPeriod.parse(text)
    except ValueError as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from error


def _until(text: str | None, period: BillingPeriod) -> datetime | None:
    """Read --until. CommandError if there is none for a running period, or one that does not fit it."""
    now = timezone.now()
    if text is None:
        if period.end > now:
            raise CommandError(
                f"{period} is still running until {period.end:%Y-%m-%d} (UTC). "
                "Add --until now for an interim statement, or wait.",
                returncode=WRONG_USAGE,
            )
        return None
    try:
        until = now if text == "now" else datetime.fromisoformat(text)
    except ValueError:
        until = None
    if until is None or until.tzinfo is None or not period.start < until <= min(period.end, now):
        raise CommandError(
            f"--until {text} does not fit. Write now, or a past time in {period} with its time zone, "
            f"such as {period.start:%Y-%m}-15T00:00Z.",
            returncode=WRONG_USAGE,
        )
    return until


def _accounts(text: str, period: BillingPeriod) -> Iterable[Account]:
    """Return the accounts meant. CommandError if there is none, or more than one with the same member."""
    if text == "all":
        return accounts_to_close(period)
    try:
        found = Account.objects.filter(pk=UUID(text))
    except ValueError:
        found = Account.objects.filter(memberships__user__email__iexact=text)
    accounts = list(found)
    if not accounts:
        raise CommandError(f"No account has the id or member {text}.", returncode=WRONG_USAGE)
    if len(accounts) > 1:
        ids = ", ".join(f"{account.pk} ({account})" for account in accounts)
        raise CommandError(
            f"{text} is a member of several accounts. Give one's id: {ids}.", returncode=WRONG_USAGE
        )
    return accounts


def _close(account: Account, period: BillingPeriod, until: datetime | None) -> tuple[Statement | None, bool]:
    """Close and issue; return the statement, and whether this run made it."""
    known = set(Statement.objects.filter(account=account, period=period.key).values_list("pk", flat=True))
    statement = close_period(account, period, until)
    if statement is None:
        return None, False
    return payment_provider().issue(statement), statement.pk not in known


def _write_pdf(statement: Statement, folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{statement.number}.pdf").write_bytes(statement_pdf(statement))
    except OSError as error:
        raise CommandError(f"Cannot write the PDF: {error}", returncode=1) from error


def _table(rows: Sequence[Row]) -> Iterable[str]:
    """Lay the rows out under their headings, money to the right."""
    with translation.override("en"):
        totals = [amount(row.total_minor, row.currency) for row in rows]
    cells = [("NUMBER", "ACCOUNT", "PERIOD", "PART", "STATE", "LINES", "TOTAL", "")]
    cells += [
        (
            row.number or "-",
            row.account,
            row.period,
            str(row.part),
            row.state,
            str(row.lines),
            total,
            _news(row),
        )
        for row, total in zip(rows, totals, strict=True)
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(8)]
    for line in cells:
        left = [cell.ljust(width) for cell, width in zip(line[:5], widths[:5], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[5:7], widths[5:7], strict=True)]
        yield "  ".join([*left, *right, line[7]]).rstrip()


def _news(row: Row) -> str:
    return "new" if row.new else "was there"
