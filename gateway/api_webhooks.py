"""/api/v1/webhooks: where an account's own systems hear its news."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account, WebhookDelivery, WebhookEndpoint
from accounts.webhooks import endpoints
from accounts.webhooks.events import EVENTS
from gateway import errors
from gateway.api_access import StrictSerializer, member_of
from gateway.api_budgets import CHANGED

TAGS = ["Webhooks"]
NEWEST = 100


class EndpointChangeSerializer(StrictSerializer):
    """What may be set of an endpoint."""

    url = serializers.CharField(max_length=500, help_text="https, on a public address.")
    description = serializers.CharField(max_length=120, required=False, allow_blank=True)
    events = serializers.ListField(child=serializers.ChoiceField(choices=list(EVENTS)), min_length=1)


class EndpointPatchSerializer(EndpointChangeSerializer):
    """The same, and whether it is on."""

    enabled = serializers.BooleanField(required=False)


class EndpointSerializer(serializers.Serializer[Any]):
    """An endpoint. Its secret is in the answer that made it, and nowhere else."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    failing_since = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class NewEndpointSerializer(EndpointSerializer):
    """An endpoint with its secret, once."""

    secret = serializers.CharField(help_text="`whsec_…`. Keep it: it is not shown again.")


class DeliverySerializer(serializers.Serializer[Any]):
    """A message."""

    id = serializers.CharField(help_text="As in the header `webhook-id`.")
    event = serializers.CharField()
    state = serializers.ChoiceField(choices=WebhookDelivery.State.values)
    attempts = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)


class EndpointListSerializer(serializers.Serializer[Any]):
    """A list of endpoints."""

    object = serializers.CharField(default="list")
    data = EndpointSerializer(many=True)  # type: ignore[assignment]


class DeliveryListSerializer(serializers.Serializer[Any]):
    """A list of messages."""

    object = serializers.CharField(default="list")
    data = DeliverySerializer(many=True)  # type: ignore[assignment]


class Webhooks(APIView):
    """GET and POST /api/v1/webhooks."""

    @extend_schema(
        operation_id="webhooks", summary="List your webhook endpoints", tags=TAGS,
        responses={200: EndpointListSerializer, 401: CHANGED[401], 403: CHANGED[403]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the account's endpoints."""
        account = member_of(request, "manage_webhooks").account
        found = WebhookEndpoint.objects.filter(account=account)
        return Response({"object": "list", "data": [described(endpoint) for endpoint in found]})

    @extend_schema(
        operation_id="add_webhook", summary="Add a webhook endpoint", tags=TAGS, request=EndpointChangeSerializer,
        responses={201: NewEndpointSerializer} | CHANGED,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Add an endpoint and return its secret, for the only time."""
        member = member_of(request, "manage_webhooks")
        body = EndpointChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            endpoint, secret = endpoints.add_endpoint(member.account, **body.validated_data, by=member.user)
        except ValueError as refusal:
            raise serializers.ValidationError({"url": str(refusal)}) from None
        answer = Response(described(endpoint) | {"secret": secret}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


class OneWebhook(APIView):
    """GET, PATCH and DELETE /api/v1/webhooks/{id}."""

    @extend_schema(
        operation_id="webhook", summary="Look at one endpoint", tags=TAGS,
        responses={200: EndpointSerializer} | CHANGED,
    )  # fmt: skip
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """Return one endpoint."""
        return Response(described(_found(request, endpoint_id)))

    @extend_schema(
        operation_id="change_webhook", summary="Change an endpoint", tags=TAGS, request=EndpointPatchSerializer,
        responses={200: EndpointSerializer} | CHANGED,
    )  # fmt: skip
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        """Change what is given; `enabled` switches it off and on."""
        endpoint = _found(request, endpoint_id)
        body = EndpointPatchSerializer(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        wanted = dict(body.validated_data)
        enabled = wanted.pop("enabled", None)
        _check(endpoint, wanted.get("url", endpoint.url))
        for name, value in wanted.items():
            setattr(endpoint, name, value)
        endpoint.save(update_fields=list(wanted))
        if enabled is not None:
            endpoints.enable(endpoint) if enabled else endpoints.disable(endpoint)
        endpoint.refresh_from_db()
        return Response(described(endpoint))

    @extend_schema(
        operation_id="remove_webhook",
        summary="Remove an endpoint",
        tags=TAGS,
        responses={204: None} | CHANGED,
    )
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        """Remove an endpoint with its messages."""
        _found(request, endpoint_id).delete()
        return Response(status=204)


class Deliveries(APIView):
    """GET /api/v1/webhooks/{id}/deliveries."""

    @extend_schema(
        operation_id="webhook_deliveries", summary="List an endpoint's messages", tags=TAGS,
        description=f"The newest {NEWEST}, of the last 30 days.",
        responses={200: DeliveryListSerializer} | CHANGED,
    )  # fmt: skip
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """Return the newest messages, newest first."""
        rows = _found(request, endpoint_id).deliveries.all()[:NEWEST]
        return Response({"object": "list", "data": [_message(row) for row in rows]})


def described(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return an endpoint as the API tells it."""
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events,
        "enabled": endpoint.disabled_at is None,
        "failing_since": endpoint.failing_since,
        "created_at": endpoint.created_at,
    }


def _message(row: WebhookDelivery) -> dict[str, Any]:
    told = ("event", "state", "attempts", "status", "error", "created_at", "next_attempt_at")
    return {"id": row.message_id} | {name: getattr(row, name) for name in told}


def _check(endpoint: WebhookEndpoint, url: str) -> None:
    try:
        if url != endpoint.url:
            endpoints.check_address(url)
    except ValueError as refusal:
        raise serializers.ValidationError({"url": str(refusal)}) from None


def _found(request: Request, endpoint_id: UUID) -> WebhookEndpoint:
    account: Account = member_of(request, "manage_webhooks").account
    endpoint = WebhookEndpoint.objects.filter(pk=endpoint_id, account=account).first()
    if endpoint is None:
        raise errors.not_found("webhook endpoint")
    return endpoint
