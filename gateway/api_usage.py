"""/api/v1/usage and /api/v1/requests: what was used, and the record of each call. Nobody writes here.

A member sees the account's. An API key sees its own: it may sit in an app, to which the others' calls are no business.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiKey
from billing.call_log import Call, calls_page, find_call
from billing.explorer import GROUPS, Figures, Group, Name, explore
from billing.models import RollupMark
from billing.ranges import PRESETS, Range, RangeError, read_range
from gateway import errors
from gateway.api import REFUSALS
from gateway.api_access import StrictSerializer, account_of, member_of, read

TAGS = ["Usage"]
MOST_CALLS = 100
_SEEN = {401: REFUSALS[401], 403: REFUSALS[403]}


class UsageQuerySerializer(StrictSerializer):
    """What is asked of usage."""

    range = serializers.ChoiceField(
        choices=list(PRESETS), default="7d", help_text="`period` is the running month, `custom` takes days."
    )
    group = serializers.ChoiceField(choices=GROUPS, default="model", help_text="What a row stands for.")

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python's."""
        day = "A day of UTC as YYYY-MM-DD, of a custom range."
        ends = {name: serializers.CharField(required=False, help_text=day) for name in ("from", "to")}
        return super().get_fields() | ends

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Days mean a custom range, and contradict any other."""
        days = {"from", "to"} & set(attrs)
        if days and "range" not in self.initial_data:
            attrs["range"] = "custom"
        if days and attrs["range"] != "custom":
            raise serializers.ValidationError(
                {"range": "Leave it out, or say `custom`, where you give days."}
            )
        return attrs


class FiguresSerializer(serializers.Serializer[Any]):
    """Sums. The cost is what is charged, in nano-units: 1e-9 of the currency."""

    calls = serializers.IntegerField()
    failures = serializers.IntegerField(help_text="Answered with 400 or above, or abandoned.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_nano = serializers.IntegerField()


class UsageRowSerializer(FiguresSerializer):
    """Sums of one model, key or day; the field that names it is there, and the two others are not."""

    model = serializers.CharField(required=False)
    key = serializers.UUIDField(required=False, allow_null=True, help_text="null: a call without a key.")
    day = serializers.DateField(required=False)


class UsageSerializer(serializers.Serializer[Any]):
    """Usage in a range of time: whole hours of UTC, the running one included."""

    object = serializers.CharField(default="usage")
    currency = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The first moment after it.")
    group = serializers.ChoiceField(choices=GROUPS)
    still_counting = serializers.BooleanField(help_text="Calls of the last seconds are not in it yet.")
    total = FiguresSerializer()
    data = UsageRowSerializer(many=True)  # type: ignore[assignment]


class RequestsQuerySerializer(StrictSerializer):
    """Which calls are asked for."""

    limit = serializers.IntegerField(
        default=20, min_value=1, max_value=MOST_CALLS,
        help_text="About so many: calls of one millisecond are not parted.",
    )  # fmt: skip
    before = serializers.DateTimeField(required=False, help_text="`next_before` of the page before.")


class RequestSerializer(serializers.Serializer[Any]):
    """The record of a call. What was said in it is not kept."""

    id = serializers.UUIDField(help_text="The call's `x-request-id`.")
    created_at = serializers.DateTimeField()
    key = serializers.UUIDField(allow_null=True)
    endpoint = serializers.CharField()
    task = serializers.CharField()
    model = serializers.CharField()
    upstream = serializers.CharField()
    status = serializers.IntegerField()
    error = serializers.CharField(help_text="The refusal's code; empty if it succeeded.")
    kind = serializers.CharField(help_text="`final`, `abandoned` (no charge) or `late`.")
    stream = serializers.BooleanField()
    estimated = serializers.BooleanField(help_text="The upstream said nothing of usage.")
    quote = serializers.UUIDField(allow_null=True)
    units = serializers.DictField(help_text="Each unit's `quantity` and `cost_nano`.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    currency = serializers.CharField()
    cost_nano = serializers.IntegerField()
    price_version = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.IntegerField()
    first_byte_ms = serializers.IntegerField(allow_null=True)


class RequestListSerializer(serializers.Serializer[Any]):
    """A page of calls, newest first."""

    object = serializers.CharField(default="list")
    data = RequestSerializer(many=True)  # type: ignore[assignment]
    next_before = serializers.DateTimeField(
        allow_null=True, help_text="Ask for older ones with it; null: none."
    )


class Usage(APIView):
    """GET /api/v1/usage."""

    @extend_schema(
        operation_id="usage", summary="What was used", tags=TAGS, parameters=[UsageQuerySerializer],
        description="Sums by model, key or day, as the usage screen shows them: the account's where you are signed in, "
        "a key's own with an API key.",
        responses={200: UsageSerializer, 400: REFUSALS[400]} | _SEEN,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return sums in a range of time."""
        account, own = account_of(request, "see_usage"), _own_key(request)
        asked = read(UsageQuerySerializer, request.query_params.dict())
        group: Group = asked.pop("group")
        span = _span(asked)
        found = explore(account, span, group, own)
        rows = [{group: _row_name(name)} | _figures(sums) for name, sums in found.sorted_rows(group, "cost")]
        return Response({
            "object": "usage",
            "currency": account.currency,
            "start": span.start,
            "end": span.end,
            "group": group,
            "still_counting": RollupMark.objects.filter(account_id=account.pk).exists(),
            "total": _figures(found.total),
            "data": rows,
        })  # fmt: skip


