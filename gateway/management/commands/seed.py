"""Writes what an installation starts with."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from gateway.seeding import seed_catalog, seed_demo


class Command(BaseCommand):
    """`manage.py seed`: plans, prices and models; at home also the demo people. Twice changes nothing."""

    help = (
        "Write plans, prices and models; with TURNPIKE_LOCAL=1 also demo people with keys. Safe to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--json", action="store_true", help="print the demo people and keys as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed and say what there is."""
        seed_catalog()
        demo = seed_demo() if settings.LOCAL else None
        if options["json"]:
            self.stdout.write(json.dumps(demo.as_json() if demo else {}))
            return
        self.stdout.write("Plans, prices and models are there.")
        if demo:
            self.stdout.write("Demo sign-ins and keys: var/demo.json")
