"""Suspending an account: every call of it is refused with `account_suspended` until it is reactivated."""

from django.db import transaction
from django.utils import timezone

from accounts.models import Account


@transaction.atomic
def suspend_account(account: Account, reason: str) -> Account:
    """Write the suspension with its reason and return the account. Suspending twice keeps the first moment.

    ValueError without a reason: whoever looks later must be able to tell why.
    """
    if not reason.strip():
        raise ValueError("Say why the account is suspended.")
    account = _locked(account)
    if account.suspended_at is None:
        account.suspended_at, account.suspension_reason = timezone.now(), reason.strip()
        account.save(
            update_fields=["suspended_at", "suspension_reason"]
        )  # a signal tells the gateway at once
    return account


@transaction.atomic
def reactivate_account(account: Account) -> Account:
    """Write the end of the suspension and return the account. The reason stays in the admin's history."""
    account = _locked(account)
    account.suspended_at, account.suspension_reason = None, ""
    account.save(update_fields=["suspended_at", "suspension_reason"])
    return account


def _locked(account: Account) -> Account:
    """Read the account anew and let one change of it happen at a time."""
    return Account.objects.select_for_update(no_key=True).get(pk=account.pk)
