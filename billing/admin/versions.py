"""Editing what is never edited: a version is looked at, and a changed copy is added as the next one.

History is added to: usage and statements point at the version that they were priced with.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.enums import ActionVariant

from accounts.admin.base import StaffAdmin, action, tag

if TYPE_CHECKING:
    VersionFormBase = forms.ModelForm[Any]
else:
    VersionFormBase = forms.ModelForm


def with_newest(versions: QuerySet[Any], *of: str) -> QuerySet[Any]:
    """Annotate each version with `newest`: the id of the one in force with the same `of` fields."""
    same = {field: OuterRef(field) for field in of}
    begun = versions.model._default_manager.filter(**same, effective_from__lte=timezone.now())
    newest = begun.order_by("-effective_from", "-pk").values("pk")[:1]
    annotated: QuerySet[Any] = versions.annotate(newest=Subquery(newest))
    return annotated


def state_of(version: Any) -> str:
    """Whether a version (from `with_newest`) is in force, to come or past."""
    if version.pk == version.newest:
        return tag(gettext("In force"), "success")
    return (
        tag(gettext("To come"), "info") if version.effective_from > timezone.now() else tag(gettext("Past"))
    )


class VersionForm(VersionFormBase):
    """A new version. It starts now, or at a moment to come: what is past is already priced."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "effective_from" in self.fields:
            self.fields["effective_from"].required = False
            self.fields["effective_from"].help_text = _("UTC. Leave it empty to start now.")

    def clean_effective_from(self) -> datetime:
        """Fill in now; refuse the past."""
        chosen: datetime | None = self.cleaned_data.get("effective_from")
        now = timezone.now()
        if chosen and chosen < now:
            raise ValidationError(
                gettext("This is past, and calls of then are priced. Leave it empty to start now.")
            )
        return chosen or now


class VersionAdmin(StaffAdmin):
    """Add and look. «Save as new version» opens the add form, filled in from the version looked at."""

    form = VersionForm
    actions_detail = ("new_version",)
    # What a copy must not take over.
    fresh = ("id", "number", "effective_from", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A version is never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A version is never removed."""
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Only «Save»: what is saved cannot be edited further."""
        only = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, only | (extra_context or {}))

    @action(
        description=_("Save as new version"),
        icon="content_copy",
        permissions=["add"],
        url_path="new-version",
        variant=ActionVariant.PRIMARY,
    )
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Open the add form, filled in from this version. Writes nothing."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_add"
        return redirect(reverse(name, query={"from": object_id}))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django's permissions say; unfold passes the object along."""
        return super().has_add_permission(request)

    def source(self, request: HttpRequest) -> Any:
        """The version that the add form starts from (`?from=<id>`), or None."""
        wanted = request.GET.get("from", "")
        return self.model._default_manager.filter(pk=wanted).first() if wanted.isdigit() else None

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill the add form from the source version."""
        source: Model | None = self.source(request)
        if source is None:
            return {"effective_from": None} | super().get_changeform_initial_data(request)
        return {"effective_from": None} | forms.model_to_dict(source, exclude=self.fresh)
