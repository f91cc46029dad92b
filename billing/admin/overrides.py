"""Overrides: limits of one account that differ from its plan for a while."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ReasonDialog, action, display, tag
from billing.admin.history import AddOnlyAdmin
from billing.models import EntitlementOverride


@admin.register(EntitlementOverride)
class EntitlementOverrideAdmin(AddOnlyAdmin):
    """Overrides, running and past. Of two that cover a moment, the one that began last wins."""

    list_display = ("account", "field", "value", "state", "starts_at", "ends_at", "reason", "by")
    list_filter = (("account", AutocompleteSelectFilter), "field")
    list_select_related = ("account", "by")
    search_fields = ("account__name", "reason")
    date_hierarchy = "starts_at"
    autocomplete_fields = ("account",)
    actions_detail = actions_row = ("end",)

    def get_fields(self, request: HttpRequest, obj: EntitlementOverride | None = None) -> Any:
        """What may be chosen for a new one, and what is known of an old one."""
        chosen = ("account", "field", "value", "starts_at", "ends_at", "reason")
        return chosen if obj is None else (*chosen, "state", "by", "created_at")

    def save_model(
        self, request: HttpRequest, obj: EntitlementOverride, form: forms.ModelForm[Any], change: bool
    ) -> None:
        """Note who added it."""
        obj.by = None if isinstance(request.user, AnonymousUser) else request.user
        super().save_model(request, obj, form, change)

    @display(description=_("Status"))
    def state(self, override: EntitlementOverride) -> str:
        """Whether it covers this moment."""
        now = timezone.now()
        if override.ends_at and override.ends_at <= now:
            return tag(gettext("Ended"))
        return (
            tag(gettext("To come"), "info")
            if override.starts_at > now
            else tag(gettext("In force"), "success")
        )

    @action(
        description=_("End"),
        icon="event_busy",
        permissions=["end"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("End this override?"),
            "description": _("The plan's own limit applies again from now on. Its row stays."),
            "form_class": ReasonDialog,
            "form_submit_text": _("End override"),
        },
    )
    def end(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """End the override now for the reason given; one that has not begun never does."""
        override = get_object_or_404(EntitlementOverride, pk=object_id)
        override.ends_at = max(timezone.now(), override.starts_at)
        override.save(update_fields=["ends_at"])
        logged = f"Ended: {form.cleaned_data['reason']}"
        return self.done(request, override, _("The override has ended."), logged)

    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for one that has not ended; in a list, for every row."""
        now = timezone.now()
        ended = object_id and EntitlementOverride.objects.filter(pk=object_id, ends_at__lte=now).exists()
        return self.has_act_permission(request) and not ended
