"""GET /metrics for a monitoring system: what waits and what is away, in Prometheus's text format.

Every figure is read from where it is kept already, when somebody asks: a call counts nothing for this. What is only in
one web process (its breakers, its spool) is not here.
"""

import secrets
from collections.abc import Callable, Iterator

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from billing.models import BillingAlarm, DeadEvent, Discrepancy, RollupMark, Statement, UsagePeriod
from billing.money import NANO
from gateway.celery import app
from gateway.counters import Counters, MeterUnavailable
from gateway.meter import connect, connect_blocking
from gateway.shards import Shards, ShardState
from gateway.usage_stream import UsageStream

SECONDS = 2.0
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Figures = Iterator[tuple[str, str, str, int | str]]  # (name with its labels, type, what it is, value)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer who has the token. 404 where none is set, 401 for another. An engine that is away is a 0, and its figures
    are left out."""
    if not settings.METRICS_TOKEN:
        raise Http404
    said = request.headers.get("authorization", "")
    if not secrets.compare_digest(said.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse("".join(_lines()), content_type=_TYPE, headers={"Cache-Control": "no-store"})


def _lines() -> Iterator[str]:
    described: set[str] = set()
    for figure, kind, meaning, value in _figures():
        name = figure.partition("{")[0]
        if name not in described:
            described.add(name)
            yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
        yield f"{figure} {value}\n"


def _figures() -> Figures:
    sources: dict[str, Callable[[], Figures]] = {"meter": _meter, "cache": _cache, "ledger": _ledger}
    ups = []
    for engine, look in sources.items():
        try:
            yield from list(look())
            ups.append((engine, 1))
        except (MeterUnavailable, DatabaseError, OSError):
            ups.append((engine, 0))
    for engine, up in ups:
        yield f'turnpike_engine_up{{engine="{engine}"}}', "gauge", "Whether an engine answers.", up


def _meter() -> Figures:
    waiting, held, sound = async_to_sync(_look_at_the_meter)()
    yield "turnpike_usage_stream_entries", "gauge", "Reports on their way to the ledger.", waiting
    yield "turnpike_open_holds", "gauge", "Calls that run, and open quotes.", held
    yield "turnpike_meter_shards_sound", "gauge", "Shards of 16 whose counters are sound.", sound


async def _look_at_the_meter() -> tuple[int, int, int]:
    client = connect(settings.METER_REDIS_URL, timeout=SECONDS)
    try:
        states = await Shards(client).states()
        sound = sum(isinstance(state, ShardState) and state.is_sound for state in states)
        return await UsageStream(client).backlog(), await Counters(client).open_holds(), sound
    finally:
        await client.aclose()


def _cache() -> Figures:
    with connect_blocking(settings.REDIS_URL, timeout=SECONDS) as client:
        length = int(client.llen(app.conf.task_default_queue))
    yield "turnpike_celery_queue_length", "gauge", "Tasks that wait for a worker.", length


def _ledger() -> Figures:
    totals = UsagePeriod.objects.values("currency").order_by("currency")
    for row in totals.annotate(Sum("calls"), Sum("failures"), Sum("nano_cost"), Sum("upstream_nano_cost")):
        label = f'{{currency="{row["currency"]}"}}'
        yield f"turnpike_calls_total{label}", "counter", "Calls in the ledger.", row["calls__sum"]
        yield f"turnpike_failures_total{label}", "counter", "Those that failed.", row["failures__sum"]
        revenue, cost = (_decimal(row[name]) for name in ("nano_cost__sum", "upstream_nano_cost__sum"))
        yield f"turnpike_charged_total{label}", "counter", "Usage charged, before credit.", revenue
        yield f"turnpike_upstream_cost_total{label}", "counter", "What upstreams take.", cost
    open_ = {
        "turnpike_rollup_minutes_waiting": (RollupMark.objects.all(), "Minutes that wait for their totals."),
        "turnpike_dead_events": (DeadEvent.objects.filter(resolved_at=None), "Calls not recorded."),
        "turnpike_statements_unissued": (
            Statement.objects.filter(state__in=Statement.UNISSUED),
            "Statements that wait to be issued.",
        ),
        "turnpike_discrepancies_open": (
            Discrepancy.objects.filter(closed_at=None),
            "Differences in the books.",
        ),
        "turnpike_billing_alarms_open": (BillingAlarm.objects.filter(closed_at=None), "Alarms of billing."),
    }
    for name, (rows, meaning) in open_.items():
        yield name, "gauge", meaning, rows.count()


def _decimal(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d}"
