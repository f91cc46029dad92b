"""/api/v1/budgets: what calls may cost in a window, what is used of it, and changing it."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account, ApiKey, Membership
from billing.budget_use import row_of
from billing.budget_window import Window
from billing.budgets import end_budget, set_budget
from billing.models import Budget
from billing.models.budgets import DEFAULT_THRESHOLDS
from gateway import errors
from gateway.api import REFUSALS
from gateway.api_access import StrictSerializer, account_of, member_of, read

TAGS = ["Budgets"]
MOST_NANO = 10**18  # a thousand million whole units
CHANGED = {
    400: OpenApiResponse(description="The body says what cannot be."),
    401: REFUSALS[401],
    403: OpenApiResponse(description="Your role does not allow it, or an API key asks."),
    404: OpenApiResponse(description="There is no such row in your account."),
}


class BudgetChangeSerializer(StrictSerializer):
    """What may be changed of a budget."""

    limit_nano = serializers.IntegerField(
        min_value=0, max_value=MOST_NANO, help_text="1e-9 of the account's currency; 10000000000 is $10."
    )
    hard_stop = serializers.BooleanField(
        default=True, help_text="true: at the limit calls get 402. false: you are told, and calls go on."
    )
    thresholds = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        default=lambda: list(DEFAULT_THRESHOLDS),
        max_length=10,
        help_text="Percents at which you are told, each once a window.",
    )

    def validate_thresholds(self, value: list[int]) -> list[int]:
        """In rising order, each once."""
        return sorted(set(value))


class NewBudgetSerializer(BudgetChangeSerializer):
    """A budget to set. It takes the place of the one for the same calls and window."""

    window = serializers.ChoiceField(choices=[window.value for window in Window])
    key = serializers.UUIDField(required=False, help_text="The id of the key whose calls count.")
    member = serializers.UUIDField(required=False, help_text="The id of the membership whose keys count.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Calls of a key or of a member, not of both."""
        if "key" in attrs and "member" in attrs:
            raise serializers.ValidationError("Give key or member, or neither for the whole account.")
        return attrs


class BudgetSerializer(serializers.Serializer[Any]):
    """A budget with what is used of it. Amounts in nano-units; `used_nano` trails the calls by seconds."""

    id = serializers.UUIDField()
    scope = serializers.ChoiceField(choices=Budget.Scope.values)
    key = serializers.UUIDField(allow_null=True)
    member = serializers.UUIDField(allow_null=True)
    window = serializers.ChoiceField(choices=[window.value for window in Window])
    currency = serializers.CharField()
    limit_nano = serializers.IntegerField()
    used_nano = serializers.IntegerField()
    hard_stop = serializers.BooleanField()
    thresholds = serializers.ListField(child=serializers.IntegerField())
    resets_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class BudgetListSerializer(serializers.Serializer[Any]):
    """A list."""

    object = serializers.CharField(default="list")
    data = BudgetSerializer(many=True)  # type: ignore[assignment]


class Budgets(APIView):
    """GET and POST /api/v1/budgets."""

    @extend_schema(
        operation_id="budgets", summary="List your budgets", tags=TAGS,
        responses={200: BudgetListSerializer, 401: REFUSALS[401], 403: CHANGED[403]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the budgets in force."""
        account = account_of(request, "see_usage")
        found = _budgets(account).in_force()
        return Response({"object": "list", "data": [described(budget) for budget in found]})

    @extend_schema(
        operation_id="set_budget", summary="Set a budget", tags=TAGS, request=NewBudgetSerializer,
        responses={201: BudgetSerializer} | CHANGED,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Set a budget; one for the same calls and window is ended."""
        member = member_of(request, "manage_budgets")
        wanted = read(NewBudgetSerializer, request.data)
        subject = _subject(member.account, wanted.pop("key", None), wanted.pop("member", None))
        window = Window(wanted.pop("window"))
        budget = set_budget(member.account, window, **wanted, **subject, by=member.user)
        return Response(described(budget), status=201)


class OneBudget(APIView):
    """GET, PATCH and DELETE /api/v1/budgets/{id}."""

    @extend_schema(
        operation_id="budget", summary="Look at one budget", tags=TAGS,
        responses={200: BudgetSerializer} | CHANGED,
    )  # fmt: skip
    def get(self, request: Request, budget_id: UUID) -> Response:
        """Return one budget, ended ones too."""
        return Response(described(_found(account_of(request, "see_usage"), budget_id)))

    @extend_schema(
        operation_id="change_budget", summary="Change a budget", tags=TAGS, request=BudgetChangeSerializer,
        description="The change is a new row with an id of its own; the old row is ended and stays. Calls are held "
        "against the new limit within a second.",
        responses={200: BudgetSerializer} | CHANGED,
    )  # fmt: skip
    def patch(self, request: Request, budget_id: UUID) -> Response:
        """Change what is given and keep the rest."""
        member = member_of(request, "manage_budgets")
        old = _found(member.account, budget_id)
        if old.ended_at:
            raise errors.not_found("budget in force")
        kept = {"limit_nano": old.limit_nano, "hard_stop": old.hard_stop, "thresholds": old.thresholds}
        wanted = kept | read(BudgetChangeSerializer, request.data, partial=True)
        subject: dict[str, Any] = {"key": old.key, "member": old.member}
        budget = set_budget(member.account, Window(old.window), **wanted, **subject, by=member.user)
        return Response(described(budget))

    @extend_schema(
        operation_id="end_budget", summary="End a budget", tags=TAGS,
        responses={200: BudgetSerializer} | CHANGED,
    )  # fmt: skip
    def delete(self, request: Request, budget_id: UUID) -> Response:
        """End a budget; its row stays. Ending it twice keeps the first moment."""
        member = member_of(request, "manage_budgets")
        return Response(described(end_budget(_found(member.account, budget_id))))


def described(budget: Budget) -> dict[str, Any]:
    """Return a budget as the API tells it."""
    use = row_of(budget).use
    return {
        "id": str(budget.pk),
        "scope": budget.scope,
        "key": budget.key_id and str(budget.key_id),
        "member": budget.member_id and str(budget.member_id),
        "window": budget.window,
        "currency": budget.account.currency,
        "limit_nano": budget.limit_nano,
        "used_nano": use.used_nano,
        "hard_stop": budget.hard_stop,
        "thresholds": budget.thresholds,
        "resets_at": use.window.resets_at,
        "ended_at": budget.ended_at,
    }


def _budgets(account: Account) -> Any:
    return Budget.objects.filter(account=account).select_related("account", "member__user", "key")


def _found(account: Account, budget_id: UUID) -> Budget:
    budget: Budget | None = _budgets(account).filter(pk=budget_id).first()
    if budget is None:
        raise errors.not_found("budget")
    return budget


def _subject(account: Account, key_id: UUID | None, member_id: UUID | None) -> dict[str, Any]:
    """Find the key or member of the account. Refusal 404 for another account's: it is not said to exist."""
    key = ApiKey.objects.filter(pk=key_id, account=account).first() if key_id else None
    member = Membership.objects.filter(pk=member_id, account=account).first() if member_id else None
    if (key_id and key is None) or (member_id and member is None):
        raise errors.not_found("key" if key_id else "member")
    return {"key": key, "member": member}
