"""/api/v1/account and /api/v1/plans: whose account it is, what its plan includes, and which plans there are."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.currencies import CURRENCIES, DEFAULT_CURRENCY
from accounts.models import Account, ApiKey
from billing.models import PlanVersion
from billing.standing import Standing, coming_change, standing_of
from gateway import errors
from gateway.api import REFUSALS
from gateway.api_access import account_of

TAGS = ["Account"]

# What a version of a plan allows, by its column. `null` is without limit.
_LIMITS = (
    "calls_per_period", "included_credit_nano", "requests_per_minute", "tokens_per_minute", "concurrency",
    "price_ceiling_nano", "max_body_bytes", "max_output_tokens",
)  # fmt: skip


class PlanSerializer(serializers.Serializer[Any]):
    """A plan as it is sold now. Limits that are `null` do not limit."""

    plan = serializers.CharField(help_text="Its code, such as `pro`.")
    name = serializers.CharField()
    version = serializers.IntegerField()
    by_agreement = serializers.BooleanField(help_text="Sold in a conversation.")
    currency = serializers.CharField()
    price_minor = serializers.IntegerField(
        allow_null=True, help_text="A month, in the currency's smallest unit; 900 is $9. null: negotiated."
    )
    pay_as_you_go = serializers.BooleanField(help_text="Whether calls go on, charged, past what is included.")
    calls_per_period = serializers.IntegerField(allow_null=True)
    included_credit_nano = serializers.IntegerField()
    requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    price_ceiling_nano = serializers.IntegerField(
        allow_null=True, help_text="Of a model, a million output tokens."
    )
    max_body_bytes = serializers.IntegerField()
    max_output_tokens = serializers.IntegerField()
    features = serializers.ListField(child=serializers.CharField())


class PlanListSerializer(serializers.Serializer[Any]):
    """The price list."""

    object = serializers.CharField(default="list")
    data = PlanSerializer(many=True)  # type: ignore[assignment]


class ComingPlanSerializer(serializers.Serializer[Any]):
    """A change of plan that is agreed."""

    plan = serializers.CharField()
    at = serializers.DateTimeField()


class PeriodSerializer(serializers.Serializer[Any]):
    """The billing period that runs, and what was used in it. Trails the calls by seconds."""

    key = serializers.CharField(help_text="Such as `2026-11`.")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The first moment after it.")
    calls = serializers.IntegerField(help_text="Answered calls: the ones that count against the plan.")
    cost_nano = serializers.IntegerField(help_text="What they cost, before credit.")
    included_credit_nano = serializers.IntegerField(help_text="The plan's credit for this period.")
    prepaid_nano = serializers.IntegerField(help_text="How much usage past it other credit covers.")
    charged_nano = serializers.IntegerField(help_text="What no credit covers.")


class AccountSerializer(serializers.Serializer[Any]):
    """An account."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Account.Kind.choices)
    currency = serializers.CharField()
    time_zone = serializers.CharField()
    created_at = serializers.DateTimeField()
    plan = PlanSerializer()
    coming_plan = ComingPlanSerializer(allow_null=True)
    period = PeriodSerializer()


class OneAccount(APIView):
    """GET /api/v1/account."""

    @extend_schema(
        operation_id="account", summary="Your account, its plan and what is used", tags=TAGS,
        responses={200: AccountSerializer, 401: REFUSALS[401], 403: REFUSALS[403]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the account that the key belongs to, or that the member works in."""
        account, now = account_of(request, "see_usage"), timezone.now()
        standing, coming = standing_of(account, now), coming_change(account, now)
        told = ("name", "kind", "currency", "time_zone", "created_at")
        return Response({
            "id": str(account.pk),
            **{name: getattr(account, name) for name in told},
            "plan": described(standing.version),
            "coming_plan": coming and {"plan": coming.version.plan.slug, "at": coming.at},
            "period": _period(standing),
        })  # fmt: skip


class Plans(APIView):
    """GET /api/v1/plans."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="plans", summary="The plans and their limits", tags=TAGS, auth=[],
        parameters=[
            OpenApiParameter("currency", str, enum=list(CURRENCIES), description="Your account's, unless given.")
        ],
        responses={200: PlanListSerializer, 400: REFUSALS[400]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the price list, to anybody."""
        currency = request.query_params.get("currency") or _own_currency(request)
        if currency not in CURRENCIES:
            raise errors.invalid_request(f"`currency` must be one of {', '.join(CURRENCIES)}.", "currency")
        sold = PlanVersion.objects.current(currency=currency)
        return Response({"object": "list", "data": [described(version) for version in sold]})


def described(version: PlanVersion) -> dict[str, Any]:
    """Return a version of a plan as the API tells it."""
    return {
        "plan": version.plan.slug,
        "name": version.plan.name,
        "version": version.number,
        "by_agreement": version.plan.by_agreement,
        "currency": version.currency,
        "price_minor": version.price_minor,
        "pay_as_you_go": version.overage,
        **{name: getattr(version, name) for name in _LIMITS},
        "features": version.features,
    }


def _period(standing: Standing) -> dict[str, Any]:
    period = standing.period
    return {
        "key": period.key,
        "start": period.start,
        "end": period.end,
        "calls": standing.calls,
        "cost_nano": standing.nano,
        "included_credit_nano": standing.included_nano,
        "prepaid_nano": standing.prepaid_nano,
        "charged_nano": standing.charged_nano,
    }


def _own_currency(request: Request) -> str:
    if isinstance(request.auth, ApiKey):
        return str(request.auth.account.currency)
    membership = getattr(request, "membership", None) if request.user else None
    return str(membership.account.currency) if membership else DEFAULT_CURRENCY
