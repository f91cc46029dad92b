"""Moves the usage stream into the ledger and rolls it up, now."""

from argparse import ArgumentParser
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand

from billing.aggregation import catch_up
from gateway.ledger_writer import IDLE_MS, drain_usage, sweep_holds


class Command(BaseCommand):
    """`manage.py drain_usage`: what the worker does each second. Safe to run at any time, beside it too."""

    help = "Sweep dead holds, move the usage stream into the ledger, roll it up. Safe to run at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument(
            "--idle-ms",
            type=int,
            default=IDLE_MS,
            help="take over entries that another writer has held for this long (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and say what was moved."""
        swept = async_to_sync(sweep_holds)()
        moved = async_to_sync(drain_usage)(options["idle_ms"])
        rolled = catch_up()
        self.stdout.write(f"{swept} holds swept, {moved} usage events moved, {rolled} hours rolled up")
