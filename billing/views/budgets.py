"""The screens of budgets: what is used of each, setting one, changing it, ending it."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.decorators import MemberRequest, forbidden, member_required, who_may
from accounts.models import Account
from accounts.permissions import may
from billing.budget_forms import BudgetEditForm, BudgetForm
from billing.budget_use import row_of
from billing.budget_window import Window
from billing.budgets import end_budget, set_budget
from billing.models import AlertFired, Budget

LATEST_ALERTS = 20


@require_GET
@member_required("see_usage")
def budget_list(request: MemberRequest) -> HttpResponse:
    """Every budget in force with what is used of it: the account's, then members', then keys'.

    With `?whose=key:<id>` or `member:<id>` those of one.
    """
    account, whose = request.membership.account, request.GET.get("whose", "")
    budgets = (
        Budget.objects.in_force().filter(account=account).select_related("account", "member__user", "key")
    )
    shown = [budget for budget in budgets if not whose or f"{budget.scope}:{budget.subject_id}" == whose]
    order = list(Budget.Scope.values)
    rows = sorted(map(row_of, shown), key=lambda row: (order.index(row.budget.scope), row.whose))
    return render(request, "billing/budgets.html", {"rows": rows, "whose": whose, **_rights(request)})


@require_http_methods(["GET", "POST"])
@member_required("manage_budgets")
def budget_create(request: MemberRequest) -> HttpResponse:
    """Ask for a new budget. One for the same calls and window is replaced: there is one of each."""
    account = request.membership.account
    chosen = {"whose": request.GET.get("whose", "account")}
    form = BudgetForm(account, request.POST or None, initial=chosen)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        budget = set_budget(
            account, Window(data["window"]), data["limit"], hard_stop=data["hard_stop"],
            thresholds=data["thresholds"], by=request.user, **form.subject,
        )  # fmt: skip
        messages.success(request, _("The budget is set. It applies from the next call on."))
        return redirect("budget", budget.pk)
    return render(request, "billing/budget_create.html", {"form": form})


@require_http_methods(["GET", "POST"])
@member_required("see_usage")
def budget(request: MemberRequest, budget_id: uuid.UUID) -> HttpResponse:
    """One budget: what is used, what was told, and the form to change it. 404 for another account's.

    A change ends the row and makes another, so an old address (in a mail) leads to the one in force.
    """
    account = request.membership.account
    found = _budget(account, budget_id)
    if found.ended_at and (successor := _successor(found)):
        return redirect("budget", successor.pk)
    form = BudgetEditForm(account, request.POST or None, budget=found)
    if request.method == "POST":
        if not may(request.membership.role, "manage_budgets"):
            return forbidden(request, account, "manage_budgets")
        if form.is_valid() and not found.ended_at:
            return _changed(request, found, form)
    alerts = AlertFired.objects.filter(account=account, measure="budget", budget__in=_line(found))
    context = {"row": row_of(found), "form": form, "alerts": alerts.filter(carried=False)[:LATEST_ALERTS]}
    return render(request, "billing/budget_page.html", context | _rights(request))


@require_POST
@member_required("manage_budgets")
def budget_end(request: MemberRequest, budget_id: uuid.UUID) -> HttpResponse:
    """End a budget: nothing is counted or stopped by it from the next call on."""
    found = end_budget(_budget(request.membership.account, budget_id))
    messages.success(request, _("The budget has ended. It stops no call any more."))
    return redirect("budget" if _successor(found) else "budgets", *([found.pk] if _successor(found) else []))


def _changed(request: MemberRequest, found: Budget, form: BudgetEditForm) -> HttpResponse:
    data = form.cleaned_data
    subject: dict[str, Any] = {"member": found.member, "key": found.key}
    changed = set_budget(
        found.account, Window(found.window), data["limit"], hard_stop=data["hard_stop"],
        thresholds=data["thresholds"], by=request.user, **subject,
    )  # fmt: skip
    messages.success(request, _("The budget is changed. Calls are held against it within a second."))
    return redirect("budget", changed.pk)


def _budget(account: Account, budget_id: uuid.UUID) -> Budget:
    budgets = Budget.objects.select_related("account", "member__user", "key")
    return get_object_or_404(budgets, pk=budget_id, account=account)


def _line(found: Budget) -> list[uuid.UUID]:
    """The rows of the same calls and window, ended ones too: what people call one budget."""
    same = Budget.objects.filter(
        account=found.account_id,
        scope=found.scope,
        member=found.member_id,
        key=found.key_id,
        window=found.window,
    )
    return list(same.values_list("pk", flat=True))


def _successor(found: Budget) -> Budget | None:
    return Budget.objects.in_force().filter(pk__in=_line(found)).exclude(pk=found.pk).first()


def _rights(request: MemberRequest) -> dict[str, Any]:
    may_manage = may(request.membership.role, "manage_budgets")
    helpers = [] if may_manage else who_may(request.membership.account, "manage_budgets")
    return {"may_manage": may_manage, "helpers": helpers}
