"""What commands about one account share: finding it, and refusing what is not there."""

from uuid import UUID

from django.core.management.base import CommandError

from accounts.models import Account
from billing.period import BillingPeriod

WRONG_USAGE = 2


def account_of(text: str) -> Account:
    """Return the account of an id or of a member's e-mail address. CommandError if there is none, or several."""
    try:
        found = Account.objects.filter(pk=UUID(text))
    except ValueError:
        found = Account.objects.filter(memberships__user__email__iexact=text)
    accounts = list(found)
    if len(accounts) == 1:
        return accounts[0]
    if not accounts:
        raise CommandError(f"No account has the id or member {text}.", returncode=WRONG_USAGE)
    ids = ", ".join(f"{account.pk} ({account})" for account in accounts)
    raise CommandError(
        f"{text} is a member of several accounts. Give one's id: {ids}.", returncode=WRONG_USAGE
    )


def period_of(text: str) -> BillingPeriod:
    """Return the period of a key. CommandError if it is none."""
    try:
        return BillingPeriod.parse(text)
    except ValueError as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from error
