"""Icons, sparklines, meter bars, chart tables: server-side SVG, so that no inline style is needed."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypedDict

from django.conf import settings
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

SPARK_WIDTH, SPARK_HEIGHT = 72, 20


@cache
def _drawing(name: str) -> SafeString:
    """The inside of a vendored lucide icon. KeyError names the folder to copy a missing one into."""
    file = settings.BASE_DIR / "gateway" / "static" / "vendor" / "lucide" / f"{name}.svg"
    if not file.is_file():
        raise KeyError(f"No icon {name!r}: copy lucide's {name}.svg into gateway/static/vendor/lucide/.")
    inside = re.search(r"<svg[^>]*>(.*)</svg>", file.read_text(), re.DOTALL)
    assert inside, f"{file} is not an SVG file"
    return mark_safe(" ".join(inside[1].split()))  # noqa: S308 - a committed file, never user input


def icon(name: str, label: str = "", size: int = 16) -> SafeString:
    """Draw a lucide icon in the text's colour. Without `label` assistive technology skips it."""
    says = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="icon" {} width="{}" height="{}" viewBox="0 0 24 24" fill="none" stroke="currentColor"'
        ' stroke-width="2" stroke-linecap="round" stroke-linejoin="round" focusable="false">{}</svg>',
        says,
        size,
        size,
        _drawing(name),
    )


def sparkline(values: Sequence[int | Decimal]) -> SafeString:
    """Draw the course of a figure, oldest first. Decoration: the value beside it carries the meaning."""
    if len(values) < 2:
        return SafeString("")
    top, across = max(*values, 1), SPARK_WIDTH / (len(values) - 1)
    points = " ".join(
        f"{i * across:.1f},{SPARK_HEIGHT - 2 - float(value / top) * (SPARK_HEIGHT - 4):.1f}"
        for i, value in enumerate(values)
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true">'
        '<polyline points="{}" /></svg>',
        SPARK_WIDTH,
        SPARK_HEIGHT,
        SPARK_WIDTH,
        SPARK_HEIGHT,
        points,
    )


class MeterShape(TypedDict):
    """Positions on a meter's bar, in percent of its width."""

    used: float
    over: float
    included: float
    forecast: float | None
    percent: int
    state: str


def meter_shape(used: Any, included: Any, forecast: Any = None) -> MeterShape:
    """Lay out a meter: the bar ends at the largest of used, included and forecast.

    `percent` is used of included, rounded down so that 100 means reached. `state` is ok, near (from 80 %),
    full (from 100 %). Without an included amount (unlimited) the bar stays empty.
    """
    used, included = Decimal(used or 0), Decimal(included or 0)
    beyond = Decimal(forecast or 0) * Decimal("1.01")  # a mark at the very end would be cut off
    end = max(used, included, beyond, Decimal(1))
    percent = int(used * 100 / included) if included else 0
    return {
        "used": _share(min(used, included), end),
        "over": _share(max(used - included, Decimal(0)), end) if included else 0.0,
        "included": _share(included, end),
        "forecast": None if forecast is None else _share(Decimal(forecast), end),
        "percent": percent,
        "state": "full" if percent >= 100 else "near" if percent >= 80 else "ok",
    }


def _share(part: Decimal, whole: Decimal) -> float:
    return round(float(part * 100 / whole), 2)


def chart_rows(data: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """Turn chart data {labels, series: [{name, values}]} into table rows (label, [value per series])."""
    columns = [series["values"] for series in data["series"]]
    return [(label, list(row)) for label, row in zip(data["labels"], zip(*columns, strict=True), strict=True)]


def chart_json(data: dict[str, Any], name: str) -> SafeString:
    """Hand chart data to charts.js in a block that no browser runs: `<script type="application/json">`."""
    return json_script(data, f"{name}-data")
