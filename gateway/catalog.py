"""Which models can be called now, by which ways, and at what price: one frozen snapshot, read by every call.

Loaded in a thread when the process starts, again whenever the catalog or the price book is announced as
changed, and every half minute in any case (a price may become effective without anybody saving anything).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from billing.pricebook import PriceBook, PricePin, load_price_book
from gateway import errors
from gateway.models import CatalogModel, Dialect, Serving, Upstream

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """An upstream as a call needs it."""

    slug: str
    dialect: Dialect
    base_url: str
    secret: str
    bill_to: str
    account_id: str | None
    position: int
    silence_seconds: float
    total_seconds: float

    def __repr__(self) -> str:
        return f"Server({self.slug!r})"  # a secret must not reach a log by way of a traceback


@dataclass(frozen=True, slots=True)
class Way:
    """One way to reach a model for some of its tasks."""

    name: str  # as usage, prices and x-inference-provider call it
    server: Server
    provider: str
    provider_id: str
    task: str  # empty: any
    throughput: float
    context_length: int | None
    live: bool = True  # False only where it is shown: it fails at the moment, or has no token here


@dataclass(frozen=True)
class Listed:
    """One model as a call needs it."""

    model_id: str
    tasks: tuple[str, ...]
    context_length: int | None
    licence: str
    source: str
    created_at: datetime
    ways: tuple[Way, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the ways, for `model:<name>`."""
        return frozenset(way.name for way in self.ways)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that can be called, as of one moment."""

    models: Mapping[str, Listed]
    prices: PriceBook
    # (provider, the provider's own name of the model) -> model; and the providers' names.
    by_provider: Mapping[tuple[str, str], Listed] = field(default_factory=dict)
    providers: frozenset[str] = frozenset()
    # What only the Hugging Face router serves, where there is no token for it: listed, not to be called.
    out_of_reach: frozenset[str] = frozenset()
    # What gateway/ways.py has worked out from all this; it goes when the snapshot goes.
    worked_out: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False, repr=False)

    def find(self, model_id: str) -> Listed:
        """Return the model. Refusal `model_not_found`."""
        listed = self.models.get(model_id)
        if listed is None:
            raise self._missing(model_id)
        return listed

    def _missing(self, model_id: str) -> errors.Refusal:
        if model_id in self.out_of_reach:
            return errors.model_needs_token(model_id)
        return errors.model_not_found(model_id)

    def find_by_provider(self, provider: str, name: str) -> Listed:
        """Return the model that a provider knows by `name`, its own or the Hub's. Refusal `model_not_found`."""
        listed = self.by_provider.get((provider, name)) or self.models.get(name)
        if listed is None or provider not in listed.names:
            raise self._missing(name)
        return listed

    def price(self, listed: Listed, way: Way, currency: str) -> PricePin | None:
        """Return the prices in force for a model by a way. None: it has no price there, and so is not sold there.

        A provider's own price comes before the router's: `PriceBook.find`.
        """
        return self.prices.find(listed.model_id, way.name, currency, through=way.server.slug)


def load_catalog() -> Catalog:
    """Read the catalog and the price book. Models that no configured upstream serves are left out."""
    upstreams = list(Upstream.objects.filter(enabled=True))
    reached = [row for row in upstreams if _configured(row)]
    models = _models(reached, [Serving.Status.LIVE])
    catalog = catalog_of(models, load_price_book(timezone.now()))
    if any(row.dialect == Dialect.HF_ROUTER and row.account_id is None for row in reached):
        return catalog
    ids, providers = _behind_routers(upstreams)
    return replace(catalog, out_of_reach=ids.difference(models), providers=catalog.providers | providers)


def load_shown_models(only: Q | None = None) -> list[Listed]:
    """Read everything that the catalog shows, whether this installation can call it or not; for screens.

    With the ways that fail at the moment and those that lack a token (`live` is False), without customers'
    own upstreams. `only` narrows it to some rows of CatalogModel.
    """
    upstreams = list(Upstream.objects.filter(enabled=True, account=None))
    return list(_models(upstreams, [Serving.Status.LIVE, Serving.Status.ERROR], only).values())


def _models(
    upstreams: Collection[Upstream], statuses: Collection[Serving.Status], only: Q | None = None
) -> dict[str, Listed]:
    """Return the models that are not deprecated, by id, with their ways by these upstreams."""
    servers = {row.pk: server_of(row) for row in upstreams}
    reached = {row.pk for row in upstreams if _configured(row)}
    rows = CatalogModel.objects.filter(_not_deprecated(), only or Q())
    ways: dict[int, list[Way]] = defaultdict(list)
    servings = Serving.objects.filter(status__in=statuses, upstream__in=servers, model__in=rows)
    # As plain values: a synchronised catalog has thousands, and this runs beside the calls.
    for model, upstream, status, *facts in servings.order_by(*_ORDER).values_list(*_WAY):
        live = status == Serving.Status.LIVE and upstream in reached
        ways[model].append(_way(servers[upstream], live, *facts))
    return {row.model_id: _listed(row, ways[row.pk]) for row in rows if row.pk in ways}


