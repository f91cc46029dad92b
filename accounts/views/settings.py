"""The screens of settings: a person's own, and those of the account."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.account_forms import AccountForm
from accounts.client_address import client_address
from accounts.decorators import MemberRequest, forbidden, member_required, who_may
from accounts.forms import SettingsForm
from accounts.models import User
from accounts.permissions import may


@login_required
@require_http_methods(["GET", "POST"])
def person_settings(request: HttpRequest) -> HttpResponse:
    """Ask for name and language; the language also goes into the cookie that picks it on every page."""
    assert isinstance(request.user, User)
    # The menu may have switched the language of this browser since: saving a name must not switch it back.
    spoken = {"language": get_language()}
    form = SettingsForm(request.POST or None, instance=request.user, initial=spoken)
    if request.method == "POST" and form.is_valid():
        user = form.save()
        with override(user.language):
            messages.success(request, _("Your settings are saved."))
        response = redirect("settings")
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            user.language,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.LANGUAGE_COOKIE_SECURE,
            samesite="Lax",
        )
        return response
    return render(request, "accounts/settings.html", {"form": form})


@require_http_methods(["GET", "POST"])
@member_required()
def account_settings(request: MemberRequest) -> HttpResponse:
    """The account's calendar and allow-lists; a warning where the reader's own address is not in the list."""
    account, here = request.membership.account, _address_of(request)
    form = AccountForm(request.POST or None, instance=account)
    may_manage = may(request.membership.role, "manage_account")
    if request.method == "POST":
        if not may_manage:
            return forbidden(request, account, "manage_account")
        if form.is_valid():
            form.save()
            messages.success(
                request, _("The account's settings are saved. They apply from the next call on.")
            )
            return redirect("account-settings")
        account.refresh_from_db()
    context = {
        "form": form,
        "may_manage": may_manage,
        "helpers": [] if may_manage else who_may(account, "manage_account"),
        "here": here,
        "outside": not account.restrictions.allows_address(here),
    }
    return render(request, "accounts/account_settings.html", context)


def _address_of(request: HttpRequest) -> str | None:
    """Where the reader is, as far as the operator's proxies tell it."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").encode("latin-1")
    return client_address(
        request.META.get("REMOTE_ADDR"), [forwarded] if forwarded else [], settings.TRUSTED_PROXIES
    )
