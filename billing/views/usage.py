"""The usage screen and its CSV: the same exploration, written twice."""

import csv
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.decorators import MemberRequest, member_required
from accounts.models import Account, ApiKey
from billing.call_log import latest_calls
from billing.charts import metric_name, usage_chart
from billing.explorer import (
    GROUPS,
    METRICS,
    Exploration,
    Figures,
    Group,
    Metric,
    Name,
    change,
    explore,
    total_of,
)
from billing.models import RollupMark
from billing.money import NANO
from billing.ranges import PRESETS, Range, RangeError, read_range

LATEST_CALLS = 20


@dataclass(frozen=True)
class Look:
    """What the address asks for: a range, a grouping and a metric; all of the screen's state."""

    span: Range
    group: Group
    metric: Metric
    error: str = ""


@require_GET
@member_required("see_usage")
def usage(request: MemberRequest) -> HttpResponse:
    """What the account used in a range: cards, chart, table with totals, and the latest calls."""
    account, look = request.membership.account, _look(request)
    found = explore(account, look.span, look.group)
    name_of = _names(account, look.group)
    context = {
        "look": look,
        "presets": PRESETS.items(),
        "groups": [("model", _("Model")), ("key", _("Key")), ("day", _("Day"))],
        "metrics": [(metric, metric_name(metric)) for metric in METRICS],
        "total": found.total,
        "changes": _changes(found.total, total_of(account, *look.span.before)),
        "sparks": _sparks(found, look.span),
        "rows": [(name_of(name), figures) for name, figures in found.sorted_rows(look.group, look.metric)],
        "chart": usage_chart(found, look.span, look.group, look.metric, name_of, account.currency),
        "metric_name": metric_name(look.metric),
        "latest": latest_calls(account, LATEST_CALLS),
        "still_counting": RollupMark.objects.filter(account_id=account.pk).exists(),
    }
    return render(request, "billing/usage.html", context)


@require_GET
@member_required("see_usage")
def usage_csv(request: MemberRequest) -> HttpResponse:
    """The table of the screen as CSV (UTF-8), with exact costs in currency units and a totals row."""
    account, look = request.membership.account, _look(request)
    if look.error:
        return HttpResponse(look.error, status=400, content_type="text/plain; charset=utf-8")
    found = explore(account, look.span, look.group)
    name_of = _names(account, look.group)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"usage-{look.span.start:%Y-%m-%d}-{look.span.last_day}-{look.group}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow([look.group, "calls", "failures", "input_tokens", "output_tokens", "cost", "currency"])
    for row, figures in found.sorted_rows(look.group, look.metric):
        writer.writerow([_cell(_csv_name(row, name_of)), *_figures(figures), account.currency])
    writer.writerow(["total", *_figures(found.total), account.currency])
    return response


def _look(request: MemberRequest) -> Look:
    """Read the address. Unknown groups and metrics mean the usual ones; days that make no range are an error."""
    group, metric = request.GET.get("group"), request.GET.get("metric")
    known_group = group if group in GROUPS else "model"
    known_metric = metric if metric in METRICS else "calls"
    try:
        return Look(read_range(request.GET.dict(), timezone.now()), known_group, known_metric)
    except RangeError as error:
        return Look(read_range({}, timezone.now()), known_group, known_metric, str(error))


def _names(account: Account, group: Group) -> Callable[[Name], str]:
    """How a row's name is written: a key by its own name, a day as a date, a model as it is."""
    keys: dict[uuid.UUID, str] = {}
    if group == "key":
        keys = {key.pk: f"{key.name} · {key.masked}" for key in ApiKey.objects.filter(account=account)}

    def name_of(name: Name) -> str:
        if isinstance(name, datetime):
            return date_format(name, "DATE_FORMAT")
        if name is None or isinstance(name, uuid.UUID):
            return keys.get(name, _("A key that is gone")) if name else _("Without a key")
        return name

    return name_of


def _csv_name(name: Name, name_of: Callable[[Name], str]) -> str:
    return f"{name:%Y-%m-%d}" if isinstance(name, datetime) else name_of(name)


def _cell(text: str) -> str:
    """Keep a spreadsheet from running a name as a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _figures(figures: Figures) -> list[int | str]:
    cost = f"{Decimal(figures.nano) / NANO:f}"
    return [figures.calls, figures.failures, figures.input_tokens, figures.output_tokens, cost]


def _changes(now: Figures, before: Figures) -> dict[str, float | None]:
    """Each card's change against the time before, in percent."""
    return {field: change(getattr(now, field), getattr(before, field)) for field in now.__slots__}


def _sparks(found: Exploration, span: Range) -> dict[str, list[int]]:
    """Each card's course over the range."""
    steps = [found.by_bucket[bucket] for bucket in span.buckets]
    return {field: [getattr(step, field) for step in steps] for field in found.total.__slots__}
