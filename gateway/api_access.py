"""Who may use the management API: members by their role; keys may look, and change nothing.

A key that could raise the budget that limits it, or make another key, would be limited by nothing.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Account, ApiKey, Membership
from accounts.permissions import may
from gateway import errors


class StrictSerializer(serializers.Serializer[Any]):
    """A body in which every field is known: a misspelled limit must not be taken for no limit."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse fields that nobody reads."""
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({unknown[0]: "There is no such field. Leave it out."})
        return super().to_internal_value(data)


def read(body: type[StrictSerializer], data: Any, *, partial: bool = False) -> dict[str, Any]:
    """Return what a body, or a query, says. ValidationError, a 400, for what it must not say."""
    serializer = body(data=data, partial=partial)
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = dict(serializer.validated_data)
    return found


def account_of(request: Request, action: str) -> Account:
    """Return the account that the request may look at. Refusal 403 for a member whose role may not `action`."""
    if isinstance(request.auth, ApiKey):
        return request.auth.account
    return member_of(request, action).account


def member_of(request: Request, action: str) -> Membership:
    """Return the signed-in member who may do `action` (accounts/permissions.py). Refusal 403 for anybody else."""
    if isinstance(request.auth, ApiKey):
        raise errors.permission_denied(
            "This is for signed-in members: an API key may look at limits and usage, and change nothing. Sign in, "
            "or use the console.",
            "key",
            "role",
        )
    membership: Membership | None = getattr(request, "membership", None)
    if not membership:
        raise errors.permission_denied(
            "You are in no account. Ask to be added to one.", "account", "membership"
        )
    if not may(membership.role, action):
        raise errors.permission_denied(
            "Your role does not allow this. Ask an owner of the account.", "account", "role"
        )
    return membership


class Unknown(APIView):
    """A path below /api/v1 that means nothing: its clients get the error object, and no page for people."""

    authentication_classes = ()
    permission_classes = ()
    schema = None  # not in the OpenAPI document

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every verb. Refusal `unknown_endpoint`."""
        raise errors.unknown_endpoint(request.path)
