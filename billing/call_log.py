"""The record of single calls, newest first: for screens and the API. Only looks.

Calls are read in the order of an index and no finer: with a sort in its plan, the database may read every call there
ever was.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.ids import moment_of
from accounts.models import Account
from billing.models import UsageEvent


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call with its tokens counted."""

    event: UsageEvent
    input_tokens: int
    output_tokens: int

    @property
    def succeeded(self) -> bool:
        """Whether the model answered."""
        return self.event.status < 400 and self.event.kind != UsageEvent.Kind.ABANDONED


def latest_calls(account: Account, count: int) -> list[Call]:
    """Return the newest calls of `account`, newest first."""
    return _newest_first(UsageEvent.objects.filter(account=account), count)


def calls_page(
    account: Account, count: int, before: datetime | None = None
) -> tuple[list[Call], datetime | None]:
    """Return about `count` calls from before a moment, newest first, and the moment before which the next page lies.

    A page never ends inside a millisecond, so it may have some more. None where nothing older is left.
    """
    calls = UsageEvent.objects.filter(account=account)
    older = calls if before is None else calls.filter(occurred_at__lt=before)
    page = _newest_first(older, count)
    if len(page) < count:
        return page, None
    last = page[-1].event.occurred_at
    whole = _newest_first(calls.filter(occurred_at=last), None)
    page = [call for call in page if call.event.occurred_at != last] + whole
    return page, last if calls.filter(occurred_at__lt=last).exists() else None


def find_call(account: Account, request_id: uuid.UUID) -> Call | None:
    """Return an account's call; of one that was recorded as abandoned and then late, the late record."""
    try:
        at = moment_of(request_id)  # names the month's partition
    except ValueError:
        return None
    found = UsageEvent.objects.filter(account=account, request_id=request_id, occurred_at=at)
    event = found.order_by("-seq").first()
    return _call(event) if event else None


def quoted_calls(account: Account, count: int) -> list[Call]:
    """Return the newest calls of `account` that redeemed a quote, newest first."""
    return _newest_first(UsageEvent.objects.filter(account=account, quote_id__isnull=False), count)


def _newest_first(events: QuerySet[UsageEvent], count: int | None) -> list[Call]:
    newest = events.order_by("-occurred_at")[:count]
    return [
        _call(event)
        for event in sorted(
            newest, key=lambda event: (event.occurred_at, event.request_id, event.seq), reverse=True
        )
    ]


def _call(event: UsageEvent) -> Call:
    return Call(event, _counted(event, "input_token", "cached_input_token"), _counted(event, "output_token"))


def _counted(event: UsageEvent, *units: str) -> int:
    """Sum the quantities of some units; `units` of an event is {unit: [quantity, nano]}."""
    return sum(event.units.get(unit, [0])[0] for unit in units)
