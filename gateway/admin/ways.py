"""Who serves which model, and what the synchronisation changed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter

from accounts.admin.base import BaseTabular, ReadOnlyAdmin, StaffAdmin, display, tag
from gateway.models import CatalogChange, Serving

_COLOURS = {"live": "success", "error": "warning", "gone": "default"}


def status_tag(serving: Serving) -> str:
    """Its status as a coloured label."""
    return tag(serving.get_status_display(), _COLOURS[serving.status])


class ServingInline(BaseTabular):
    """The ways to a model, on its page: a dedicated endpoint is added here, the router's come by themselves."""

    model = Serving
    fields = ("upstream", "provider", "provider_id", "task", "status", "context_length")
    autocomplete_fields = ("upstream",)
    extra = 0
    can_delete = False
    hide_title = True


@admin.register(Serving)
class ServingAdmin(StaffAdmin):
    """The ways to the models. Never removed, since usage names them: what is no longer offered is `gone`."""

    list_display = ("model", "way", "task", "state", "context_length", "throughput", "updated_at")
    list_filter = ("status", ("upstream", RelatedDropdownFilter), "task")
    list_select_related = ("model", "upstream")
    search_fields = ("model__model_id", "provider", "provider_id")
    autocomplete_fields = ("model", "upstream")
    fields = (
        "model", "upstream", "provider", "provider_id", "task", "status",
        "context_length", "throughput", "first_token_ms", "updated_at",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Serving | None = None) -> list[str]:
        """Which way it is, is fixed; speeds are measured, not typed."""
        fixed = ["model", "upstream", "provider", "task"] if obj else []
        return [*fixed, "throughput", "first_token_ms", "updated_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody removes a way."""
        return False

    @display(description=_("Served by"))
    def way(self, serving: Serving) -> str:
        """As usage and prices call it."""
        return serving.name

    @display(description=_("Status"), ordering="status")
    def state(self, serving: Serving) -> str:
        """Live, failing or gone."""
        return status_tag(serving)


@admin.register(CatalogChange)
class CatalogChangeAdmin(ReadOnlyAdmin):
    """What changed in the catalog, newest first."""

    list_display = ("at", "model_id", "provider", "what", "before", "after")
    list_filter = ("what", "provider")
    search_fields = ("model_id",)
    date_hierarchy = "at"
    fields = ("at", "model_id", "provider", "what", "before", "after")
