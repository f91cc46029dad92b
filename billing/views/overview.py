"""The billing screen: where the account stands, its budget, the plans; and the forms behind it."""

import uuid
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.decorators import MemberRequest, member_required, who_may
from accounts.permissions import may
from billing.budgets import set_pay_as_you_go_cap
from billing.forms import BudgetForm, DetailsForm
from billing.models import Plan, PlanVersion
from billing.payment_standing import payment_standing_of
from billing.standing import Standing, coming_change, standing_of
from billing.subscriptions import change_plan, starting_moment
from billing.views import paying


@require_GET
@member_required("see_billing")
def overview(request: MemberRequest) -> HttpResponse:
    """Plan, meters, forecast, the next statement, budget, and the plans side by side."""
    standing = standing_of(request.membership.account, timezone.now())
    return _page(request, standing, _budget_form(standing))


@require_POST
@member_required("manage_billing")
def budget(request: MemberRequest) -> HttpResponse:
    """Save the cap on pay as you go. Only plans that have pay as you go have a budget."""
    account = request.membership.account
    standing = standing_of(account, timezone.now())
    if not (standing.version.overage and standing.subscription):
        messages.error(request, _("Your plan stops by itself, so it needs no budget."))
        return redirect("billing")
    form = BudgetForm(account.currency, request.POST)
    if not form.is_valid():
        return _page(request, standing, form)
    set_pay_as_you_go_cap(account, standing.version, form.budget_nano, by=request.user)
    messages.success(request, _("Your budget is saved. It applies from the next call on."))
    return redirect("billing")


@require_http_methods(["GET", "POST"])
@member_required("manage_billing")
def plan_change(request: MemberRequest, slug: str) -> HttpResponse:
    """Say what a change to another plan means; a POST makes it. 404 for plans that are not for self-service.

    A POST for the plan that the account is on takes back a change that has not begun.
    """
    account, now = request.membership.account, timezone.now()
    sold = PlanVersion.objects.current(now, account.currency).filter(plan__by_agreement=False)
    version = get_object_or_404(sold, plan__slug=slug)
    standing = standing_of(account, now)
    if standing.version.plan.by_agreement:
        messages.error(request, _("Your plan was made by agreement. Write to us to change it."))
        return redirect("billing")
    begins = starting_moment(standing.version, version, now)
    if request.method == "POST" and not is_manual():
        return paying.go_to_change(request, version)
    if request.method == "POST":
        later = standing.period.end if request.POST.get("when") == "next" else None
        change_plan(account, slug, starts_at=later, by=request.user)
        messages.success(request, _said(standing, version, later or begins, now))
        return redirect("billing")
    if version.plan_id == standing.version.plan_id:
        messages.info(request, _("You are on %(plan)s already.") % {"plan": version.plan.name})
        return redirect("billing")
    context = {
        "standing": standing,
        "version": version,
        "at_once": begins <= now,
        "manual": is_manual(),
        "once": uuid.uuid4(),
        "preview": None if is_manual() else paying.preview_of(account, version, at_once=begins <= now),
    }
    return render(request, "billing/plan_change.html", context)


@require_http_methods(["GET", "POST"])
@member_required("manage_billing")
def details(request: MemberRequest) -> HttpResponse:
    """Ask for name, e-mail, address and tax id; they stand on the next PDF."""
    form = DetailsForm(request.POST or None, instance=request.membership.account)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your billing details are saved. They stand on the next statement."))
        return redirect("billing")
    return render(request, "billing/details.html", {"form": form})


def _said(standing: Standing, version: PlanVersion, begins: datetime, now: datetime) -> str:
    """What the toast says after a change."""
    plan = {"plan": version.plan.name, "date": date_format(begins, "DATE_FORMAT")}
    if version.plan_id == standing.version.plan_id:
        return _("You stay on %(plan)s.") % plan
    return (_("You are on %(plan)s now.") if begins <= now else _("%(plan)s begins on %(date)s.")) % plan


def is_manual() -> bool:
    """Whether statements are issued by hand, since no payment provider is configured."""
    return not settings.STRIPE_SECRET_KEY


def _budget_form(standing: Standing) -> BudgetForm:
    return BudgetForm(standing.account.currency, budget_nano=standing.budget_nano)


def _page(request: MemberRequest, standing: Standing, form: BudgetForm) -> HttpResponse:
    may_manage = may(request.membership.role, "manage_billing")
    context = {
        "standing": standing,
        "prepaid_nano": standing.prepaid_nano,
        "form": form,
        "plans": list(PlanVersion.objects.current(currency=standing.account.currency)),
        "last_day": standing.period.end - timedelta(days=1),
        "may_manage": may_manage,
        "helpers": [] if may_manage else who_may(standing.account, "manage_billing"),
        "manual": is_manual(),
        "paying": payment_standing_of(standing.account, timezone.now()),
        "default_slug": Plan.objects.get(is_default=True).slug,
        "contact": parseaddr(settings.DEFAULT_FROM_EMAIL)[1],
        "coming": coming_change(standing.account, timezone.now()),
    }
    return render(request, "billing/overview.html", context)
