"""The Limits page: what GET /api/v1/limits says, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.decorators import MemberRequest, member_required
from gateway.api_limits import asker_of, where_they_stand
from gateway.errors import Refusal
from gateway.templatetags.formats import exact, money, number

CENT = 10_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One limit as the page shows it. `included` None: without limit."""

    label: str
    used: int
    included: int | None
    figures: str
    words: str
    resets_at: datetime | None


@require_GET
@member_required("see_usage")
def limits(request: MemberRequest) -> HttpResponse:
    """Every limit of the account and of the reader, as the next call will be checked against them."""
    try:
        found = where_they_stand(asker_of(request.membership))
    except Refusal as refusal:
        return render(request, "limits.html", {"away": refusal.message}, status=refusal.status)
    rows = found["limits"]
    counted = [_line(row, found["currency"]) for row in rows if row["used"] is not None]
    fixed = [_fact(row, found["currency"]) for row in rows if row["used"] is None]
    return render(request, "limits.html", {"counted": counted, "fixed": fixed, "found": found})


def _line(row: dict[str, Any], currency: str) -> Line:
    taken = row["used"] + row["held"]
    written = {
        "used": _amount(taken, row["unit"], currency),
        "limit": _amount(row["limit"], row["unit"], currency),
    }
    free = _("%(used)s, no limit") if row["limit"] is None else _("%(used)s of %(limit)s")
    resets = datetime.fromisoformat(row["resets_at"]) if row["resets_at"] and row["limit"] and taken else None
    return Line(_label(row), taken, row["limit"], free % written, _words(row, currency), resets)


def _words(row: dict[str, Any], currency: str) -> str:
    """What happens at the limit, and what is held for calls that run."""
    held = _("%(held)s of it is set aside for calls that run now.") if row["held"] else ""
    return " ".join(
        filter(None, [_consequence(row), held % {"held": _amount(row["held"], row["unit"], currency)}])
    )


def _consequence(row: dict[str, Any]) -> str:
    if row["limit"] is None:
        return ""
    if row["name"] == "budget" and not row["hard_stop"]:
        return _("You get an alert; calls go on.")
    if row["name"] in ("requests_per_minute", "tokens_per_minute", "concurrency"):
        return _("Past it, calls get 429 and a moment to wait.")
    return _("At the limit, calls get 402.")


def _label(row: dict[str, Any]) -> str:
    name: str = row["name"]
    if name == "budget":
        whose = {"account": _("the account"), "member": _("your keys"), "key": _("this key")}[row["scope"]]
        window = {
            "day": _("each day"),
            "week": _("each week"),
            "month": _("each month"),
            "lifetime": _("for good"),
        }
        return _("Budget of %(whose)s, %(window)s") % {"whose": whose, "window": window[row["window"]]}
    return {
        "calls": _("Calls this period"),
        "credit": _("Credit this period"),
        "requests_per_minute": _("Calls a minute"),
        "tokens_per_minute": _("Tokens a minute"),
        "concurrency": _("Calls at once"),
        "price_ceiling": _("Dearest model, per million output tokens"),
        "request_bytes": _("Largest request body"),
        "output_tokens": _("Most output tokens a call"),
    }.get(name, name)


def _fact(row: dict[str, Any], currency: str) -> tuple[str, str]:
    none = _("No limit")
    return _label(row), none if row["limit"] is None else _amount(row["limit"], row["unit"], currency)


def _amount(value: int | None, unit: str, currency: str) -> str:
    if value is None:
        return ""
    if unit == "nano":
        return exact(value, currency) if 0 < value < CENT else money(value, currency)
    return _("%(size)s bytes") % {"size": number(value)} if unit == "bytes" else number(value)
