"""What the admin of every room shares: the base classes, labels, dialogs and lists that stay fast.

unfold ships no types, so its classes and decorators enter here, once, with the types that we rely on.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.auth import get_permission_codename
from django.core.paginator import Paginator
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_htmx.http import HttpResponseClientRedirect
from unfold import decorators
from unfold.widgets import UnfoldAdminTextInputWidget

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
    BaseTabular = admin.TabularInline[Any, Any]
    BaseDialog = forms.Form
    from django.contrib.admin.views.main import ChangeList as BaseChangeList
    from django.db.models import Field
else:
    from unfold.admin import ModelAdmin as BaseAdmin
    from unfold.admin import TabularInline as BaseTabular
    from unfold.forms import BaseDialogForm as BaseDialog
    from unfold.views import ChangeList as BaseChangeList


def action(**options: Any) -> Callable[[F], F]:
    """unfold's `@action`, typed."""
    decorate: Callable[[F], F] = decorators.action(**options)
    return decorate


def display(**options: Any) -> Callable[[F], F]:
    """unfold's `@display`, typed."""
    decorate: Callable[[F], F] = decorators.display(**options)
    return decorate


def tag(text: Any, kind: str = "default") -> SafeString:
    """A state as a small coloured label, in lists and on pages: success, info, warning, danger or default."""
    return SafeString(
        render_to_string("unfold/helpers/label.html", {"text": text, "type": kind, "size": "md"})
    )


def moment(value: datetime | None) -> str:
    """A moment in UTC, to the second. A dash for None."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else "—"


@cache
def moment_column(field: "Field[Any, Any]") -> Callable[[Model], str]:
    """A list's column for a moment, to the minute; sortable."""

    def show(obj: Model) -> str:
        return moment(getattr(obj, field.name))[:16]

    show.__name__ = field.name
    return display(description=field.verbose_name, ordering=field.name)(show)


class StaffAdmin(BaseAdmin):
    """The base of every admin class."""

    list_per_page = 50
    show_facets = ShowFacets.NEVER  # each facet would be one more count
    list_filter_submit = True

    def get_list_display(self, request: HttpRequest) -> Any:
        """As declared, with moments in UTC instead of in the reader's words."""
        moments = {field.name: field for field in self.opts.fields if isinstance(field, DateTimeField)}
        names = super().get_list_display(request)
        return [moment_column(moments[name]) if name in moments else name for name in names]

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Tell whether somebody may use the model's actions: the change permission, editable or not."""
        codename = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def done(self, request: HttpRequest, obj: Model, said: Any, logged: str) -> HttpResponse:
        """Say that an action is done, write it into the object's history, and go back to the object."""
        self.log_change(request, obj, logged)
        self.message_user(request, said, messages.SUCCESS)
        return self.back(request, obj)

    def refused(self, request: HttpRequest, obj: Model, why: Any) -> HttpResponse:
        """Say why nothing was changed and go back to the object."""
        self.message_user(request, why, messages.ERROR)
        return self.back(request, obj)

    def back(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """Return to the object's page. A dialog posts with htmx, which needs its own kind of redirect."""
        url = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        response = redirect(url, obj.pk)
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(response.url)
        return response


class Unchangeable:
    """Rows that the admin shows and never adds, edits or deletes: history, and what other code owns."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


class ReadOnlyAdmin(Unchangeable, StaffAdmin):
    """A list and a page to look at."""


class ReadOnlyTabular(Unchangeable, BaseTabular):
    """Rows within another object's page, to look at."""

    extra = 0
    can_delete = False
    show_change_link = True
    hide_title = True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything that is shown; the form machinery asks for it by name."""
        return self.fields


class CappedPaginator(Paginator[Any]):
    """Counts at most `most` rows, so that opening a list costs the same however long the table is."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        """How many rows there are, or `most` if there are more."""
        rows = self.object_list
        return rows[: self.most].count() if isinstance(rows, QuerySet) else len(rows)


class CappedChangeList(BaseChangeList):
    """Tells the page that there is no other count than the capped one."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page of rows."""
        super().get_results(request)
        self.full_result_count = self.result_count


class LargeTableAdmin(ReadOnlyAdmin):
    """A table that grows with every call. Who needs older rows narrows the list by account and time."""

    paginator = CappedPaginator
    show_full_result_count = False
    sortable_by = ()  # sorting by a column without an index would read the whole table
    list_per_page = 100
    list_before_template = "admin/capped.html"
    most = CappedPaginator.most

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """The list that knows about the cap."""
        return CappedChangeList


class ConfirmDialog(BaseDialog):
    """A dialog that only asks: are you sure?"""


class ReasonDialog(BaseDialog):
    """A dialog that asks for the reason, kept in the object's history."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("Kept in the history. Write it so that a colleague understands it next year."),
        widget=UnfoldAdminTextInputWidget(),
    )


def uuid_or_none(text: str) -> uuid.UUID | None:
    """Read an id that somebody pasted into a search box. None if it is not one."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
