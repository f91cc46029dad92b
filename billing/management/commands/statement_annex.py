"""`manage.py statement_annex`: every call of a statement as CSV, and whether it adds up to the lines."""

from argparse import ArgumentParser
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from billing.annex import header, pages
from billing.management.accounts import WRONG_USAGE
from billing.models import Statement


class Command(BaseCommand):
    """Writes the annex of one statement."""

    help = (
        "Write every call of a statement as CSV, exact to the nano-unit: manage.py statement_annex TP-2026-000012 "
        "--out annex.csv. Exit code: 0 done; 2 there is no such statement, or the file cannot be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("number", help="the statement's number")
        parser.add_argument("--out", type=Path, help="the file to write (default: standard output)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, page by page."""
        statement = Statement.objects.filter(number=options["number"]).first()
        if statement is None:
            raise CommandError(f"No statement has the number {options['number']}.", returncode=WRONG_USAGE)
        try:
            with options["out"].open("w") if options["out"] else nullcontext(self.stdout) as out:
                out.write(header(), **_as_it_is(out))
                for text in pages(statement):
                    out.write(text, **_as_it_is(out))
        except OSError as error:
            raise CommandError(f"Cannot write the annex: {error}", returncode=WRONG_USAGE) from error


def _as_it_is(out: Any) -> dict[str, Any]:
    """Django's own output adds a line's end otherwise."""
    return {"ending": ""} if isinstance(out, OutputWrapper) else {}
