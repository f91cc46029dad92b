"""/api/v1/keys: the account's keys. A secret is in the answer that made it, and nowhere else."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.keys import issue_key, revoke_key
from accounts.models import ApiKey
from accounts.restrictions import validate_models, validate_networks, validate_tasks
from gateway import errors
from gateway.api_access import StrictSerializer, account_of, member_of
from gateway.api_budgets import CHANGED

TAGS = ["Keys"]
LISTS: dict[str, Callable[[Any], None]] = {
    "allowed_models": validate_models,
    "allowed_tasks": validate_tasks,
    "allowed_networks": validate_networks,
}

STATUSES = ["active", "expired", "revoked"]


class KeyChangeSerializer(StrictSerializer):
    """What may be set of a key. An empty list allows everything that the account may."""

    name = serializers.CharField(max_length=80)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    allowed_models = serializers.ListField(child=serializers.CharField(), required=False)
    allowed_tasks = serializers.ListField(child=serializers.CharField(), required=False)
    allowed_networks = serializers.ListField(child=serializers.CharField(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hold the lists to what the columns accept."""
        for name, check in LISTS.items():
            try:
                check(attrs.get(name, []))
            except ValidationError as failure:
                raise serializers.ValidationError({name: failure.messages}) from None
        return attrs


class KeySerializer(serializers.Serializer[Any]):
    """A key, masked."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    key = serializers.CharField(help_text="Its prefix and its last four characters.")
    status = serializers.ChoiceField(choices=STATUSES)
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    allowed_models = serializers.ListField(child=serializers.CharField())
    allowed_tasks = serializers.ListField(child=serializers.CharField())
    allowed_networks = serializers.ListField(child=serializers.CharField())


class NewKeySerializer(KeySerializer):
    """A key with its secret, once."""

    secret = serializers.CharField(help_text="`tp_live_…`. Keep it: it is not shown again.")


class KeyListSerializer(serializers.Serializer[Any]):
    """A list."""

    object = serializers.CharField(default="list")
    data = KeySerializer(many=True)  # type: ignore[assignment]


class Keys(APIView):
    """GET and POST /api/v1/keys."""

    @extend_schema(
        operation_id="keys", summary="List the account's keys", tags=TAGS,
        responses={200: KeyListSerializer, 401: CHANGED[401], 403: CHANGED[403]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return every key, revoked ones too."""
        found = ApiKey.objects.filter(account=account_of(request, "see_usage"))
        return Response({"object": "list", "data": [described(key) for key in found]})

    @extend_schema(
        operation_id="create_key", summary="Create a key", tags=TAGS, request=KeyChangeSerializer,
        responses={201: NewKeySerializer} | CHANGED,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Create a key and return its secret, for the only time."""
        member = member_of(request, "manage_keys")
        body = KeyChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = dict(body.validated_data)
        name, expires_at = wanted.pop("name"), wanted.pop("expires_at", None)
        with transaction.atomic():
            key, secret = issue_key(member.account, name, created_by=member.user, expires_at=expires_at)
            _set(key, wanted)
        answer = Response(described(key) | {"secret": secret}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


class OneKey(APIView):
    """GET, PATCH and DELETE /api/v1/keys/{id}."""

    @extend_schema(
        operation_id="key", summary="Look at one key", tags=TAGS, responses={200: KeySerializer} | CHANGED
    )
    def get(self, request: Request, key_id: UUID) -> Response:
        """Return one key."""
        return Response(described(_found(account_of(request, "see_usage").pk, key_id)))

    @extend_schema(
        operation_id="change_key", summary="Change a key", tags=TAGS, request=KeyChangeSerializer,
        responses={200: KeySerializer} | CHANGED,
    )  # fmt: skip
    def patch(self, request: Request, key_id: UUID) -> Response:
        """Change what is given. A revoked key cannot be changed: 404."""
        key = _found(member_of(request, "manage_keys").account_id, key_id)
        if key.revoked_at:
            raise errors.not_found("key in force")
        body = KeyChangeSerializer(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        _set(key, dict(body.validated_data))
        return Response(described(key))

    @extend_schema(
        operation_id="revoke_key", summary="Revoke a key for good", tags=TAGS,
        responses={200: KeySerializer} | CHANGED,
    )  # fmt: skip
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revoke a key; its row stays. Doing it twice keeps the first moment."""
        key = _found(member_of(request, "manage_keys").account_id, key_id)
        return Response(described(revoke_key(key)))


def described(key: ApiKey) -> dict[str, Any]:
    """Return a key as the API tells it."""
    told = ("name", "status", "expires_at", "last_used_at", "created_at", *LISTS)
    return {"id": str(key.pk), "key": key.masked} | {name: getattr(key, name) for name in told}


def _set(key: ApiKey, values: dict[str, Any]) -> None:
    if values:
        for name, value in values.items():
            setattr(key, name, value)
        key.save(update_fields=list(values))  # save(), not update(): the gateway listens to the signal


def _found(account_id: UUID, key_id: UUID) -> ApiKey:
    key = ApiKey.objects.filter(pk=key_id, account=account_id).first()
    if key is None:
        raise errors.not_found("key")
    return key
