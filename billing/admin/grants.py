"""Credit: what was granted, what became of it, what was bought. Granting is an action of the account's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.admin.base import ReadOnlyAdmin, ReadOnlyTabular, ReasonDialog, action, display
from accounts.ids import uuid7
from billing.admin import columns
from billing.admin.dialogs import AmountField
from billing.credits import CreditError
from billing.models import AutoTopUp, CreditBurn, CreditGrant, TopUp, TopUpRefund
from billing.money import to_minor, to_nano
from billing.refunds import refund_top_up


class BurnInline(ReadOnlyTabular):
    """What became of the grant."""

    model = CreditBurn
    fields = ("created_at", "reason", "amount", "line", "note")
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditBurn]:
        """Burns with their grant, which knows the currency."""
        burns: QuerySet[CreditBurn] = super().get_queryset(request)
        return burns.select_related("grant", "line")

    @display(description=_("Amount"))
    def amount(self, burn: CreditBurn) -> str:
        """How much; below zero where it was given back."""
        return columns.money(burn.nano_amount, burn.grant.currency)


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnlyAdmin):
    """Credit that was granted. Grants are history: what is wrong is withdrawn, and granted anew."""

    list_display = ("account", "source", "amount", "left", "starts_at", "expires_at", "granted_by")
    list_filter = (("account", AutocompleteSelectFilter), ("source", ChoicesDropdownFilter), "currency")
    list_select_related = ("account",)
    search_fields = ("reference", "note", "granted_by", "account__name")
    ordering = ("-created_at",)
    inlines = (BurnInline,)
    fields = (
        "account", "source", "amount", "left", "starts_at", "expires_at", "note", "granted_by", "reference",
        "created_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditGrant]:
        """Grants with what was taken of them."""
        grants: QuerySet[CreditGrant] = super().get_queryset(request)
        return grants.annotate(burned=Sum("burns__nano_amount", default=0))

    @display(description=_("Amount"), ordering="nano_amount")
    def amount(self, grant: CreditGrant) -> str:
        """How much was granted."""
        return columns.money(grant.nano_amount, grant.currency)

    @display(description=_("Left"))
    def left(self, grant: CreditGrant) -> str:
        """What no statement, expiry or person took yet."""
        return columns.money(grant.nano_amount - getattr(grant, "burned", 0), grant.currency)


@admin.register(CreditBurn)
class CreditBurnAdmin(ReadOnlyAdmin):
    """What was taken of grants, and given back."""

    list_display = ("grant", "reason", "amount", "created_at")
    list_filter = (("reason", ChoicesDropdownFilter),)
    list_select_related = ("grant__account",)
    search_fields = ("note", "grant__reference", "grant__account__name")
    ordering = ("-created_at",)
    fields = ("grant", "line", "reason", "amount", "note", "created_at")

    @display(description=_("Amount"), ordering="nano_amount")
    def amount(self, burn: CreditBurn) -> str:
        """How much; below zero where it was given back."""
        return columns.money(burn.nano_amount, burn.grant.currency)


class RefundDialog(ReasonDialog):
    """Asks for how much goes back."""

    amount = AmountField(help_text=_("At most what is left of its credit."))
    field_order = ("_form_submitted", "amount", "reason")


class RefundInline(ReadOnlyTabular):
    """What of the top-up was given back."""

    model = TopUpRefund
    fields = ("created_at", "amount_minor", "note", "sent_at", "provider_error")


@admin.register(TopUp)
class TopUpAdmin(ReadOnlyAdmin):
    """Credit that was bought, or was to be."""

    list_display = ("account", "amount", "state", "automatic", "created_at", "settled_at")
    list_filter = (("account", AutocompleteSelectFilter), ("state", ChoicesDropdownFilter), "automatic")
    list_select_related = ("account",)
    search_fields = ("account__name", "payment")
    fields = ("account", "amount", "state", "automatic", "payment", "message", "created_at", "settled_at")
    inlines = (RefundInline,)
    actions_detail = ("refund",)

    @display(description=_("Amount"), ordering="amount_minor")
    def amount(self, bought: TopUp) -> str:
        """What it costs."""
        return columns.minor(bought.amount_minor, bought.currency)

    @action(
        description=_("Refund"),
        icon="undo",
        permissions=["refund"],
        dialog={
            "title": _("Give back a part of this top-up?"),
            "description": _("Its credit is withdrawn at once; the money goes back the way it was paid."),
            "form_class": RefundDialog,
            "form_submit_text": _("Refund"),
        },
    )
    def refund(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Withdraw the credit and let the provider pay back, with the reason."""
        bought = get_object_or_404(TopUp.objects.select_related("account"), pk=object_id)
        data = form.cleaned_data
        try:
            made = refund_top_up(
                bought,
                to_minor(to_nano(data["amount"]), bought.currency),
                reference=f"staff:{uuid7()}",
                note=data["reason"],
                by=str(request.user),
            )
        except CreditError as error:
            return self.refused(request, bought, str(error))
        said = _("%s goes back.") % columns.minor(made.amount_minor, bought.currency)
        return self.done(request, bought, said, f"Refund of {made.amount_minor}: {data['reason']}")

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a top-up that was paid."""
        paid = TopUp.objects.filter(pk=object_id, state=TopUp.State.PAID)
        return self.has_act_permission(request) and paid.exists()


@admin.register(TopUpRefund)
class TopUpRefundAdmin(ReadOnlyAdmin):
    """Top-ups that were given back, and what the provider said. Refunding is an action of the top-up's page."""

    list_display = ("top_up", "amount", "created_at", "sent_at", "provider_error")
    list_select_related = ("top_up__account",)
    search_fields = ("top_up__account__name", "provider_reference")
    ordering = ("-created_at",)
    fields = (
        "top_up", "amount", "note", "issued_by", "created_at", "sent_at", "provider_reference", "provider_error",
    )  # fmt: skip

    @display(description=_("Amount"), ordering="amount_minor")
    def amount(self, refund: TopUpRefund) -> str:
        """What goes back."""
        return columns.minor(refund.amount_minor, refund.top_up.currency)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    """Who buys credit by itself. Customers set it in the portal."""

    list_display = ("account", "enabled", "amount", "cap", "paused_at")
    list_filter = ("enabled",)
    list_select_related = ("account",)
    search_fields = ("account__name",)
    fields = ("account", "enabled", "amount", "cap", "paused_at", "pause_reason")

    @display(description=_("Amount"))
    def amount(self, row: AutoTopUp) -> str:
        """What is bought at a time."""
        return columns.minor(row.amount_minor, row.account.currency)

    @display(description=_("At most a month"))
    def cap(self, row: AutoTopUp) -> Any:
        """The customer's own cap."""
        return columns.minor(row.monthly_cap_minor, row.account.currency)
