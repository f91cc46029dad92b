"""Doorbells: each rings one function. Missed or doubled rings do no harm."""

import structlog
from asgiref.sync import async_to_sync
from celery import shared_task
from django.utils import timezone

from billing.period import BillingPeriod
from gateway import ledger_writer
from gateway.catalog import router_is_configured
from gateway.reconciling import reconcile_period
from gateway.sync.apply import apply, summary
from gateway.sync.document import read_document

_log = structlog.get_logger(__name__)


@shared_task(name="gateway.tasks.drain_usage")
def drain_usage() -> None:
    """Move the usage stream into the ledger."""
    async_to_sync(ledger_writer.drain_usage)()


@shared_task(name="gateway.tasks.sweep_holds")
def sweep_holds() -> None:
    """End the holds of dead processes."""
    async_to_sync(ledger_writer.sweep_holds)()


@shared_task(name="gateway.tasks.sync_catalog")
def sync_catalog() -> None:
    """Bring the catalog in line with Hugging Face, where this installation has a token for it."""
    from gateway.sync.hub import fetch_document  # huggingface_hub: half a second that no other task needs

    if router_is_configured():
        document = read_document(fetch_document())
        changes = apply(document)
        _log.info("catalog synchronised", changes=summary(changes), left_out=len(document.problems))


@shared_task(name="gateway.tasks.reconcile")
def reconcile() -> None:
    """Compare counters, ledger, totals, statements, invoices and journal: of last month, and of this one."""
    period = BillingPeriod.containing(timezone.now())
    for each in (period.previous, period):
        run = async_to_sync(reconcile_period)(each)
        report = _log.error if run.found else _log.info
        report("reconciled", period=run.period, differences=run.found, compared=run.compared)
