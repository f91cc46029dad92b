"""What sign-up does beyond allauth's own work: everybody who signs up owns a personal account."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.models import User
from accounts.signup import open_personal_account


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Hooks the making of the account into allauth's sign-up."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Write the user and their personal account in one transaction."""
        user.language = get_language() or settings.LANGUAGE_CODE
        with transaction.atomic():
            saved: User = super().save_user(request, user, form, commit)
            if commit:
                open_personal_account(saved, form.cleaned_data["currency"])
        return saved
