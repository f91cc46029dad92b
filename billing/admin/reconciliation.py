"""Discrepancies: looked at, and closed by somebody with a note. And the runs that found them, or did not."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ReadOnlyAdmin, ReasonDialog, action, display, tag
from billing.admin import columns
from billing.models import Discrepancy, ReconciliationRun
from billing.reconciliation import close_discrepancy


class OpenFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Open or closed."""

    title = _("status")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two states."""
        return [("yes", _("Open")), ("no", _("Closed"))]

    def queryset(self, request: HttpRequest, rows: QuerySet[Discrepancy]) -> QuerySet[Discrepancy]:
        """Keep those in the chosen state."""
        if self.value() not in ("yes", "no"):
            return rows
        return rows.filter(closed_at__isnull=self.value() == "yes")


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyAdmin):
    """Two figures that should be equal and are not. Each stays open until somebody says why."""

    list_display = ("subject", "check_name", "period", "state", "difference", "unit", "last_seen_at")
    list_filter = (OpenFilter, ("check_name", ChoicesDropdownFilter))
    search_fields = ("subject", "detail", "note")
    ordering = ("-last_seen_at",)
    fields = (
        "check_name", "period", "subject", "account", "state", "detail", "expected", "found", "difference",
        "unit", "first_seen_at", "last_seen_at", "closed_at", "closed_by", "note",
    )  # fmt: skip
    actions_detail = actions_row = ("close",)

    @display(description=_("Status"))
    def state(self, row: Discrepancy) -> str:
        """Open or closed."""
        return tag(gettext("Closed"), "success") if row.closed_at else tag(gettext("Open"), "danger")

    @display(description=_("Difference"))
    def difference(self, row: Discrepancy) -> str:
        """Found less expected."""
        return columns.number(row.difference)

    @action(
        description=_("Close"),
        icon="done_all",
        permissions=["close"],
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": _("Close this discrepancy?"),
            "description": _("Say what it was and what was done. With the same figures it stays closed."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Close"),
        },
    )
    def close(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Close it with the note."""
        row = get_object_or_404(Discrepancy, pk=object_id)
        close_discrepancy(row, form.cleaned_data["reason"], str(request.user))
        return self.done(request, row, _("Closed."), f"Closed: {row.note}")

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for an open one; in a list, for every row."""
        closed = object_id and Discrepancy.objects.filter(pk=object_id).exclude(closed_at=None).exists()
        return self.has_act_permission(request) and not closed


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ReadOnlyAdmin):
    """When what was compared, and how much of it."""

    list_display = ("period", "started_at", "finished_at", "found")
    list_filter = ("period",)
    fields = ("period", "started_at", "finished_at", "compared", "found")
