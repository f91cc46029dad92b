"""/api/v1/members: who is in the account, with which role. For members; an API key is told of nobody."""

from typing import Any
from uuid import UUID

from django import forms
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.forms import MemberForm, RoleForm
from accounts.members import MemberChangeRefusedError, add_member, change_role, remove_member
from accounts.models import Membership, Role
from gateway import errors
from gateway.api_access import StrictSerializer, member_of, read
from gateway.api_budgets import CHANGED

TAGS = ["Members"]


class RoleSerializer(StrictSerializer):
    """What may be changed of a member."""

    role = serializers.ChoiceField(choices=Role.choices)


class NewMemberSerializer(RoleSerializer):
    """Somebody to add, who must have signed up already."""

    email = serializers.EmailField()


class MemberSerializer(serializers.Serializer[Any]):
    """A member."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField()


class MemberListSerializer(serializers.Serializer[Any]):
    """A list."""

    object = serializers.CharField(default="list")
    data = MemberSerializer(many=True)  # type: ignore[assignment]


class Members(APIView):
    """GET and POST /api/v1/members."""

    @extend_schema(
        operation_id="members", summary="List the account's members", tags=TAGS,
        responses={200: MemberListSerializer, 401: CHANGED[401], 403: CHANGED[403]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return every member, oldest first."""
        account = member_of(request, "see_usage").account
        found = Membership.objects.filter(account=account).select_related("user")
        return Response({"object": "list", "data": [described(member) for member in found]})

    @extend_schema(
        operation_id="add_member", summary="Add a member", tags=TAGS, request=NewMemberSerializer,
        responses={201: MemberSerializer} | CHANGED,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Add somebody who has signed up."""
        acting = member_of(request, "manage_members")
        form = MemberForm(acting, read(NewMemberSerializer, request.data))
        role = _cleaned(form)["role"]
        assert form.found is not None
        return Response(described(add_member(acting, form.found, role)), status=201)


class OneMember(APIView):
    """PATCH and DELETE /api/v1/members/{id}."""

    @extend_schema(
        operation_id="change_member", summary="Give a member another role", tags=TAGS, request=RoleSerializer,
        responses={200: MemberSerializer} | CHANGED,
    )  # fmt: skip
    def patch(self, request: Request, member_id: UUID) -> Response:
        """Change the role. An account keeps an owner, and only owners make owners: else 403."""
        acting = member_of(request, "manage_members")
        member = _found(acting, member_id)
        role = _cleaned(RoleForm(acting, read(RoleSerializer, request.data)))["role"]
        try:
            return Response(described(change_role(acting, member, role)))
        except MemberChangeRefusedError as refusal:
            raise errors.permission_denied(str(refusal), "account", "role") from None

    @extend_schema(
        operation_id="remove_member", summary="Remove a member, or leave", tags=TAGS,
        responses={204: None} | CHANGED,
    )  # fmt: skip
    def delete(self, request: Request, member_id: UUID) -> Response:
        """Remove a member. Anybody may remove themselves."""
        acting = member_of(request, "see_usage")
        member = _found(acting, member_id)
        if member.pk != acting.pk:
            acting = member_of(request, "manage_members")
        try:
            remove_member(acting, member)
        except MemberChangeRefusedError as refusal:
            raise errors.permission_denied(str(refusal), "account", "role") from None
        return Response(status=204)


def described(member: Membership) -> dict[str, Any]:
    """Return a member as the API tells it."""
    told = {"id": str(member.pk), "email": member.user.email, "name": member.user.name}
    return told | {"role": member.role, "created_at": member.created_at}


def _cleaned(form: forms.Form) -> dict[str, Any]:
    """Hold it to what the screen's form accepts, in the same words."""
    if not form.is_valid():
        raise serializers.ValidationError(
            {name: [str(word) for word in words] for name, words in form.errors.items()}
        )
    return form.cleaned_data


def _found(acting: Membership, member_id: UUID) -> Membership:
    members = Membership.objects.filter(account=acting.account).select_related("user")
    member = members.filter(pk=member_id).first()
    if member is None:
        raise errors.not_found("member")
    return member
