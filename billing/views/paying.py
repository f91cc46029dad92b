"""Paying at Stripe: to the Checkout page and back, a change with its preview, cards on Stripe's portal."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.decorators import MemberRequest, member_required
from accounts.models import Account
from billing.collection import following, subscribing
from billing.models import PlanVersion, StripeCheckout
from billing.payments.provider import Declined, PaymentError, ProviderAway


def go_to_change(request: MemberRequest, version: PlanVersion) -> HttpResponse:
    """Make the change that a person confirmed: on a Checkout page the first time, at once after that."""
    account = request.membership.account
    key = _key(request)
    try:
        if subscribing.subscription_of(account):
            subscribing.change(account, version, key=key)
            messages.success(request, _("Done. Your plan is changed as it was shown."))
            return redirect("billing")
        later = request.POST.get("when") == "next"
        back = settings.SITE_URL + reverse("billing-paid")
        return HttpResponseRedirect(
            subscribing.subscribe_page(account, version, key=key, back_url=back, from_next=later)
        )
    except Declined as refusal:
        # With an address: the Billing page has the button to it (`paying_notices.html`).
        (messages.warning if refusal.url else messages.error)(request, str(refusal))
    except PaymentError as refusal:
        messages.error(request, str(refusal))
    except ProviderAway:
        messages.error(request, _away())
    return redirect("billing")


def preview_of(account: Account, version: PlanVersion, *, at_once: bool) -> subscribing.Preview | None:
    """What a change to a dearer plan charges now, in Stripe's own figures. None where it charges nothing now, where
    a Checkout page will say it, or while Stripe does not answer."""
    if not (at_once and subscribing.subscription_of(account)):
        return None
    try:
        return subscribing.preview_change(account, version)
    except (PaymentError, ProviderAway):
        return None


@require_GET
@member_required("manage_billing")
def paid(request: MemberRequest) -> HttpResponse:
    """Back from a Checkout page. What happened is asked of Stripe, so that a lost webhook does not matter."""
    page = StripeCheckout.objects.filter(
        pk=request.GET.get("session", ""), account=request.membership.account
    ).first()
    if page is None:
        messages.info(request, _("Nothing was paid, and nothing has changed."))
        return redirect("billing")
    try:
        followed = following.follow_checkout(page.pk)
    except (PaymentError, ProviderAway):
        followed = None
    if followed and followed.status == "complete":
        messages.success(request, _("Thank you. Your payment went through."))
    else:
        messages.info(
            request, _("Your payment is on its way. This page shows it as soon as it is confirmed.")
        )
    return redirect("billing")


@require_POST
@member_required("manage_billing")
def cards(request: MemberRequest) -> HttpResponse:
    """To Stripe's own page for cards, address and old invoices."""
    back = settings.SITE_URL + reverse("billing")
    try:
        url = subscribing.portal_page(request.membership.account, back_url=back, key=uuid.uuid4().hex)
    except PaymentError as refusal:
        messages.error(request, str(refusal))
    except ProviderAway:
        messages.error(request, _away())
    else:
        return HttpResponseRedirect(url)
    return redirect("billing")


def _key(request: MemberRequest) -> str:
    """What makes two clicks on one form one change: the form's own token."""
    try:
        return uuid.UUID(request.POST.get("once", "")).hex
    except ValueError:
        return uuid.uuid4().hex


def _away() -> str:
    return _("Stripe does not answer at the moment. Nothing has changed. Try again in a minute.")