class Requests(APIView):
    """GET /api/v1/requests."""

    @extend_schema(
        operation_id="requests", summary="List your calls", tags=TAGS, parameters=[RequestsQuerySerializer],
        description="The record of each call, newest first, seconds after it ended. For members; an API key may look "
        "at its own calls one by one.",
        responses={200: RequestListSerializer, 400: REFUSALS[400]} | _SEEN,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return a page of calls."""
        account = member_of(request, "see_usage").account
        asked = read(RequestsQuerySerializer, request.query_params.dict())
        page, older = calls_page(account, asked["limit"], asked.get("before"))
        return Response({"object": "list", "data": _described_all(page), "next_before": older})


class OneRequest(APIView):
    """GET /api/v1/requests/{id}."""

    @extend_schema(
        operation_id="request", summary="Look at one call", tags=TAGS,
        responses={200: RequestSerializer, 404: REFUSALS[404]} | _SEEN,
    )  # fmt: skip
    def get(self, request: Request, request_id: UUID) -> Response:
        """Return the record of a call."""
        account, own = account_of(request, "see_usage"), _own_key(request)
        call = find_call(account, request_id)
        if call is None or (own is not None and call.event.api_key_id != own):
            raise errors.not_found("recorded call")
        return Response(described(call))


def described(call: Call) -> dict[str, Any]:
    """Return a call as the API tells it."""
    event = call.event
    told = (
        "endpoint", "task", "model", "upstream", "status", "kind", "stream", "estimated", "currency", "latency_ms",
        "first_byte_ms",
    )  # fmt: skip
    units = {
        unit: {"quantity": quantity, "cost_nano": nano} for unit, (quantity, nano) in event.units.items()
    }
    return {
        "id": str(event.request_id),
        "created_at": event.occurred_at,
        "key": event.api_key_id and str(event.api_key_id),
        "error": event.error_code,
        "quote": event.quote_id and str(event.quote_id),
        "units": units,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "cost_nano": event.nano_cost,
        "price_version": event.price_version_id,
    } | {name: getattr(event, name) for name in told}


def _described_all(calls: Iterable[Call]) -> list[dict[str, Any]]:
    return [described(call) for call in calls]


def _own_key(request: Request) -> UUID | None:
    """The key that asks, whose own is shown; None for a member, who sees the account's."""
    return request.auth.pk if isinstance(request.auth, ApiKey) else None


def _span(query: dict[str, str]) -> Range:
    try:
        return read_range(query, timezone.now())
    except RangeError as failure:
        raise errors.invalid_request(str(failure), "from") from None


def _figures(sums: Figures) -> dict[str, int]:
    told = ("calls", "failures", "input_tokens", "output_tokens")
    return {name: getattr(sums, name) for name in told} | {"cost_nano": sums.nano}


def _row_name(name: Name) -> str | None:
    if isinstance(name, datetime):
        return f"{name:%Y-%m-%d}"
    return None if name is None else str(name)
