"""Finds the account that a signed-in person is working in."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from accounts.models import Membership

SESSION_KEY = "account_id"


def membership_of(request: HttpRequest) -> Membership | None:
    """Return the person's membership in the account chosen in the session, or in their first. None if none."""
    if not request.user.is_authenticated:
        return None
    memberships = Membership.objects.filter(user=request.user).select_related("account")
    chosen = request.session.get(SESSION_KEY)
    return (memberships.filter(account_id=chosen).first() if chosen else None) or memberships.first()


class CurrentAccountMiddleware:
    """Sets `request.membership`, looked up when first asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.membership = SimpleLazyObject(lambda: membership_of(request))  # type: ignore[attr-defined]
        return self.get_response(request)
