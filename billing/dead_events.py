"""Entries of the usage stream that could not be recorded: try them again, or put them away with a reason."""

from django.utils import timezone

from billing.metering import record
from billing.models import DeadEvent


def retry(dead: DeadEvent) -> bool:
    """Record the kept payload again and tell whether that worked; then the row is resolved.

    Safe to repeat: the ledger takes each call once (`metering.record`).
    """
    if record([(dead.stream_id, dead.payload.encode())]).dead:
        return False
    resolve(dead)
    return True


def resolve(dead: DeadEvent) -> None:
    """Write that a person dealt with it. The payload stays. Doing it twice keeps the first moment."""
    DeadEvent.objects.filter(pk=dead.pk, resolved_at=None).update(resolved_at=timezone.now())
    dead.refresh_from_db(fields=["resolved_at"])
