"""Stripe as staff see it: what we asked, what it told us, what must not go on by itself. Nothing is edited here."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ReadOnlyAdmin, ReasonDialog, action, display, tag
from billing.admin import columns
from billing.models import (
    BillingAlarm,
    Dispute,
    Dunning,
    DunningStep,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripeLine,
    StripeOperation,
    StripePrice,
    StripeSubscription,
    WebhookInbox,
)


@admin.register(BillingAlarm)
class BillingAlarmAdmin(ReadOnlyAdmin):
    """What must not go on by itself. Each stays until somebody closes it and says how."""

    list_display = ("kind", "account", "subject", "state", "created_at", "last_seen_at")
    list_filter = (("kind", ChoicesDropdownFilter), ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("subject", "detail")
    ordering = ("closed_at", "-created_at")
    fields = (
        "kind",
        "account",
        "subject",
        "detail",
        "created_at",
        "last_seen_at",
        "closed_at",
        "closing_note",
    )
    actions_detail = actions_row = ("close",)

    @display(description=_("Status"))
    def state(self, alarm: BillingAlarm) -> str:
        """Open or closed."""
        return tag(gettext("Closed"), "success") if alarm.closed_at else tag(gettext("Open"), "danger")

    @action(
        description=_("Close"),
        icon="done_all",
        permissions=["handle"],
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": _("Close this alarm?"),
            "description": _("If what is wrong is still wrong, it comes back by itself."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Close"),
        },
    )
    def close(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Close it, with how."""
        alarm = get_object_or_404(BillingAlarm, pk=object_id)
        BillingAlarm.objects.filter(pk=alarm.pk, closed_at=None).update(
            closed_at=timezone.now(), closing_note=form.cleaned_data["reason"][:300]
        )
        return self.done(request, alarm, _("Closed."), f"Closed: {form.cleaned_data['reason']}")

    def has_handle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for an alarm that is open; in a list, for every row."""
        closed = object_id and BillingAlarm.objects.filter(pk=object_id).exclude(closed_at=None).exists()
        return self.has_act_permission(request) and not closed


@admin.register(StripeOperation)
class StripeOperationAdmin(ReadOnlyAdmin):
    """What we asked Stripe to change, with the exact body and what became of it."""

    list_display = ("key", "account", "path", "state", "attempts", "http_status", "created_at")
    list_filter = (("state", ChoicesDropdownFilter), ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("key", "path", "answer", "stripe_request_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "key", "account", "path", "body", "state", "attempts", "http_status", "answer", "error", "stripe_request_id",
        "created_at", "answered_at",
    )  # fmt: skip


@admin.register(WebhookInbox)
class WebhookInboxAdmin(ReadOnlyAdmin):
    """What Stripe told us of, and whether it was worked on."""

    list_display = ("event_id", "type", "object_id", "state", "attempts", "received_at", "done_at")
    list_filter = ("type", "source")
    search_fields = ("event_id", "object_id")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    fields = (
        "event_id", "type", "object_id", "livemode", "source", "occurred_at", "received_at", "attempts",
        "next_try_at", "done_at", "error",
    )  # fmt: skip

    @display(description=_("Status"))
    def state(self, row: WebhookInbox) -> str:
        """Done, failing or waiting."""
        if row.done_at:
            return tag(gettext("Done"), "success")
        return tag(gettext("Failing"), "danger") if row.error else tag(gettext("Waiting"), "info")


@admin.register(StripeInvoice)
class StripeInvoiceAdmin(ReadOnlyAdmin):
    """Invoices as Stripe has them."""

    list_display = ("__str__", "account", "status", "total", "created_at", "paid_at", "failure")
    list_filter = ("status", "reason", ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("id", "number")
    ordering = ("-created_at",)
    fields = (
        "id", "number", "account", "livemode", "subscription_id", "reason", "status", "usage_period", "is_charged",
        "currency", "subtotal_minor", "tax_minor", "total_minor", "due_minor", "hosted_url", "pdf_url", "created_at",
        "held_at", "finalized_at", "due_at", "paid_at", "failed_at", "failure", "next_attempt_at",
        "finalization_error", "synced_at",
    )  # fmt: skip

    @display(description=_("Total"), ordering="total_minor")
    def total(self, invoice: StripeInvoice) -> str:
        """With tax."""
        return columns.minor(invoice.total_minor, invoice.currency)


@admin.register(StripeSubscription)
class StripeSubscriptionAdmin(ReadOnlyAdmin):
    """Subscriptions as Stripe has them."""

    list_display = ("id", "account", "status", "period_start", "period_end", "cancel_at")
    list_filter = ("status", ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("id",)
    ordering = ("-period_end",)


@admin.register(StripePrice)
class StripePriceAdmin(ReadOnlyAdmin):
    """Which price at Stripe sells which plan version; one that was edited there says so and is not sold."""

    list_display = ("id", "plan_version", "lookup_key", "checked_at", "problem")
    list_select_related = ("plan_version__plan",)
    search_fields = ("id", "lookup_key")


@admin.register(Dunning)
class DunningAdmin(ReadOnlyAdmin):
    """Who does not pay, and how far it has gone."""

    list_display = ("account", "began_at", "limited_at", "suspended_at", "ended_at")
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    search_fields = ("account__name",)
    ordering = ("-began_at",)


@admin.register(DunningStep)
class DunningStepAdmin(ReadOnlyAdmin):
    """Each step that was taken, and mailed once."""

    list_display = ("dunning", "step", "created_at")
    list_filter = (("step", ChoicesDropdownFilter),)
    list_select_related = ("dunning__account",)
    search_fields = ("dunning__account__name",)
    ordering = ("-created_at",)


@admin.register(StripeCustomer)
class StripeCustomerAdmin(ReadOnlyAdmin):
    """Who an account is at Stripe, with the card that is there."""

    list_display = ("id", "account", "livemode", "card_brand", "card_expires", "deleted_at")
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    search_fields = ("id", "account__name")
    ordering = ("-created_at",)


@admin.register(StripeCheckout)
class StripeCheckoutAdmin(ReadOnlyAdmin):
    """Pages of Stripe's that customers were sent to, to subscribe or to buy credit."""

    list_display = ("id", "account", "purpose", "status", "created_at", "expires_at")
    list_filter = ("status", ("purpose", ChoicesDropdownFilter), ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("id", "account__name")
    ordering = ("-created_at",)
    fields = ("id", "account", "purpose", "details", "status", "created_at", "expires_at")


@admin.register(StripeLine)
class StripeLineAdmin(ReadOnlyAdmin):
    """Which line of ours stands on which invoice, once."""

    list_display = ("line", "invoice")
    list_select_related = ("line", "invoice")
    search_fields = ("invoice__id",)


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    """Payments that customers' banks take back. They are answered at Stripe; each has an alarm."""

    list_display = ("id", "account", "amount", "reason", "status", "answer_by", "created_at")
    list_filter = ("status", ("account", AutocompleteSelectFilter))
    list_select_related = ("account",)
    search_fields = ("id", "payment", "account__name")
    ordering = ("-created_at",)
    fields = (
        "id", "account", "livemode", "payment", "amount", "reason", "status", "answer_by", "created_at", "synced_at",
    )  # fmt: skip

    @display(description=_("Amount"), ordering="amount_minor")
    def amount(self, dispute: Dispute) -> str:
        """What the bank takes back."""
        return columns.minor(dispute.amount_minor, dispute.currency)
