"""`manage.py sync_plans`: the function of billing/collection/plans.py, for people and scripts."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing.collection.plans import sync_plans
from billing.payments.provider import PaymentError, ProviderAway

_HELP = """Make the plans' products and prices at Stripe and check the ones that are there. Run it as often as you like.

Exit code: 0 all is as it should be; 1 a price was edited at Stripe; 2 could not run."""


class Command(BaseCommand):
    """Prints a line for each price."""

    help = _HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the help text's lines as they are."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. CommandError with the exit code that the help text promises."""
        if not settings.STRIPE_SECRET_KEY:
            raise CommandError("Stripe is not configured: set STRIPE_SECRET_KEY.", returncode=2)
        try:
            prices = sync_plans()
        except (PaymentError, ProviderAway) as error:
            raise CommandError(f"Stripe did not do it: {error}", returncode=2) from error
        for price in prices:
            self.stdout.write(f"{price.lookup_key:40} {price.pk:34} {price.problem or 'as it should be'}")
        if any(price.problem for price in prices):
            raise CommandError("A price was edited at Stripe and is not sold.", returncode=1)
