"""Accounts with their members and keys; suspending and reactivating them."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.enums import ActionVariant

from accounts.admin.base import BaseTabular, ReasonDialog, StaffAdmin, action, display, tag
from accounts.admin.keys import KeyInline
from accounts.models import Account, Membership, Role
from accounts.suspension import reactivate_account, suspend_account

if TYPE_CHECKING:
    MemberFormSetBase = BaseInlineFormSet[Membership, Account, Any]
else:
    MemberFormSetBase = BaseInlineFormSet


class MemberFormSet(MemberFormSetBase):
    """An account always keeps an owner."""

    def clean(self) -> None:
        """Refuse a change after which nobody would own the account."""
        super().clean()
        rows = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        owners = [row for row in rows if row.get("role") == Role.OWNER and not row.get("DELETE")]
        if rows and not owners and not any(self.errors):
            raise ValidationError(gettext("An account needs an owner. Make one of the members an owner."))


class MemberInline(BaseTabular):
    """Who may act for the account."""

    model = Membership
    formset = MemberFormSet
    fields = ("user", "role", "created_at")
    readonly_fields = ("created_at",)
    autocomplete_fields = ("user",)
    extra = 0
    tab = True
    hide_title = True


class SuspendedFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Suspended or not."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two states."""
        return [("active", _("Active")), ("suspended", _("Suspended"))]

    def queryset(self, request: HttpRequest, accounts: QuerySet[Account]) -> QuerySet[Account]:
        """Keep the accounts in the chosen state."""
        if self.value() not in ("active", "suspended"):
            return accounts
        return accounts.filter(suspended_at__isnull=self.value() == "active")


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    """Accounts with their members and keys. The billing room adds plan, usage and statements to it."""

    list_display: Any = (
        "name",
        "kind",
        "owners",
        "member_count",
        "currency",
        "state",
        "created_at",
    )
    list_filter = ("kind", SuspendedFilter, "currency")
    search_fields = ("name", "billing_email", "users__email")
    search_help_text = _("Name, billing e-mail, or a member's e-mail")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    readonly_fields: ClassVar[Any] = ("id", "state", "suspended_at", "suspension_reason", "created_at")
    inlines: ClassVar[Any] = (MemberInline, KeyInline)
    actions_detail: ClassVar[Any] = ("suspend", "reactivate")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "kind", "currency", "state", "id", "created_at")}),
        (_("Invoices go to"), {"fields": ("billing_email", "billing_address", "tax_id"), "classes": ["tab"]}),
        (
            _("Restrictions"),
            {"fields": ("time_zone", "allowed_models", "allowed_networks"), "classes": ["tab"]},
        ),
        (_("Suspension"), {"fields": ("suspended_at", "suspension_reason"), "classes": ["tab"]}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        """Nobody deletes accounts: they own the history. Suspend instead."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Accounts with their owners and the number of members, in two queries however many there are."""
        accounts: QuerySet[Account] = super().get_queryset(request)
        return accounts.annotate(members=Count("memberships")).prefetch_related("memberships__user")

    @display(description=_("Owner"))
    def owners(self, account: Account) -> str:
        """The owners' addresses."""
        return ", ".join(m.user.email for m in account.memberships.all() if m.role == Role.OWNER)

    @display(description=_("Members"), ordering="members")
    def member_count(self, account: Account) -> int:
        """How many people act for the account."""
        return int(account.members)  # type: ignore[attr-defined]  # annotated above

    @display(description=_("Status"), ordering="suspended_at")
    def state(self, account: Account) -> str:
        """Active or suspended."""
        return (
            tag(gettext("Suspended"), "danger") if account.suspended_at else tag(gettext("Active"), "success")
        )

    @action(
        description=_("Suspend"),
        icon="block",
        permissions=["suspend"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Suspend this account?"),
            "description": _("Every call of it is refused from now on, until you reactivate it."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Suspend account"),
        },
    )
    def suspend(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Suspend the account for the reason given."""
        account = suspend_account(get_object_or_404(Account, pk=object_id), form.cleaned_data["reason"])
        logged = f"Suspended: {form.cleaned_data['reason']}"
        return self.done(request, account, _("%s is suspended. Its calls are refused.") % account, logged)

    @action(
        description=_("Reactivate"),
        icon="play_circle",
        permissions=["reactivate"],
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": _("Reactivate this account?"),
            "description": _("Its calls are answered again from now on."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Reactivate account"),
        },
    )
    def reactivate(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """End the suspension for the reason given."""
        account = reactivate_account(get_object_or_404(Account, pk=object_id))
        logged = f"Reactivated: {form.cleaned_data['reason']}"
        return self.done(request, account, _("%s is active again.") % account, logged)

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for an account that is not suspended."""
        return self.has_act_permission(request) and not _is_suspended(object_id)

    def has_reactivate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a suspended account."""
        return self.has_act_permission(request) and _is_suspended(object_id)


def _is_suspended(account_id: Any) -> bool:
    return Account.objects.filter(pk=account_id).exclude(suspended_at=None).exists()
