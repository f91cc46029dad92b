"""Opening accounts: a personal one for each person, organizations on request."""

from django.db import transaction

from accounts.currencies import DEFAULT_CURRENCY
from accounts.models import Account, Membership, Role, User


@transaction.atomic
def open_personal_account(user: User, currency: str = DEFAULT_CURRENCY) -> Account:
    """Write the user's personal account, owned by them, and return it; return the one they have, if any.

    An account is kept in one currency from the beginning: counters and ledger carry no other.
    """
    existing = Account.objects.filter(kind=Account.Kind.PERSONAL, memberships__user=user).first()
    return existing or _open(user, user.get_full_name(), Account.Kind.PERSONAL, currency)


@transaction.atomic
def open_organization(owner: User, name: str, currency: str = DEFAULT_CURRENCY) -> Account:
    """Write an organization with its first owner and return it."""
    return _open(owner, name, Account.Kind.ORGANIZATION, currency)


def _open(owner: User, name: str, kind: Account.Kind, currency: str) -> Account:
    account = Account.objects.create(name=name, kind=kind, currency=currency, billing_email=owner.email)
    Membership.objects.create(account=account, user=owner, role=Role.OWNER)
    return account
