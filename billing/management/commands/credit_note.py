"""`manage.py credit_note`: take back lines of an issued statement, or all of it. Shows first; --write acts."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from billing.credit_notes import PayBack, credit_statement
from billing.creditable import CreditNoteError, preview, read_lines
from billing.management.accounts import WRONG_USAGE
from billing.models import CreditNote, Statement
from billing.pdf import credit_note_pdf
from billing.wording import amount

_HELP = """Take back lines of an issued statement, or all that is left of it.

Examples:
  manage.py credit_note TP-2026-000012                              what it would come to
  manage.py credit_note TP-2026-000012 --lines 1=4.00 --reference ticket-77 --write
  manage.py credit_note TP-2026-000012 --reference ticket-78 --pay-back refund --write --pdf notes/

The same --reference makes one credit note, however often it is run.

Exit code: 0 done or shown; 1 it cannot be credited; 2 wrong usage."""


class Command(BaseCommand):
    """Credits one statement."""

    help = _HELP

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the lines of the help as they are."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("number", help="the statement's number")
        parser.add_argument("--lines", default="", help="position=amount, …; without it all that is left")
        parser.add_argument("--reason", choices=CreditNote.Reason.values, default=CreditNote.Reason.OTHER)
        parser.add_argument("--pay-back", choices=list(PayBack), default=PayBack.BALANCE)
        parser.add_argument("--note", default="", help="for the history")
        parser.add_argument("--reference", default="", help="what it is for; needed with --write")
        parser.add_argument("--write", action="store_true", help="issue it (without it nothing is written)")
        parser.add_argument("--pdf", type=Path, metavar="FOLDER", help="also write the PDF there")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show or issue."""
        statement = Statement.objects.filter(number=options["number"]).first()
        if statement is None:
            raise CommandError(f"No statement has the number {options['number']}.", returncode=WRONG_USAGE)
        if options["write"] and not options["reference"]:
            raise CommandError(
                "Give --reference, so that running again credits nothing twice.", returncode=WRONG_USAGE
            )
        try:
            asked = read_lines(statement, options["lines"])
            with translation.override("en"):
                if not options["write"]:
                    total = preview(statement, asked).total_minor
                    self.stdout.write(
                        f"It would come to {amount(total, statement.currency)}. Nothing was written."
                    )
                    return
            self._issue(statement, asked, options)
        except CreditNoteError as error:
            raise CommandError(str(error), returncode=1) from error

    def _issue(self, statement: Statement, asked: Any, options: dict[str, Any]) -> None:
        note = credit_statement(
            statement,
            asked,
            reason=CreditNote.Reason(options["reason"]),
            reference=options["reference"],
            pay_back=PayBack(options["pay_back"]),
            note=options["note"],
            by="manage.py credit_note",
        )
        with translation.override("en"):
            self.stdout.write(
                f"{note.number} on {statement.number}: {amount(note.total_minor, note.currency)}"
            )
        if folder := options["pdf"]:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{note.number}.pdf").write_bytes(credit_note_pdf(note))