def _behind_routers(upstreams: Collection[Upstream]) -> tuple[frozenset[str], frozenset[str]]:
    """Return (model ids, providers) of what the router serves, as far as anybody knows."""
    routers = [row.pk for row in upstreams if row.dialect == Dialect.HF_ROUTER and row.account_id is None]
    rows = CatalogModel.objects.filter(
        _not_deprecated(), servings__upstream__in=routers, servings__status=Serving.Status.LIVE
    )
    pairs = list(rows.values_list("model_id", "servings__provider"))
    return frozenset(model for model, _ in pairs), frozenset(provider for _, provider in pairs if provider)


def _not_deprecated() -> Q:
    return Q(deprecated_at=None) | Q(deprecated_at__gt=timezone.now())


def catalog_of(models: Mapping[str, Listed], prices: PriceBook) -> Catalog:
    """Make a catalog of models and prices."""
    by_provider = {
        (way.provider, name): listed
        for listed in models.values()
        for way in listed.ways
        if way.provider_id
        # Replicate's ids are `owner/model:version`, and its calls name the version alone.
        for name in (way.provider_id, way.provider_id.rpartition(":")[2])
    }
    providers = frozenset(way.provider for listed in models.values() for way in listed.ways if way.provider)
    return Catalog(models, prices, by_provider, providers)


def _configured(row: Upstream) -> bool:
    """Tell whether this installation can reach it: the two that ship need a setting."""
    if row.dialect == Dialect.LOCAL and not row.base_url:
        return bool(settings.MODEL_URL)
    if row.dialect == Dialect.HF_ROUTER:
        return bool(_secret(row))
    return _secret(row) is not None


def _secret(row: Upstream) -> str | None:
    """Return an upstream's token. None where it does not open, which is one upstream's trouble and not everybody's.

    The installation's HF_TOKEN goes to the router's own address only, and never stands in for a customer's.
    """
    if not row.sealed_secret:
        return settings.HF_TOKEN if _is_our_router(row) else ""
    try:
        return row.secret()
    except ValueError as failure:
        _log.error("upstream left out", upstream=row.slug, error=str(failure))
        return None


def _is_our_router(row: Upstream) -> bool:
    at_router = row.base_url.rstrip("/") in ("", settings.HF_ROUTER_URL)
    return row.dialect == Dialect.HF_ROUTER and row.account_id is None and at_router


def router_is_configured() -> bool:
    """Tell whether this installation has a token for the Hugging Face router."""
    routers = Upstream.objects.filter(enabled=True, dialect=Dialect.HF_ROUTER, account=None)
    return any(_configured(row) for row in routers)


def server_of(row: Upstream) -> Server:
    """Return an upstream as a call needs it."""
    defaults = {Dialect.LOCAL: settings.MODEL_URL, Dialect.HF_ROUTER: settings.HF_ROUTER_URL}
    return Server(
        slug=row.slug,
        dialect=Dialect(row.dialect),
        base_url=(row.base_url or defaults.get(Dialect(row.dialect), "")).rstrip("/"),
        secret=_secret(row) or "",
        bill_to=row.bill_to or (settings.HF_BILL_TO if _is_our_router(row) and not row.sealed_secret else ""),
        account_id=str(row.account_id) if row.account_id else None,
        position=row.position,
        silence_seconds=min(row.silence_seconds, settings.UPSTREAM_SILENCE_SECONDS),
        total_seconds=row.total_seconds,
    )


_ORDER = ("upstream__position", "provider")
_WAY = ("model", "upstream", "status", "provider", "provider_id", "task", "throughput", "context_length")


def _way(
    server: Server,
    live: bool,
    provider: str,
    provider_id: str,
    task: str,
    throughput: float | None,
    context_length: int | None,
) -> Way:
    """Make a way of its row. Its name is `Serving.name`: the provider, or else the upstream."""
    return Way(
        name=provider or server.slug,
        server=server,
        provider=provider,
        provider_id=provider_id,
        task=task,
        throughput=throughput or 0.0,
        context_length=context_length,
        live=live,
    )


def _listed(row: CatalogModel, ways: Iterable[Way]) -> Listed:
    return Listed(
        model_id=row.model_id,
        tasks=tuple(row.tasks),
        context_length=row.context_length,
        licence=row.licence,
        source=row.source,
        created_at=row.created_at,
        ways=tuple(ways),
    )
