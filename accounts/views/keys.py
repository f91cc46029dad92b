"""The screens of API keys: the list, making one (its secret is shown once), limiting and revoking one."""

import uuid

from django.contrib import messages
from django.db.models import F
from django.db.models.expressions import OrderBy
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.decorators import MemberRequest, member_required, who_may
from accounts.forms import KeyEditForm, KeyForm, RevokeForm
from accounts.keys import issue_key, revoke_key
from accounts.models import ApiKey
from accounts.once import first_time, new_token
from accounts.permissions import may

SORTS = ("name", "created_at", "last_used_at", "expires_at")


@require_GET
@member_required()
def key_list(request: MemberRequest) -> HttpResponse:
    """Every key of the account, sorted as `?sort=` says; members who may not manage keys see whom to ask."""
    keys = ApiKey.objects.filter(account=request.membership.account).order_by(
        *_order(request.GET.get("sort", ""))
    )
    may_manage = may(request.membership.role, "manage_keys")
    helpers = [] if may_manage else who_may(request.membership.account, "manage_keys")
    return render(request, "accounts/keys.html", {"keys": keys, "may_manage": may_manage, "helpers": helpers})


@never_cache  # sends no-store: the answer to a POST carries the secret
@require_http_methods(["GET", "POST"])
@member_required("manage_keys")
def key_create(request: MemberRequest) -> HttpResponse:
    """Ask for a name and an expiry; answer a valid POST with the secret, for the only time.

    There is no redirect after this POST, since the secret may exist in no other response. A reload that
    sends the form again makes no second key: the form's token works once.
    """
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not first_time(request):
            messages.info(request, _("That key was made already. Its secret cannot be shown again."))
            return redirect("keys")
        key, secret = issue_key(
            request.membership.account,
            form.cleaned_data["name"],
            created_by=request.user,
            expires_at=form.expires_at,
        )
        return render(request, "accounts/key_created.html", {"key": key, "secret": secret})
    return render(request, "accounts/key_create.html", {"form": form, "once": new_token()})


@require_http_methods(["GET", "POST"])
@member_required("manage_keys")
def key_edit(request: MemberRequest, key_id: uuid.UUID) -> HttpResponse:
    """Change what a key is called, until when it works, and what it may do. 404 for another account's key."""
    key = get_object_or_404(ApiKey, pk=key_id, account=request.membership.account)
    form = KeyEditForm(request.POST or None, instance=key)
    if request.method == "POST" and not key.revoked_at and form.is_valid():
        form.save()
        messages.success(request, _("“%(name)s” is saved. It applies within a second.") % {"name": key.name})
        return redirect("key", key.pk)
    key.refresh_from_db()
    return render(request, "accounts/key_edit.html", {"form": form, "key": key})


@require_http_methods(["GET", "POST"])
@member_required("manage_keys")
def key_revoke(request: MemberRequest, key_id: uuid.UUID) -> HttpResponse:
    """Revoke one key of the account after its name was typed. 404 for another account's key."""
    key = get_object_or_404(ApiKey, pk=key_id, account=request.membership.account)
    if key.revoked_at:
        messages.info(request, _("“%(name)s” is revoked already.") % {"name": key.name})
        return redirect("keys")
    form = RevokeForm(key, request.POST or None)
    if request.method == "POST" and form.is_valid():
        revoke_key(key)
        messages.success(request, _("“%(name)s” is revoked. Calls with it now get 401.") % {"name": key.name})
        return redirect("keys")
    return render(request, "accounts/key_revoke.html", {"form": form, "key": key})


def _order(sort: str) -> list[OrderBy | str]:
    """Read `name` or `-name` and the like; anything else means newest first. Keys without a date come last."""
    field = F(sort.removeprefix("-"))
    if sort.removeprefix("-") not in SORTS:
        return ["-created_at"]
    return [
        field.desc(nulls_last=True) if sort.startswith("-") else field.asc(nulls_last=True),
        "-created_at",
    ]
