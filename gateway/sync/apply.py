"""Brings the catalog and the price book in line with a document, and keeps what changed, a row each.

The synchronisation owns the ways through the router (`hf-router`) and the models behind them. It leaves alone
what the local model serves, dedicated endpoints, and models that staff took out of the list. Nothing is
deleted: a way that is no longer offered is `gone`, a model without any way is deprecated with its date.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.list_prices import follow_list_prices
from billing.pricing import Unit
from gateway.announcements import EVERYBODY, announce
from gateway.models import CatalogChange, CatalogModel, Dialect, Serving, Upstream
from gateway.sync.document import Document, Model, Offer

ROUTER = "hf-router"
# More than half of the catalog gone at once is a fault at the other end, not news.
_MOST_GONE = 0.5
_FEWEST = 20

Way = tuple[str, str, str]  # model id, provider, task


class TooManyGone(Exception):
    """The document lacks most of what is listed. Nothing was changed."""


@dataclass
class _Run:
    """One synchronisation: what there was, what is wanted, and what changed on the way."""

    document: Document
    router: Upstream
    now: datetime
    models: dict[str, CatalogModel]
    servings: dict[Way, Serving]
    local: frozenset[str]
    changes: list[CatalogChange] = field(default_factory=list)

    @property
    def wanted(self) -> Iterator[Model]:
        return (model for name, model in self.document.models.items() if name not in self.local)

    def note(self, model_id: str, what: str, before: Any = "", after: Any = "", provider: str = "") -> None:
        self.changes.append(
            CatalogChange(
                model_id=model_id, provider=provider, what=what, at=self.now,
                before=_words(before), after=_words(after),
            )
        )  # fmt: skip


@transaction.atomic
def apply(document: Document, *, force: bool = False, dry_run: bool = False) -> list[CatalogChange]:
    """Apply a document and return what changed; again, and nothing does. TooManyGone unless `force`."""
    run = _begin(document)
    if not force:
        _refuse_a_landslide(run)
    _list_models(run)
    _open_ways(run)
    _close_ways(run)
    _deprecate_models(run)
    _follow_prices(run)
    CatalogChange.objects.bulk_create(run.changes)
    if dry_run:
        transaction.set_rollback(True)
    elif run.changes:
        announce(EVERYBODY)
    return run.changes


def summary(changes: list[CatalogChange]) -> str:
    """Say it in a line: `3 changes: 1 listed, 2 price`."""
    counted = Counter(change.what for change in changes)
    parts = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}" + (f": {parts}" if parts else "")


def _begin(document: Document) -> _Run:
    fields = {"name": "Hugging Face router", "dialect": Dialect.HF_ROUTER, "position": 20}
    Upstream.objects.get_or_create(slug=ROUTER, defaults=fields)
    router = Upstream.objects.select_for_update().get(slug=ROUTER)  # one synchronisation at a time
    servings = Serving.objects.filter(upstream=router).select_related("model")
    at_home = Serving.objects.filter(upstream__dialect=Dialect.LOCAL)
    return _Run(
        document=document,
        router=router,
        now=timezone.now(),
        models={row.model_id: row for row in CatalogModel.objects.all()},
        servings={(row.model.model_id, row.provider, row.task): row for row in servings},
        local=frozenset(at_home.values_list("model__model_id", flat=True)),
    )


def _refuse_a_landslide(run: _Run) -> None:
    """Only what an earlier synchronisation listed counts: a live catalog may differ much from the snapshot."""
    listed = {
        row.model.model_id for row in run.servings.values() if _is_open(row) and row.model.source == "hub"
    }
    gone = listed - run.document.models.keys() - run.document.problems.keys()
    if len(listed) >= _FEWEST and len(gone) > _MOST_GONE * len(listed):
        raise TooManyGone(
            f"{len(gone)} of {len(listed)} models would be deprecated. If that is right, use --force."
        )


# --- Models --------------------------------------------------------------------------------------


def _list_models(run: _Run) -> None:
    """Write new models, and what the document knows better of those that are there."""
    returned = _deprecated_by_us()
    new, changed = [], []
    for model in run.wanted:
        row = run.models.get(model.model_id)
        if row is None:
            row = CatalogModel(
                model_id=model.model_id, created_at=run.now, **_facts(model), source=run.document.source
            )
            run.note(model.model_id, "listed", after=", ".join(model.tasks))
            new.append(row)
            continue
        returns = row.deprecated_at is not None and model.model_id in returned
        if returns:
            run.note(model.model_id, "relisted", before=f"deprecated {row.deprecated_at:%Y-%m-%d}")
            row.deprecated_at = None
        if _update(run, row, model) or returns:
            changed.append(row)
    CatalogModel.objects.bulk_update(changed, [*_FACTS, "deprecated_at"], batch_size=500)
    run.models |= {row.model_id: row for row in CatalogModel.objects.bulk_create(new)}
    seen = [run.models[model.model_id].pk for model in run.wanted]
    CatalogModel.objects.filter(pk__in=seen).update(seen_at=run.now, source=run.document.source)


_FACTS = ("tasks", "context_length", "licence")


def _facts(model: Model) -> dict[str, Any]:
    return {"tasks": list(model.tasks), "context_length": model.context_length, "licence": model.licence}


def _update(run: _Run, row: CatalogModel, model: Model) -> bool:
    """Take over what the document says; what it does not say stays as it is. Tell whether anything changed."""
    before = len(run.changes)
    for name, value in _facts(model).items():
        known = getattr(row, name)
        if value and value != known:
            run.note(row.model_id, name, known, value)
            setattr(row, name, value)
    return len(run.changes) > before


def _deprecated_by_us() -> frozenset[str]:
    """Models whose last word is our own `deprecated`: staff's is `withdrawn`, and stays until staff lift it."""
    words = ("deprecated", "relisted", "withdrawn")
    last = (
        CatalogChange.objects.filter(what__in=words)
        .order_by("model_id", "-at", "-pk")
        .distinct("model_id")
        .values_list("model_id", "what")
    )
    return frozenset(model_id for model_id, what in last if what == "deprecated")


