"""The operator's first page: what was earned, what it cost, who and what drives it, and what is stuck."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import User
from billing import alarms, earnings
from billing.earnings import Figures, Window
from billing.money import MINOR_DIGITS, NANO

Days = list[tuple[datetime, Figures]]

# In place of unfold's chart options, whose tick labels are too pale and whose bars are hairlines.
_TICKS = {"color": "#708096", "maxRotation": 0, "autoSkipPadding": 12, "maxTicksLimit": 8}
_OPTIONS = {
    "animation": False,
    "maintainAspectRatio": False,
    "elements": {"point": {"radius": 0, "hitRadius": 12}, "line": {"borderWidth": 2}},
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {"legend": {"align": "end", "labels": {"boxWidth": 12, "boxHeight": 3, "color": "#708096"}}},
}
# A step of the axis may be a tenth of a nano-unit; a browser refuses more digits than the most that are named.
_MOST_DIGITS = 12


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: add `dashboard` for who may see usage. Only looks."""
    user = request.user
    if not isinstance(user, User) or not user.has_perm("billing.view_usagehour"):
        return context
    now = timezone.now()
    window = Window.ending(request.GET.get("range", ""), now)
    currencies = earnings.used_currencies(now)
    chosen = request.GET.get("currency", "")
    currency = chosen if chosen in MINOR_DIGITS else currencies[0]
    days = earnings.by_day(Window.ending("30d", now), currency)
    present, before = earnings.figures(window, currency), earnings.figures(window.before, currency)
    context["dashboard"] = {
        "window": window,
        "ranges": [("today", _("Today")), ("7d", _("7 days")), ("30d", _("30 days"))],
        "currency": currency,
        "currencies": currencies if len(currencies) > 1 else [],
        "cards": cards(present, before, days),
        "days": days[::-1],
        "calls_options": options({"maximumFractionDigits": 0}, precision=0),
        "calls_chart": chart(days, [(_("Calls"), 1, lambda day: day.calls)]),
        "money_title": _("Revenue and upstream cost by day, %s") % currency,
        "money_options": options(
            {"style": "currency", "currency": currency, "maximumFractionDigits": _MOST_DIGITS}
        ),
        "money_chart": chart(
            days,
            [(_("Revenue"), 1, lambda day: day.revenue), (_("Upstream cost"), 2, lambda day: day.cost)],
            NANO,
        ),
        "accounts": earnings.top_accounts(window, currency),
        "models": earnings.top_models(window, currency),
        "failures": earnings.failures(window, currency),
        "checks": alarms.checks(now),
    }
    return context


@dataclass(frozen=True, slots=True)
class Card:
    """One figure: how to write it, its change against the period before, and its course."""

    label: str
    kind: str  # number, money or percent
    value: int | Decimal | None
    change: Decimal | None
    in_points: bool
    good: bool | None  # whether the change is welcome; None if there is none or it is neither
    course: list[int]
    help: str


def cards(present: Figures, before: Figures, days: Days) -> list[Card]:
    """The figures of the period beside those of the period before; the course is over the last 30 days."""

    def card(label: str, kind: str, of: Callable[[Figures], Any], grows_well: bool | None, text: str) -> Card:
        value, earlier = of(present), of(before)
        change = _change(value, earlier, in_points=kind == "percent")
        good = (change > 0) == grows_well if change and grows_well is not None else None
        # Percents get two digits for the drawing, which takes whole numbers.
        course = [int((of(day) or 0) * (100 if kind == "percent" else 1)) for _day, day in days]
        return Card(label, kind, value, change, kind == "percent", good, course, text)

    return [
        card(
            _("Calls"),
            "number",
            lambda it: it.calls,
            True,
            _("All calls that were admitted, failed ones too."),
        ),
        card(
            _("Revenue"),
            "money",
            lambda it: it.revenue,
            True,
            _("Usage charged, before included credit; no plan fees."),
        ),
        card(
            _("Upstream cost"),
            "money",
            lambda it: it.cost,
            None,
            _("What the upstreams take, failed calls too."),
        ),
        card(_("Margin"), "money", lambda it: it.margin, True, _("Revenue minus upstream cost.")),
        card(
            _("Margin of revenue"),
            "percent",
            lambda it: it.margin_percent,
            True,
            _("Margin divided by revenue."),
        ),
        card(_("Error rate"), "percent", lambda it: it.error_percent, False, _("Failed calls of all calls.")),
        card(
            _("Failed calls"),
            "number",
            lambda it: it.failures,
            False,
            _("Answered with 400 or above, or abandoned."),
        ),
        card(
            _("Active accounts"),
            "number",
            lambda it: it.accounts,
            True,
            _("Accounts with at least one call."),
        ),
    ]


def _change(value: Any, before: Any, *, in_points: bool) -> Decimal | None:
    """The change in percent, or in points of a percentage. None if there is nothing to compare."""
    if value is None or before is None:
        return None
    if in_points:
        return Decimal(value - before)
    return Decimal(value - before) * 100 / abs(before) if before else None


def options(figures: dict[str, Any], **ticks: int) -> str:
    """Chart.js's options; `figures` as Intl.NumberFormat takes them, for axis and tooltip. Never 3.0E-6."""
    y = _TICKS | ticks | {"format": {"notation": "standard"} | figures}
    scales = {
        "x": {"ticks": _TICKS, "grid": {"display": False}},
        "y": {"ticks": y, "grid": {"drawTicks": False}, "beginAtZero": True},
    }
    return json.dumps(_OPTIONS | {"locale": get_language() or "en", "scales": scales})


def chart(days: Days, series: list[tuple[str, int, Callable[[Figures], int]]], unit: int = 1) -> str:
    """Chart.js data for unfold's chart component. Amounts are decimal strings: no float touches money."""
    datasets = [
        {
            "label": label,
            "data": [f"{Decimal(of(day)) / unit:f}" for _day, day in days],
            "borderColor": f"var(--series-{color})",
            "backgroundColor": f"var(--series-{color})",
        }
        for label, color, of in series
    ]
    return json.dumps({"labels": [f"{day:%m-%d}" for day, _figures in days], "datasets": datasets})
