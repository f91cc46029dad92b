"""Which models can be called, and which are on their way out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter, RelatedDropdownFilter
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.base import ConfirmDialog, StaffAdmin, action, display, tag
from gateway.admin.ways import ServingInline
from gateway.models import CatalogChange, CatalogModel, Serving


class ListedFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Listed or deprecated."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two states."""
        return [("listed", _("Listed")), ("deprecated", _("Deprecated"))]

    def queryset(self, request: HttpRequest, models: QuerySet[CatalogModel]) -> QuerySet[CatalogModel]:
        """Keep the models in the chosen state."""
        if self.value() not in ("listed", "deprecated"):
            return models
        return models.filter(deprecated_at__isnull=self.value() == "listed")


@admin.register(CatalogModel)
class CatalogModelAdmin(StaffAdmin):
    """The catalog. A model is never removed, since usage names it: deprecating takes it out of the list."""

    list_display = ("model_id", "served_by", "task_list", "context_length", "state", "source", "created_at")
    list_filter = (("servings__upstream", RelatedDropdownFilter), ListedFilter, "source")
    search_fields = ("model_id",)
    date_hierarchy = "created_at"
    fields = (
        "model_id", "tasks", "context_length", "licence",
        "state", "source", "created_at", "seen_at", "deprecated_at",
    )  # fmt: skip
    inlines = (ServingInline,)
    actions = ("deprecate_chosen",)
    actions_detail = ("deprecate", "list_again")

    def get_readonly_fields(self, request: HttpRequest, obj: CatalogModel | None = None) -> list[str]:
        """The id is fixed once listed: prices and usage name it. Dates are written by the actions."""
        return ["state", "source", "created_at", "seen_at", "deprecated_at", *(["model_id"] if obj else [])]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Tasks are written in one line, separated by commas."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, SimpleArrayField):
            field.widget = UnfoldAdminTextInputWidget()
            field.help_text = _(
                "As the Hub names them, separated by commas. The first is what a call without a task means."
            )
        return field

    def has_delete_permission(self, request: HttpRequest, obj: CatalogModel | None = None) -> bool:
        """Nobody removes a model."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[CatalogModel]:
        """With the ways to each model, in one query more."""
        models: QuerySet[CatalogModel] = super().get_queryset(request)
        return models.prefetch_related("servings__upstream")

    @display(description=_("Served by"))
    def served_by(self, model: CatalogModel) -> str:
        """The ways to it, the providers by their names."""
        open_ways = (way for way in model.servings.all() if way.status != Serving.Status.GONE)
        return ", ".join(sorted({way.name for way in open_ways}))

    @display(description=_("Tasks"))
    def task_list(self, model: CatalogModel) -> str:
        """Its tasks, the default first."""
        return ", ".join(model.tasks)

    @display(description=_("Status"), ordering="deprecated_at")
    def state(self, model: CatalogModel) -> str:
        """Listed or deprecated."""
        return (
            tag(gettext("Deprecated"), "warning")
            if model.deprecated_at
            else tag(gettext("Listed"), "success")
        )

    @action(
        description=_("Deprecate"),
        icon="event_busy",
        permissions=["deprecate"],
        variant=ActionVariant.WARNING,
        dialog={
            "title": _("Take this model out of the list?"),
            "description": _("It is no longer offered. You can list it again."),
            "form_class": ConfirmDialog,
            "form_submit_text": _("Deprecate"),
        },
    )
    def deprecate(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Take the model out of the list."""
        model = get_object_or_404(CatalogModel, pk=object_id)
        _deprecate(model)
        return self.done(request, model, _("%s is deprecated.") % model, "Deprecated.")

    @action(
        description=_("List again"),
        icon="playlist_add",
        permissions=["list_again"],
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": _("Offer this model again?"),
            "description": _("It returns to the list."),
            "form_class": ConfirmDialog,
            "form_submit_text": _("List again"),
        },
    )
    def list_again(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Return the model to the list."""
        model = get_object_or_404(CatalogModel, pk=object_id)
        _relist(model)
        return self.done(request, model, _("%s is listed again.") % model, "Listed again.")

    @admin.action(permissions=["act"], description=_("Deprecate the chosen models"))
    def deprecate_chosen(self, request: HttpRequest, models: QuerySet[CatalogModel]) -> None:
        """Take several models out of the list."""
        listed = list(models.filter(deprecated_at=None))
        for model in listed:
            _deprecate(model)
        self.message_user(request, gettext("%d deprecated.") % len(listed))

    def has_deprecate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a listed model."""
        return self.has_act_permission(request) and not _is_deprecated(object_id)

    def has_list_again_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a deprecated model."""
        return self.has_act_permission(request) and _is_deprecated(object_id)


def _is_deprecated(pk: Any) -> bool:
    return CatalogModel.objects.filter(pk=pk).exclude(deprecated_at=None).exists()


def _deprecate(model: CatalogModel) -> None:
    """Write the moment, once. Saved, not updated in bulk: a signal tells every gateway process."""
    if model.deprecated_at is None:
        model.deprecated_at = timezone.now()
        model.save(update_fields=["deprecated_at"])
        # `withdrawn`, not `deprecated`: what staff took out, the synchronisation does not list again.
        CatalogChange.objects.create(model_id=model.model_id, what="withdrawn")


def _relist(model: CatalogModel) -> None:
    before = f"deprecated {model.deprecated_at:%Y-%m-%d}" if model.deprecated_at else ""
    model.deprecated_at = None
    model.save(update_fields=["deprecated_at"])
    CatalogChange.objects.create(model_id=model.model_id, what="relisted", before=before)
