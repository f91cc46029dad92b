"""The hourly totals as they are and as they should be, for the cases of roll-up."""

from collections import Counter
from typing import Any

from billing.models import UsageEvent, UsageHour

# (account, period, hour, key, model, task, upstream) ->
# (calls, charged calls, failures, nano, upstream nano, quantities)
Totals = dict[Any, tuple[int, int, int, int, int, Counter[str]]]


def totals_by_hand() -> Totals:
    """The hourly totals, added up in Python from the events."""
    found: Totals = {}
    for event in UsageEvent.objects.all():
        hour = event.occurred_at.replace(minute=0, second=0, microsecond=0)
        key = (
            event.account_id,
            event.period,
            hour,
            event.api_key_id,
            event.model,
            event.task,
            event.upstream,
        )
        calls, charged, failures, nano, upstream, quantities = found.get(key, (0, 0, 0, 0, 0, Counter()))
        quantities.update({unit: quantity for unit, (quantity, _) in event.units.items()})
        found[key] = (
            calls + (event.seq == 1),
            charged + (200 <= event.status < 300),
            failures + (event.status >= 400 or event.kind == "abandoned"),
            nano + event.nano_cost,
            upstream + event.upstream_nano_cost,
            quantities,
        )
    return found


def totals_in_tables() -> Totals:
    """The hourly totals as the roll-up wrote them."""
    return {
        (row.account_id, row.period, row.hour, row.api_key_id, row.model, row.task, row.upstream): (
            row.calls,
            row.charged_calls,
            row.failures,
            row.nano_cost,
            row.upstream_nano_cost,
            Counter(row.quantities),
        )
        for row in UsageHour.objects.all()
    }