def _deprecate_models(run: _Run) -> None:
    """Deprecate the models whose last way we closed, or that came to us without any."""
    open_ways = set(Serving.objects.exclude(status=Serving.Status.GONE).values_list("model_id", flat=True))
    ours = {row.model_id for row in run.servings.values()}
    rows = [
        row
        for row in run.models.values()
        if row.pk in ours and row.pk not in open_ways and row.deprecated_at is None
    ]
    for row in rows:
        row.deprecated_at = run.now
        run.note(row.model_id, "deprecated", after=f"last seen {row.seen_at:%Y-%m-%d}")
    CatalogModel.objects.bulk_update(rows, ["deprecated_at"], batch_size=500)


# --- Ways ----------------------------------------------------------------------------------------


def _open_ways(run: _Run) -> None:
    """Write the ways of the document: new ones, and status, context and speed of those that are there."""
    new, changed = [], []
    for model in run.wanted:
        for offer in model.offers:
            key = (model.model_id, offer.provider, offer.task)
            row = run.servings.get(key)
            if row is None:
                row = Serving(
                    model=run.models[model.model_id], upstream=run.router,
                    provider=offer.provider, task=offer.task, status=Serving.Status.GONE,
                )  # fmt: skip
                run.servings[key] = row
                new.append(row)
            if _set_way(run, row, model, offer) and row.pk:
                changed.append(row)
    Serving.objects.bulk_create(new)
    Serving.objects.bulk_update(changed, [*_MEASURED, "status", "updated_at"], batch_size=500)


_MEASURED = ("provider_id", "context_length", "throughput", "first_token_ms")


def _set_way(run: _Run, row: Serving, model: Model, offer: Offer) -> bool:
    """Set what the document says of a way; tell whether anything is new. Speeds are set, but not noted."""
    wanted = {name: getattr(offer, name) for name in _MEASURED}
    status = Serving.Status.LIVE if offer.live else Serving.Status.ERROR
    if row.status != status:
        what = "served" if row.status == Serving.Status.GONE else "status"
        run.note(model.model_id, what, "" if what == "served" else row.status, status, offer.provider)
    elif all(getattr(row, name) == value for name, value in wanted.items()):
        return False
    for name, value in wanted.items():
        if row.pk and name in ("provider_id", "context_length") and getattr(row, name) != value:
            run.note(model.model_id, name, getattr(row, name), value, offer.provider)
        setattr(row, name, value)
    row.status, row.updated_at = status, run.now
    return True


def _close_ways(run: _Run) -> None:
    """Mark as gone what the document lacks. What it could not read, or cuts short, proves nothing."""
    wanted = {(m.model_id, offer.provider, offer.task) for m in run.wanted for offer in m.offers}
    rows = [
        row
        for key, row in run.servings.items()
        if key not in wanted
        and _is_open(row)
        and key[0] not in run.document.problems
        and not (key[0] not in run.document.models and key[1] in run.document.partial)
    ]
    for row in rows:
        run.note(row.model.model_id, "gone", row.status, provider=row.name)
        row.status, row.updated_at = Serving.Status.GONE, run.now
    Serving.objects.bulk_update(rows, ["status", "updated_at"], batch_size=500)


def _is_open(row: Serving) -> bool:
    return row.status != Serving.Status.GONE


# --- Prices --------------------------------------------------------------------------------------


def _follow_prices(run: _Run) -> None:
    """Hand what providers ask to the price book. A provider that does not say keeps the price it has."""
    asked = {
        (model.model_id, offer.provider): offer.costs
        for model in run.wanted
        for offer in model.offers
        if offer.costs
    }
    for move in follow_list_prices(asked, f"providers' prices, {run.document.source}"):
        run.note(move.model, "price", _quoted(move.before), _quoted(move.after), move.upstream)


def _quoted(costs: Mapping[Unit, Decimal]) -> str:
    """What the provider asks, USD per million: `0.05 input_token, 0.08 output_token`."""
    return ", ".join(f"{cost.normalize():f} {unit.value}" for unit, cost in sorted(costs.items()))


def _words(value: Any) -> str:
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value if value is not None else "")
    )
    return text[:300]
