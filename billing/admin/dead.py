"""Usage that could not be recorded: looked at, tried again, or put away with a reason."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ConfirmDialog, ReadOnlyAdmin, ReasonDialog, action, display, tag
from billing import dead_events
from billing.models import DeadEvent


class ResolvedFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Waiting or dealt with."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two states."""
        return [("waiting", _("Waiting")), ("resolved", _("Resolved"))]

    def queryset(self, request: HttpRequest, dead: QuerySet[DeadEvent]) -> QuerySet[DeadEvent]:
        """Keep the entries in the chosen state."""
        if self.value() not in ("waiting", "resolved"):
            return dead
        return dead.filter(resolved_at__isnull=self.value() == "waiting")


@admin.register(DeadEvent)
class DeadEventAdmin(ReadOnlyAdmin):
    """Usage that could not be recorded: each is a call that nobody pays for until it is dealt with."""

    list_display = ("stream_id", "state", "short_error", "created_at", "resolved_at")
    list_filter = (ResolvedFilter,)
    search_fields = ("stream_id", "payload", "error")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("stream_id", "state", "error", "pretty_payload", "created_at", "resolved_at")
    actions_detail = actions_row = ("retry", "resolve")

    @display(description=_("Status"))
    def state(self, dead: DeadEvent) -> str:
        """Waiting or dealt with."""
        return tag(gettext("Resolved"), "success") if dead.resolved_at else tag(gettext("Waiting"), "danger")

    @display(description=_("Error"))
    def short_error(self, dead: DeadEvent) -> str:
        """The error's beginning."""
        return dead.error if len(dead.error) <= 80 else f"{dead.error[:79]}…"

    @display(description=_("Payload"))
    def pretty_payload(self, dead: DeadEvent) -> str:
        """The entry as it came, indented if it is JSON."""
        try:
            text = json.dumps(json.loads(dead.payload), indent=2, ensure_ascii=False)
        except ValueError:
            text = dead.payload
        return format_html('<pre class="overflow-x-auto whitespace-pre-wrap">{}</pre>', text)

    @action(
        description=_("Try again"),
        icon="replay",
        permissions=["handle"],
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": _("Record this entry again?"),
            "description": _("The ledger takes each call once, so trying twice charges nothing twice."),
            "form_class": ConfirmDialog,
            "form_submit_text": _("Try again"),
        },
    )
    def retry(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Record the entry again."""
        dead = get_object_or_404(DeadEvent, pk=object_id)
        if dead_events.retry(dead):
            return self.done(request, dead, _("Recorded. The call is in the ledger."), "Recorded again.")
        return self.refused(
            request, dead, _("It is still refused for the reason below. Nothing was changed.")
        )

    @action(
        description=_("Resolve"),
        icon="done_all",
        permissions=["handle"],
        dialog={
            "title": _("Put this entry away?"),
            "description": _("It is not recorded and not charged. The payload stays here."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Resolve"),
        },
    )
    def resolve(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Put the entry away for the reason given."""
        dead = get_object_or_404(DeadEvent, pk=object_id)
        dead_events.resolve(dead)
        return self.done(request, dead, _("Resolved."), f"Resolved: {form.cleaned_data['reason']}")

    def has_handle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer both for an entry that waits; in a list, for every row."""
        resolved = object_id and DeadEvent.objects.filter(pk=object_id).exclude(resolved_at=None).exists()
        return self.has_act_permission(request) and not resolved
