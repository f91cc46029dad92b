"""API keys, masked: the secret is nowhere, and its digest is not shown either. Staff can revoke one, for good."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ReadOnlyAdmin, ReadOnlyTabular, ReasonDialog, action, display, tag
from accounts.keys import revoke_key
from accounts.models import ApiKey


class KeyInline(ReadOnlyTabular):
    """The account's keys; revoked on the key's own page."""

    model = ApiKey
    fields = ("name", "masked_key", "state", "created_at", "last_used_at", "expires_at")
    tab = True

    @display(description=_("Key"))
    def masked_key(self, key: ApiKey) -> str:
        """Prefix and last four."""
        return key.masked

    @display(description=_("Status"))
    def state(self, key: ApiKey) -> str:
        """Whether it opens the door."""
        return key_state(key)


def key_state(key: ApiKey) -> str:
    """Whether the key opens the door."""
    states = {
        "active": (gettext("Active"), "success"),
        "expired": (gettext("Expired"), "warning"),
        "revoked": (gettext("Revoked"), "danger"),
    }
    return tag(*states[key.status])


class KeyStateFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Usable, expired or revoked."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The states of a key."""
        return [("active", _("Active")), ("expired", _("Expired")), ("revoked", _("Revoked"))]

    def queryset(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Keep the keys in the chosen state."""
        now = timezone.now()
        chosen = {
            "active": Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now)),
            "expired": Q(revoked_at=None, expires_at__lte=now),
            "revoked": Q(revoked_at__isnull=False),
        }
        return keys.filter(chosen.get(str(self.value()), Q()))


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys, masked. Members make them; staff can revoke one, for good."""

    list_display = (
        "name",
        "masked_key",
        "account",
        "state",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
    )
    list_filter = (("account", AutocompleteSelectFilter), KeyStateFilter)
    list_select_related = ("account", "created_by")
    search_fields = ("name", "last4", "account__name")
    search_help_text = _("Name, last four characters, or account")
    date_hierarchy = "created_at"
    fields = (*list_display, "allowed_models", "allowed_tasks", "allowed_networks", "revoked_at")
    actions_detail = actions_row = ("revoke",)

    @display(description=_("Key"), ordering="last4")
    def masked_key(self, key: ApiKey) -> str:
        """Prefix and last four."""
        return key.masked

    @display(description=_("Status"))
    def state(self, key: ApiKey) -> str:
        """Whether it opens the door."""
        return key_state(key)

    @action(
        description=_("Revoke"),
        icon="key_off",
        permissions=["revoke"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Revoke this key for good?"),
            "description": _(
                "Calls with it are refused from now on. It cannot be given back; a new key can be made."
            ),
            "form_class": ReasonDialog,
            "form_submit_text": _("Revoke key"),
        },
    )
    def revoke(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Revoke the key for the reason given. Doing it twice keeps the first moment."""
        key = revoke_key(get_object_or_404(ApiKey, pk=object_id))
        logged = f"Revoked: {form.cleaned_data['reason']}"
        return self.done(request, key, _("%s is revoked.") % key, logged)

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a key that is not revoked yet; in a list, for every row."""
        revoked = object_id and ApiKey.objects.filter(pk=object_id).exclude(revoked_at=None).exists()
        return self.has_act_permission(request) and not revoked
