"""The quotes as the OpenAPI document describes them. The lean entry answers them: quote_answers.py."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api import REFUSALS, CallContract, ErrorSerializer
from gateway.quotes import LASTS_SECONDS, LONGEST_SECONDS

_NOT_FOUND = OpenApiResponse(ErrorSerializer, description="There is no such quote for this API key.")
_REDEEMED = OpenApiResponse(ErrorSerializer, description="A call has redeemed it already.")
_EXPIRED = OpenApiResponse(ErrorSerializer, description="It has expired. Nothing was charged.")

STATUSES = ["open", "redeemed", "expired", "given_back"]


class QuoteRequestSerializer(serializers.Serializer[Any]):
    """The call to be quoted, as it will be sent."""

    path = serializers.CharField(default="/v1/chat/completions", help_text="Where the call will be sent.")
    body = serializers.DictField(help_text="The JSON body that it will have.")
    expires_in = serializers.IntegerField(
        default=LASTS_SECONDS, min_value=1, max_value=LONGEST_SECONDS,
        help_text="Seconds. The quote ends sooner where the month, or a budget's day, week or month, does.",
    )  # fmt: skip


class FrozenPriceSerializer(serializers.Serializer[Any]):
    """The prices of one way that the call may take."""

    provider = serializers.CharField(help_text="As `x-inference-provider` will name it.")
    price_version = serializers.IntegerField(help_text="As `x-turnpike-price-version` will say it.")
    rates = serializers.DictField(
        child=serializers.CharField(), help_text="Unit -> the price of one, a decimal."
    )


class QuoteSerializer(serializers.Serializer[Any]):
    """A quote. Amounts are in `currency`."""

    id = serializers.UUIDField(help_text="For the call's header `X-Turnpike-Quote`.")
    object = serializers.CharField(default="quote")
    status = serializers.ChoiceField(choices=STATUSES)
    path = serializers.CharField()
    model = serializers.CharField()
    currency = serializers.CharField()
    max_cost = serializers.DecimalField(
        max_digits=24,
        decimal_places=9,
        help_text="The most that the call will cost: its hold, set aside now.",
    )
    max_cost_nano = serializers.IntegerField(help_text="The same in nano-units: 1e-9 of the currency.")
    assumes = serializers.DictField(
        child=serializers.FloatField(), help_text="Unit -> the most of it that `max_cost` counts on."
    )
    prices = FrozenPriceSerializer(many=True, help_text="Frozen: the call is charged by these.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    request_id = serializers.CharField(allow_null=True, help_text="Of the call that redeemed it.")


class Quotes(CallContract):
    """POST /api/v1/quotes."""

    @extend_schema(
        operation_id="take_quote", summary="Take a quote for a call", tags=["Quotes"],
        description="Prices a call without making it, and sets the most that it may cost aside: against the credit, "
        "the budgets, the calls of the period and the calls at once, as the call would. The call that sends "
        "`X-Turnpike-Quote: <id>` with the same key, path and body takes that over and is charged by these prices, "
        "never more than `max_cost`. Each quote is good for one call, or for three that "
        "fail. One that expires, or that you give back, costs nothing.",
        request=QuoteRequestSerializer,
        responses={
            201: QuoteSerializer, **{status: REFUSALS[status] for status in (400, 401, 402, 403, 404, 413, 429, 503)},
        },
    )  # fmt: skip
    def post(self, request: Request, **kwargs: Any) -> Response:
        """Refuse, as `CallContract` does: the entry answers."""
        return super().post(request, **kwargs)


class OneQuote(CallContract):
    """GET and DELETE /api/v1/quotes/{id}."""

    http_method_names = ["get", "delete", "options"]

    @extend_schema(
        operation_id="quote", summary="Look at a quote", tags=["Quotes"],
        description="For a day after it was redeemed or has expired, too.",
        responses={200: QuoteSerializer, 401: REFUSALS[401], 404: _NOT_FOUND, 503: REFUSALS[503]},
    )  # fmt: skip
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Refuse, as above."""
        return super().post(request, **kwargs)

    @extend_schema(
        operation_id="give_quote_back", summary="Give a quote back", tags=["Quotes"],
        description="Frees what it set aside.",
        responses={
            200: QuoteSerializer, 401: REFUSALS[401], 404: _NOT_FOUND, 409: _REDEEMED, 410: _EXPIRED,
            503: REFUSALS[503],
        },
    )  # fmt: skip
    def delete(self, request: Request, **kwargs: Any) -> Response:
        """Refuse, as above."""
        return super().post(request, **kwargs)
