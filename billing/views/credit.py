"""The screen of credit: what is left, where it came from, buying more, by hand or by itself."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.decorators import MemberRequest, member_required, who_may
from accounts.permissions import may
from billing import topups
from billing.credit_balances import balances
from billing.forms import AutoTopUpForm, TopUpForm
from billing.models import AutoTopUp
from billing.payments import PaymentError, ProviderAway, payment_provider


@require_GET
@member_required("see_billing")
def credit(request: MemberRequest) -> HttpResponse:
    """The balance, every grant with what is left of it, and the ways to get more."""
    return _page(request)


@require_POST
@member_required("manage_billing")
def top_up(request: MemberRequest) -> HttpResponse:
    """Send the customer to the provider's page; without a provider, say how else to pay."""
    account = request.membership.account
    form = TopUpForm(account.currency, request.POST)
    if not form.is_valid():
        return _page(request, top_up_form=form)
    try:
        page = topups.start_top_up(account, form.amount_minor, request.build_absolute_uri(reverse("credit")))
    except ProviderAway:
        messages.error(
            request, _("The payment provider does not answer. Nothing was charged. Try again soon.")
        )
        return redirect("credit")
    except PaymentError as error:
        messages.error(request, str(error))
        return redirect("credit")
    return redirect(page)


@require_POST
@member_required("manage_billing")
def auto_top_up(request: MemberRequest) -> HttpResponse:
    """Save when to buy credit by itself, how much, and at most how much a month."""
    account = request.membership.account
    form = AutoTopUpForm(account.currency, request.POST)
    if not form.is_valid():
        return _page(request, auto_form=form)
    AutoTopUp.objects.update_or_create(
        account=account, defaults=form.figures | {"paused_at": None, "pause_reason": ""}
    )
    on = form.figures["enabled"]
    messages.success(request, _("Automatic top-up is on.") if on else _("Automatic top-up is off."))
    return redirect("credit")


def _page(request: MemberRequest, **forms: Any) -> HttpResponse:
    account, now = request.membership.account, timezone.now()
    rows = balances(account, now)
    settings = AutoTopUp.objects.filter(account=account).first()
    may_manage = may(request.membership.role, "manage_billing")
    context = {
        "rows": rows,
        "left_nano": sum(row.left for row in rows),
        "collects": payment_provider().collects,
        "auto": settings,
        "bought_minor": topups.bought_this_month(account),
        "top_up_form": TopUpForm(account.currency),
        "auto_form": AutoTopUpForm(account.currency, settings=settings),
        "may_manage": may_manage,
        "helpers": [] if may_manage else who_may(account, "manage_billing"),
        "now": now,
    }
    return render(request, "billing/credit.html", context | forms)
