"""What every template knows about the signed-in person's account."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.models import Account, Membership


def current_account(request: HttpRequest) -> dict[str, Any]:
    """Add `membership`, `account`, `accounts` (to switch between) and `LOCAL` to the context."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"LOCAL": settings.LOCAL}
    membership: Membership | None = request.membership  # type: ignore[attr-defined]
    return {
        "LOCAL": settings.LOCAL,
        "membership": membership,
        "account": membership.account if membership else None,
        "accounts": Account.objects.filter(users=request.user),
    }
