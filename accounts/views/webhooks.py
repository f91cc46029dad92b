"""The screens of webhooks: endpoints, their secret (shown once), what was sent to them."""

import json
import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.decorators import MemberRequest, member_required
from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.once import first_time, new_token
from accounts.webhook_forms import EndpointForm
from accounts.webhooks import endpoints
from accounts.webhooks.endpoints import EndpointRefusedError

PAGE = 20


@require_GET
@member_required("manage_webhooks")
def webhook_list(request: MemberRequest) -> HttpResponse:
    """The account's endpoints, each with the state of its latest message."""
    return render(request, "accounts/webhooks.html", {"endpoints": _endpoints(request)})


@never_cache  # sends no-store: the answer to a POST carries the secret
@require_http_methods(["GET", "POST"])
@member_required("manage_webhooks")
def webhook_create(request: MemberRequest) -> HttpResponse:
    """Ask for an address and events; answer a valid POST with the secret, for the only time."""
    form = EndpointForm(request.POST or None, initial={"events": ["budget.threshold_reached"]})
    if request.method == "POST" and form.is_valid():
        if not first_time(request):
            messages.info(request, _("That endpoint was added already. Its secret cannot be shown again."))
            return redirect("webhooks")
        try:
            endpoint, secret = endpoints.add_endpoint(
                request.membership.account, form.cleaned_data["url"], form.cleaned_data["events"],
                description=form.cleaned_data["description"], by=request.user,
            )  # fmt: skip
        except ValueError as refusal:
            form.add_error(None, str(refusal))
        else:
            return render(request, "accounts/webhook_secret.html", {"endpoint": endpoint, "secret": secret})
    return render(request, "accounts/webhook_create.html", {"form": form, "once": new_token()})


@require_http_methods(["GET", "POST"])
@member_required("manage_webhooks")
def webhook(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """One endpoint: its settings and its latest messages. 404 for another account's."""
    endpoint = _endpoint(request, endpoint_id)
    form = EndpointForm(request.POST or None, endpoint=endpoint)
    if request.method == "POST" and form.is_valid():
        for name in ("url", "description", "events"):
            setattr(endpoint, name, form.cleaned_data[name])
        endpoint.save(update_fields=["url", "description", "events"])
        messages.success(request, _("The endpoint is saved. It applies from the next message on."))
        return redirect("webhook", endpoint.pk)
    page = Paginator(endpoint.deliveries.all(), PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/webhook.html", {"endpoint": endpoint, "form": form, "page": page})


@never_cache
@require_http_methods(["GET", "POST"])
@member_required("manage_webhooks")
def webhook_rotate(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Ask, then give the endpoint a new secret and show it, for the only time."""
    endpoint = _endpoint(request, endpoint_id)
    if request.method == "POST":
        if not first_time(request):
            messages.info(request, _("The secret was rotated already, and cannot be shown again."))
            return redirect("webhook", endpoint.pk)
        secret = endpoints.rotate_secret(endpoint)
        context = {"endpoint": endpoint, "secret": secret, "rotated": True}
        return render(request, "accounts/webhook_secret.html", context)
    return render(request, "accounts/webhook_rotate.html", {"endpoint": endpoint, "once": new_token()})


@require_POST
@member_required("manage_webhooks")
def webhook_switch(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Switch the endpoint off, or on again where it is off."""
    endpoint = _endpoint(request, endpoint_id)
    if endpoint.disabled_at:
        endpoints.enable(endpoint)
        messages.success(request, _("The endpoint is on. Send what it missed again from the list below."))
    else:
        endpoints.disable(endpoint)
        messages.success(request, _("The endpoint is off. No message goes there."))
    return redirect("webhook", endpoint.pk)


@require_POST
@member_required("manage_webhooks")
def webhook_test(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Send a test message."""
    endpoint = _endpoint(request, endpoint_id)
    try:
        endpoints.ping(endpoint)
    except EndpointRefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("A test message is on its way. It appears below within seconds."))
    return redirect("webhook", endpoint.pk)


@require_POST
@member_required("manage_webhooks")
def webhook_remove(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Remove the endpoint with its messages."""
    endpoint = _endpoint(request, endpoint_id)
    endpoint.delete()
    messages.success(
        request, _("The endpoint is removed. No message goes to %(url)s.") % {"url": endpoint.url}
    )
    return redirect("webhooks")


@require_GET
@member_required("manage_webhooks")
def webhook_message(request: MemberRequest, delivery_id: uuid.UUID) -> HttpResponse:
    """One message as it is sent: in a drawer, or as a page of its own."""
    delivery = _delivery(request, delivery_id)
    body = json.dumps(json.loads(delivery.body), indent=2, ensure_ascii=False)
    drawer = request.headers.get("X-Drawer") == "1"
    template = "accounts/webhook_message.html" if drawer else "accounts/webhook_message_page.html"
    return render(request, template, {"delivery": delivery, "body": body})


@require_POST
@member_required("manage_webhooks")
def webhook_again(request: MemberRequest, delivery_id: uuid.UUID) -> HttpResponse:
    """Send a message again, with the same id."""
    delivery = _delivery(request, delivery_id)
    try:
        endpoints.send_again(delivery)
    except EndpointRefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The message is on its way again, with the same id."))
    return redirect("webhook", delivery.endpoint_id)


def _endpoints(request: MemberRequest) -> QuerySet[WebhookEndpoint]:
    latest = WebhookDelivery.objects.filter(endpoint=OuterRef("pk")).order_by("-created_at")
    return WebhookEndpoint.objects.filter(account=request.membership.account).annotate(
        latest_state=Subquery(latest.values("state")[:1]), latest_at=Subquery(latest.values("created_at")[:1])
    )


def _endpoint(request: MemberRequest, endpoint_id: uuid.UUID) -> WebhookEndpoint:
    return get_object_or_404(WebhookEndpoint, pk=endpoint_id, account=request.membership.account)


def _delivery(request: MemberRequest, delivery_id: uuid.UUID) -> WebhookDelivery:
    deliveries = WebhookDelivery.objects.select_related("endpoint")
    return get_object_or_404(deliveries, pk=delivery_id, endpoint__account=request.membership.account)
