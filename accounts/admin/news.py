"""What went out to customers: webhook endpoints with their messages, and mails. For support, to look at."""

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from accounts.admin.base import ConfirmDialog, ReadOnlyAdmin, ReadOnlyTabular, action, display, tag
from accounts.models import OutgoingMail, WebhookDelivery, WebhookEndpoint
from accounts.webhooks import endpoints
from accounts.webhooks.endpoints import EndpointRefusedError

LATEST = 20


class DeliveryInline(ReadOnlyTabular):
    """The endpoint's messages."""

    model = WebhookDelivery
    fields = ("event", "state", "attempts", "status", "error", "created_at", "next_attempt_at")
    tab = True
    per_page = LATEST


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Where customers' systems hear news. The secret is not shown: nobody here needs it."""

    list_display = ("url", "account", "state", "failing_since", "created_at")
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    search_fields = ("url", "account__name")
    fields = (
        "account",
        "url",
        "description",
        "events",
        "state",
        "failing_since",
        "disabled_at",
        "created_by",
        "created_at",
    )
    inlines = (DeliveryInline,)

    @display(description=_("Status"))
    def state(self, endpoint: WebhookEndpoint) -> str:
        """On, failing or off, and why."""
        if endpoint.disabled_at:
            return tag(endpoint.get_disabled_reason_display(), "danger")
        return tag(gettext("Failing"), "warning") if endpoint.failing_since else tag(gettext("On"), "success")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Messages to customers' systems: what was sent, what was answered; one can be sent again."""

    list_display = (
        "event",
        "endpoint",
        "state_tag",
        "attempts",
        "status",
        "error",
        "created_at",
        "next_attempt_at",
    )
    list_filter = ("state", "event")
    list_select_related = ("endpoint",)
    search_fields = ("endpoint__url", "endpoint__account__name", "body")
    date_hierarchy = "created_at"
    fields = (*list_display, "attempted_at", "message", "pretty_body")
    actions_detail = actions_row = ("again",)

    @display(description=_("Status"), ordering="state")
    def state_tag(self, row: WebhookDelivery) -> str:
        """Waiting, delivered or failed."""
        kinds = {"delivered": "success", "failed": "danger"}
        return tag(row.get_state_display(), kinds.get(row.state, "info"))

    @display(description="webhook-id")
    def message(self, row: WebhookDelivery) -> str:
        """The id that the customer sees."""
        return row.message_id

    @display(description=_("Body"))
    def pretty_body(self, row: WebhookDelivery) -> str:
        """The message, indented."""
        text = json.dumps(json.loads(row.body), indent=2, ensure_ascii=False)
        return format_html('<pre class="overflow-x-auto whitespace-pre-wrap">{}</pre>', text)

    @action(
        description=_("Send again"),
        icon="replay",
        permissions=["again"],
        dialog={
            "title": _("Send this message again?"),
            "description": _("It keeps its id, by which the customer's system recognises it."),
            "form_class": ConfirmDialog,
            "form_submit_text": _("Send again"),
        },
    )
    def again(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Send the message again."""
        row = get_object_or_404(WebhookDelivery.objects.select_related("endpoint"), pk=object_id)
        try:
            endpoints.send_again(row)
        except EndpointRefusedError as refusal:
            return self.refused(request, row, str(refusal))
        return self.done(request, row, _("The message is on its way again, with the same id."), "Sent again.")

    def has_again_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a message that is done; in a list, for every row."""
        done = WebhookDelivery.objects.exclude(state=WebhookDelivery.State.PENDING)
        return self.has_act_permission(request) and (not object_id or done.filter(pk=object_id).exists())


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    """Mails to customers, sent and waiting."""

    list_display = (
        "subject",
        "to",
        "account",
        "state",
        "attempts",
        "created_at",
        "sent_at",
        "next_attempt_at",
    )
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    search_fields = ("to", "subject", "account__name")
    date_hierarchy = "created_at"
    fields = (*list_display, "error", "text")

    @display(description=_("Status"))
    def state(self, mail: OutgoingMail) -> str:
        """Sent, waiting, or given up."""
        if mail.sent_at:
            return tag(gettext("Sent"), "success")
        return tag(gettext("Waiting"), "info") if mail.next_attempt_at else tag(gettext("Given up"), "danger")
