"""Who may open a screen: signed in, a member of the current account, with a role that allows it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, Membership, User
from accounts.permissions import MAY, may

P = ParamSpec("P")

# What a refused person wanted, as the forbidden page says it: "You may not …".
DEEDS: dict[str, str | Promise] = {
    "see_usage": _("see the usage of this account"),
    "manage_keys": _("create, change or revoke the keys of this account"),
    "manage_webhooks": _("see or change the webhooks of this account"),
    "see_billing": _("see the billing of this account"),
    "manage_budgets": _("set the budgets of this account"),
    "manage_billing": _("change the plan or billing details of this account"),
    "manage_members": _("change who is in this account"),
    "manage_account": _("change the settings of this account"),
}


class MemberRequest(HttpRequest):
    """The request that a view behind `member_required` gets: both are known to be there."""

    user: User
    membership: Membership


Screen = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
MemberScreen = Callable[Concatenate[MemberRequest, P], HttpResponseBase]


def member_required(action: str = "") -> Callable[[MemberScreen[P]], Screen[P]]:
    """Let in members who may do `action` (accounts/permissions.py); without one, any member.

    Others get: sign-in (nobody signed in), 403 with the names of those who may (wrong role),
    403 with a way to open an account (member of nothing).
    """

    def decorate(view: MemberScreen[P]) -> Screen[P]:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            membership: Membership | None = request.membership  # type: ignore[attr-defined]
            if not membership:
                return render(request, "accounts/no_account.html", status=403)
            if action and not may(membership.role, action):
                return forbidden(request, membership.account, action)
            return view(cast(MemberRequest, request), *args, **kwargs)

        return guarded

    return decorate


def forbidden(request: HttpRequest, account: Account, action: str) -> HttpResponse:
    """Answer 403 with a page that says what was refused and who in the account may do it."""
    context = {"deed": DEEDS[action], "helpers": who_may(account, action)}
    return render(request, "accounts/forbidden.html", context, status=403)


def who_may(account: Account, action: str) -> list[Membership]:
    """Return the members of `account` whose role allows `action`, longest in the account first."""
    roles = [role for role, actions in MAY.items() if action in actions]
    return list(Membership.objects.filter(account=account, role__in=roles).select_related("user"))
