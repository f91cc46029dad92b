"""GET /api/v1/limits: every limit that holds for the caller, and where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account, ApiKey, Membership
from billing.entitlements import Entitlements, budget_limits, entitlements_of, rights_of
from billing.models import Budget
from billing.period import BillingPeriod
from gateway import errors
from gateway.admission import Counted, counted_at, new_request_id, rebuild
from gateway.api import REFUSALS
from gateway.counters import Counters, Look, MeterUnavailable, Missing, Tally, connect
from gateway.limits import moment


class LimitSerializer(serializers.Serializer[Any]):
    """One limit. Amounts of money are nano-units: 1e-9 of the currency."""

    name = serializers.ChoiceField(
        choices=[
            "calls", "credit", "budget", "requests_per_minute", "tokens_per_minute", "concurrency",
            "price_ceiling", "request_bytes", "output_tokens",
        ]
    )  # fmt: skip
    scope = serializers.ChoiceField(
        choices=["key", "member", "account", "plan"], help_text="Whose count it is."
    )
    unit = serializers.CharField(help_text="calls, nano, requests, tokens or bytes.")
    limit = serializers.IntegerField(allow_null=True, help_text="null: without limit.")
    used = serializers.IntegerField(allow_null=True, help_text="null where nothing is counted.")
    held = serializers.IntegerField(allow_null=True, help_text="Set aside for calls that run now.")
    remaining = serializers.IntegerField(allow_null=True)
    resets_at = serializers.DateTimeField(
        allow_null=True, help_text="When counting starts again, or room comes."
    )
    window = serializers.ChoiceField(
        choices=["day", "week", "month", "lifetime"], required=False, help_text="Of a budget."
    )
    hard_stop = serializers.BooleanField(required=False, help_text="Of a budget: whether it stops calls.")


class LimitsSerializer(serializers.Serializer[Any]):
    """Every limit of the caller."""

    plan = serializers.CharField()
    currency = serializers.CharField()
    time_zone = serializers.CharField(help_text="By whose clock budgets of days, weeks and months begin.")
    limits = LimitSerializer(many=True)


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose limits are shown: a key's own, or a member's."""

    account: Account
    rights: Entitlements
    counted: list[Counted]


class Limits(APIView):
    """GET /api/v1/limits."""

    @extend_schema(
        operation_id="limits", summary="Where your limits stand", tags=["Account"],
        description="With an API key: the limits of its account, and the budgets that its calls count towards. Signed "
        "in: the account's and your own. The figures are the meter's, as the next call will be checked against them.",
        responses={200: LimitsSerializer, 401: REFUSALS[401], 403: REFUSALS[403], 503: REFUSALS[503]},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return every limit with scope, limit, used, held, remaining and when it resets."""
        return Response(where_they_stand(_asker(request)))


def where_they_stand(asker: Asker) -> dict[str, Any]:
    """Return every limit as the API tells it. Refusal `limiter_unavailable` where the meter does not answer."""
    look = async_to_sync(_look)(asker)
    return {
        "plan": asker.rights.plan,
        "currency": asker.rights.currency,
        "time_zone": asker.account.time_zone,
        "limits": [*_of_account(asker.rights, look), *_of_budgets(asker.counted, look.budgets)],
    }


def _asker(request: Request) -> Asker:
    key = request.auth
    if isinstance(key, ApiKey):
        rights = rights_of(key)
        return Asker(key.account, rights.entitlements, counted_at(rights.budgets, new_request_id()))
    membership: Membership | None = getattr(request, "membership", None)
    if not membership:
        raise errors.permission_denied(
            "You are in no account. Ask to be added to one.", "account", "membership"
        )
    return asker_of(membership)


def asker_of(membership: Membership) -> Asker:
    """Return a member's limits: the account's, and the budgets of the account and of the member."""
    account = membership.account
    own = Budget.objects.in_force().filter(account=account).select_related("account")
    mine = [row for row in own if row.scope == Budget.Scope.ACCOUNT or row.member_id == membership.pk]
    budgets = budget_limits(mine, account.time_zone)
    return Asker(account, entitlements_of(account), counted_at(budgets, new_request_id()))


async def _look(asker: Asker) -> Look:
    """Ask the meter; have counters that it lacks made from the ledger first. Refusal `limiter_unavailable`."""
    client = connect(settings.METER_REDIS_URL, timeout=settings.METER_TIMEOUT_SECONDS)
    counters, account_id = Counters(client), str(asker.account.pk)
    period = BillingPeriod.containing(timezone.now())
    tokens = -1 if asker.rights.tokens_per_minute is None else asker.rights.tokens_per_minute
    spends = [it.spend for it in asker.counted]
    try:
        look = await counters.peek(account_id, period, tokens, spends)
        missing = Missing(not look.quota.is_there, _absent(look.budgets))
        if not missing.quota and not missing.budgets:
            return look
        await rebuild(counters, account_id, missing, period, asker.counted)
        return await counters.peek(account_id, period, tokens, spends)
    except MeterUnavailable as failure:
        raise errors.limiter_unavailable() from failure
    finally:
        await client.aclose()


def _absent(tallies: Sequence[Tally]) -> tuple[int, ...]:
    return tuple(place for place, tally in enumerate(tallies) if not tally.is_there)


def _of_account(rights: Entitlements, look: Look) -> list[dict[str, Any]]:
    now, quota = moment(look.now_ms), look.quota
    period_end = BillingPeriod.containing(now).end
    tpm = rights.tokens_per_minute
    used_tokens = 0 if tpm is None else tpm - look.tokens_free
    next_free = now + timedelta(milliseconds=look.oldest_leaves_ms) if look.requests_this_minute else now
    whole_again = now + timedelta(seconds=60 * used_tokens / tpm) if tpm else now
    rpm, most_calls, credit = rights.requests_per_minute, rights.calls_per_period, rights.spend_limit_nano
    return [
        _row("calls", "account", "calls", most_calls, quota.calls, quota.held_calls, period_end),
        _row("credit", "account", "nano", credit, quota.nano, quota.held_nano, period_end),
        _row("requests_per_minute", "account", "requests", rpm, look.requests_this_minute, 0, next_free),
        _row("tokens_per_minute", "account", "tokens", tpm, used_tokens, 0, whole_again),
        _row("concurrency", "account", "calls", rights.concurrency, look.open_calls, 0, None),
        _row("price_ceiling", "plan", "nano", rights.price_ceiling_nano),
        _row("request_bytes", "plan", "bytes", rights.max_body_bytes),
        _row("output_tokens", "plan", "tokens", rights.max_output_tokens),
    ]


def _of_budgets(counted: Sequence[Counted], tallies: Sequence[Tally]) -> list[dict[str, Any]]:
    return [
        _row("budget", it.budget.scope, "nano", it.budget.limit_nano, tally.nano, tally.held_nano, it.window.resets_at)
        | {"window": it.budget.window.value, "hard_stop": it.budget.hard_stop}
        for it, tally in zip(counted, tallies, strict=True)
    ]  # fmt: skip


def _row(
    name: str,
    scope: str,
    unit: str,
    limit: int | None,
    used: int | None = None,
    held: int | None = None,
    resets_at: datetime | None = None,
) -> dict[str, Any]:
    """One limit. Nothing is `remaining` of what is not counted, and of what has no limit."""
    counted = limit is not None and used is not None
    left = max((limit or 0) - (used or 0) - (held or 0), 0) if counted else None
    facts = {"name": name, "scope": scope, "unit": unit, "limit": limit, "used": used, "held": held}
    return facts | {"remaining": left, "resets_at": resets_at.isoformat() if resets_at else None}
