"""Budgets: what customers allow themselves to spend. Staff look, add one on a customer's behalf, and end one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.enums import ActionVariant

from accounts.admin.base import ReasonDialog, action, display, tag
from billing.admin import columns
from billing.admin.history import AddOnlyAdmin
from billing.budgets import end_budget
from billing.models import Budget


@admin.register(Budget)
class BudgetAdmin(AddOnlyAdmin):
    """Budgets, running and ended. Another limit is another row."""

    list_display = ("account", "scope", "counts", "window", "limit", "hard_stop", "state", "created_at")
    list_filter = (("account", AutocompleteSelectFilter), "scope", "window", "hard_stop")
    list_select_related = ("account", "member__user", "key")
    search_fields = ("account__name", "key__name", "member__user__email")
    date_hierarchy = "created_at"
    autocomplete_fields = ("account", "key")
    actions_detail = actions_row = ("end",)

    def get_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        """What may be chosen for a new one, and what is known of an old one."""
        chosen = ("account", "scope", "member", "key", "window", "limit_nano", "hard_stop", "thresholds")
        return chosen if obj is None else (*chosen, "limit", "state", "created_by", "created_at", "ended_at")

    def save_model(self, request: HttpRequest, obj: Budget, form: forms.ModelForm[Any], change: bool) -> None:
        """Note who added it."""
        obj.created_by = None if isinstance(request.user, AnonymousUser) else request.user
        super().save_model(request, obj, form, change)

    @display(description=_("Whose"))
    def counts(self, budget: Budget) -> str:
        """The member or the key; a dash for the whole account."""
        if budget.scope == Budget.Scope.MEMBER:
            return str(budget.member.user) if budget.member else gettext("A member who has left")
        return budget.key.name if budget.key else "—"

    @display(description=_("Limit"), ordering="limit_nano")
    def limit(self, budget: Budget) -> str:
        """The limit as people write it."""
        return columns.money(budget.limit_nano, budget.account.currency)

    @display(description=_("Status"))
    def state(self, budget: Budget) -> str:
        """Running or ended."""
        return tag(gettext("Ended")) if budget.ended_at else tag(gettext("Running"), "success")

    @action(
        description=_("End"),
        icon="event_busy",
        permissions=["end"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("End this budget?"),
            "description": _("It counts nothing from now on. Its row stays."),
            "form_class": ReasonDialog,
            "form_submit_text": _("End budget"),
        },
    )
    def end(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """End the budget for the reason given."""
        budget = end_budget(get_object_or_404(Budget, pk=object_id))
        return self.done(request, budget, _("The budget has ended."), f"Ended: {form.cleaned_data['reason']}")

    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for one that runs; in a list, for every row."""
        ended = object_id and Budget.objects.filter(pk=object_id).exclude(ended_at=None).exists()
        return self.has_act_permission(request) and not ended
