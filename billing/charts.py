"""Turns an exploration into what `<c-chart>` draws: labels, and a series for each of the largest groups."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.explorer import METRICS, Exploration, Group, Metric, Name
from billing.ranges import HOUR, Range

SERIES = 5  # what a reader can tell apart; the rest is one series more


def usage_chart(
    found: Exploration,
    span: Range,
    group: Group,
    metric: Metric,
    name_of: Callable[[Name], str],
    currency: str,
) -> dict[str, Any]:
    """Return the chart's data. Values are counts, or nano-units where `currency` is in the data."""
    chart: dict[str, Any] = {
        "labels": [bucket_label(bucket, span) for bucket in span.buckets],
        "series": _one_series(found, span, metric)
        if group == "day"
        else _series(found, span, group, metric, name_of),
        "kind": "bar",
        "stacked": True,
    }
    return chart | ({"currency": currency} if metric == "cost" else {})


def bucket_label(bucket: datetime, span: Range) -> str:
    """Write a step of the time axis: the hour in a range of hours, else the day. UTC."""
    if span.step == HOUR:
        return f"{bucket:%H:%M}" if len(span.buckets) <= 24 else f"{bucket:%d. %H:%M}"
    return date_format(bucket, "MONTH_DAY_FORMAT")


def _one_series(found: Exploration, span: Range, metric: Metric) -> list[dict[str, Any]]:
    values = [METRICS[metric](found.by_bucket[bucket]) for bucket in span.buckets]
    return [{"name": metric_name(metric), "values": values}]


def _series(
    found: Exploration, span: Range, group: Group, metric: Metric, name_of: Callable[[Name], str]
) -> list[dict[str, Any]]:
    names = [name for name, figures in found.sorted_rows(group, metric)]
    shown, rest = names[:SERIES], names[SERIES:]
    series = [{"name": name_of(name), "values": _course(found, span, metric, [name])} for name in shown]
    if rest:
        series.append({"name": _("Other"), "values": _course(found, span, metric, rest)})
    return series


def _course(found: Exploration, span: Range, metric: Metric, names: list[Name]) -> list[int]:
    return [sum(METRICS[metric](found.course[name, bucket]) for name in names) for bucket in span.buckets]


def metric_name(metric: Metric) -> str:
    """The metric in words."""
    return {"calls": _("Calls"), "cost": _("Cost"), "tokens": _("Tokens")}[metric]
