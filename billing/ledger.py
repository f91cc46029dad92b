"""Questions to the ledger that others build on. Only looks."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, Sum

from billing.budget_window import BudgetWindow, Window
from billing.models import UsageEvent, UsageHour, UsagePeriod
from billing.ranges import HOUR, hour_of

# Calls that count against a plan: the ones that were answered.
ANSWERED = Q(status__gte=200, status__lt=300)


def ledger_totals(account_id: str, period: str, without: Collection[str] = ()) -> tuple[int, int]:
    """Return (answered calls, nano-units charged) of an account's period: what its counters must say.

    `without` leaves out calls by their request ids: those that the asker knows of already.
    """
    events = UsageEvent.objects.filter(account_id=account_id, period=period).exclude(request_id__in=without)
    totals = events.aggregate(calls=Count("id", filter=ANSWERED), nano=Sum("nano_cost", default=0))
    return totals["calls"], totals["nano"]


def spent_nano(
    account_id: str,
    window: BudgetWindow,
    key_ids: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> int:
    """Return the nano-units charged for an account's calls that began in a window, of some keys or of all."""
    events = UsageEvent.objects.filter(account_id=account_id).exclude(request_id__in=without)
    if window.window is not Window.LIFETIME:
        events = events.filter(occurred_at__gte=window.start, occurred_at__lt=window.end)
    if key_ids is not None:
        events = events.filter(api_key_id__in=key_ids)
    total: int = events.aggregate(nano=Sum("nano_cost", default=0))["nano"]
    return total


def counted_nano(account_id: str, window: BudgetWindow, key_ids: Sequence[str] | None = None) -> int:
    """Return the same out of totals: as quick however many calls there were, and behind by the roll-up's second.

    Hours that lie in the window as a whole from their totals; what it has of others from their calls.
    """
    hours, edges = UsageHour.objects.filter(account_id=account_id), []
    if window.window is not Window.LIFETIME:
        first, last = _next_hour(window.start), hour_of(window.end)
        hours = hours.filter(hour__gte=first, hour__lt=last)
        edges = [(window.start, min(first, window.end)), (max(last, first), window.end)]
    if key_ids is not None:
        hours = hours.filter(api_key_id__in=key_ids)
    total: int = hours.aggregate(nano=Sum("nano_cost", default=0))["nano"]
    parts = [replace(window, start=start, end=end) for start, end in edges if start < end]
    return total + sum(spent_nano(account_id, part, key_ids) for part in parts)


def _next_hour(moment: datetime) -> datetime:
    """The first full hour from a moment on."""
    return moment if hour_of(moment) == moment else hour_of(moment) + HOUR


def known_calls(request_ids: Collection[str]) -> dict[str, str]:
    """Return {request id: kind} of the calls that the ledger has; the charged record's where there are two."""
    rows = UsageEvent.objects.filter(request_id__in=[UUID(rid) for rid in request_ids])
    return {str(rid): kind for rid, kind in rows.order_by("seq").values_list("request_id", "kind")}


def accounts_of(period: str) -> list[str]:
    """Return the ids of the accounts with usage in a period, as text."""
    accounts = UsagePeriod.objects.filter(period=period).order_by("account").values_list("account", flat=True)
    return [str(account) for account in accounts.distinct()]
