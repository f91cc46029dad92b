"""The annex of a statement: every call that it bills, as CSV, with exact amounts. Only looks.

By (period, model, unit, price version) the amounts add up to the statement's usage lines, to the nano-unit.
Read in pages, so that a statement of a million calls needs the memory of a few thousand; what a statement
bills never changes, so the pages fit together.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from billing.models import Statement, UsageAllocation, UsageEvent
from billing.pricing import Unit

CALLS_AT_ONCE = 2000

_FACTS = (
    "request_id", "seq", "kind", "occurred_at", "period", "api_key_id", "endpoint", "task", "model", "upstream",
    "status", "error_code", "stream", "estimated", "price_version", "currency",
)  # fmt: skip
COLUMNS = (
    *_FACTS,
    *(f"{unit}_{what}" for unit in Unit for what in ("quantity", "nano")),
    "nano_cost",
    "latency_ms",
    "first_byte_ms",
    "quote_id",
)


def header() -> str:
    """Return the first line."""
    return _csv([COLUMNS])


def pages(statement: Statement) -> Iterator[str]:
    """Yield the calls in the order of the ledger, as lines of CSV, some thousand at a time."""
    last = 0
    while text := page(statement, last):
        last, lines = text
        yield lines


def page(statement: Statement, after: int) -> tuple[int, str] | None:
    """Return (the last event id, lines of CSV) of the calls behind event id `after`; None where none is left."""
    ids = list(
        UsageAllocation.objects.filter(statement=statement, event_id__gt=after)
        .order_by("event_id")
        .values_list("event_id", flat=True)[:CALLS_AT_ONCE]
    )
    if not ids:
        return None
    events = UsageEvent.objects.filter(account=statement.account_id, pk__in=ids).order_by("pk")
    return ids[-1], _csv([_row(event) for event in events])


def _row(event: UsageEvent) -> list[Any]:
    facts = {name: getattr(event, name) for name in _FACTS if name not in ("occurred_at", "price_version")}
    facts["occurred_at"] = event.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds")
    facts["price_version"] = f"p{event.price_version_id}" if event.price_version_id else ""
    row = [_cell(facts[name]) for name in _FACTS]
    for unit in Unit:
        row += event.units.get(unit.value, ("", ""))
    return [
        *row,
        event.nano_cost,
        event.latency_ms,
        "" if event.first_byte_ms is None else event.first_byte_ms,
        event.quote_id or "",
    ]


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from running a text as a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def _csv(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
