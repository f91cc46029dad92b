"""Brings the catalog in line with what Hugging Face's providers serve and ask."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway.models import CatalogChange
from gateway.sync.apply import TooManyGone, apply, summary
from gateway.sync.document import read_document, read_file
from gateway.sync.hub import Unreachable, fetch_document


class Command(BaseCommand):
    """`manage.py sync_catalog`: models, ways, status and prices; from the network or from a file."""

    help = "Bring models, providers, status and prices in line with Hugging Face. Twice changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--from-file", type=Path, metavar="F", help="apply a saved document, no network")
        parser.add_argument(
            "--save", type=Path, metavar="F", help="also write what was fetched, as a snapshot"
        )
        parser.add_argument("--json", action="store_true", help="print the changes as JSON")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, change nothing")
        parser.add_argument(
            "--force", action="store_true", help="apply even if most models would be deprecated"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, apply and say what changed."""
        try:
            if options["from_file"]:
                document = read_file(options["from_file"])
            else:
                document = read_document(_fetched(options["save"]))
            changes = apply(document, force=options["force"], dry_run=options["dry_run"])
        except (ValueError, OSError, TooManyGone) as failure:
            raise CommandError(str(failure)) from None
        except Unreachable as failure:
            raise CommandError(
                f"Hugging Face could not be read ({failure}). Nothing was changed; try again later, or use --from-file."
            ) from None
        for model_id, why in document.problems.items():
            self.stderr.write(f"left out {model_id}: {why}")
        if options["json"]:
            rows = [_as_json(change) for change in changes]
            self.stdout.write(
                json.dumps({"source": document.source, "models": len(document.models), "changes": rows})
            )
            return
        for change in changes:
            self.stdout.write(_as_line(change))
        self.stdout.write(f"{len(document.models)} models ({document.source}), {summary(changes)}")


def _fetched(save: Path | None) -> dict[str, Any]:
    raw = fetch_document()
    if save:
        dated = raw | {"source": f"snapshot {timezone.now():%Y-%m-%d}"}
        save.write_text(json.dumps(dated, indent=1, ensure_ascii=False) + "\n")
    return raw


def _as_json(change: CatalogChange) -> dict[str, str]:
    return {name: getattr(change, name) for name in ("model_id", "provider", "what", "before", "after")}


def _as_line(change: CatalogChange) -> str:
    by = f" @ {change.provider}" if change.provider else ""
    moved = " -> ".join(filter(None, (change.before, change.after)))
    return f"{change.what}: {change.model_id}{by}{' (' + moved + ')' if moved else ''}"
