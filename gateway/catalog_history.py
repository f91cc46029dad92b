"""How a model's prices and ways changed, for its page. What we pay for it ourselves stays out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import PriceVersion
from billing.pricebook import ANY
from gateway.catalog_rows import Row
from gateway.models import CatalogChange, Serving

MOST = 50
Way = tuple[str, str, str]  # upstream, provider, task


@dataclass(frozen=True, slots=True)
class PriceStep:
    """One price version: from when on, at whom ("" for everybody), and what a unit costs since."""

    effective_from: datetime
    upstream: str
    prices: list[tuple[str, Decimal]]
    in_force: bool
    lies_ahead: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the catalog, in words."""

    at: datetime
    words: str


def price_history(row: Row, currency: str) -> list[PriceStep]:
    """Return the price versions of the model's public ways, newest first, at most 50.

    Those for its very id, and those of the patterns that price it now. A customer's own upstream has prices
    of its own, which are nobody else's business.
    """
    in_force = {priced.pin.version_id for priced in row.ways if priced.pin}
    versions = PriceVersion.objects.filter(_priced_here(row.listed.model_id, in_force), currency=currency)
    versions = versions.prefetch_related("unit_prices").order_by("-effective_from", "upstream")
    return [_step(version, in_force) for version in versions[:MOST]]


def _priced_here(model_id: str, in_force: set[int]) -> Q:
    public = Serving.objects.filter(model__model_id=model_id, upstream__account=None)
    names = {ANY}.union(*public.values_list("provider", "upstream__slug")) - {""}
    wanted = Q(model=model_id, upstream__in=names)
    for model, upstream in PriceVersion.objects.filter(pk__in=in_force).values_list("model", "upstream"):
        wanted |= Q(model=model, upstream=upstream)
    return wanted


def _step(version: PriceVersion, in_force: set[int]) -> PriceStep:
    return PriceStep(
        effective_from=version.effective_from,
        upstream="" if version.upstream == ANY else version.upstream,
        prices=[
            (price.unit, price.price) for price in sorted(version.unit_prices.all(), key=lambda row: row.unit)
        ],
        in_force=version.pk in in_force,
        lies_ahead=version.effective_from > timezone.now(),
    )


def changes_of(model_id: str) -> list[Change]:
    """Return what synchronisations and staff changed, newest first, at most 50. Prices have their own history."""
    rows = CatalogChange.objects.filter(model_id=model_id, what__in=_words_of("", "", "").keys())
    return [
        Change(row.at, _words_of(row.provider, row.before, row.after)[row.what])
        for row in rows.order_by("-at", "-pk")[:MOST]
    ]


def _words_of(provider: str, before: str, after: str) -> Mapping[str, str]:
    """Each kind of change in words. `price` is left out: it quotes what the provider asks of us."""
    given = {"provider": provider, "before": before or "—", "after": after or "—"}
    return {
        "listed": _("Added to the list"),
        "relisted": _("Back in the list"),
        "deprecated": _("Deprecated"),
        "withdrawn": _("Taken out of the list"),
        "served": _("%(provider)s serves it") % given,
        "gone": _("%(provider)s no longer serves it") % given,
        "status": _status_words(given),
        "context_length": _context_words(given, provider),
        "tasks": _("Tasks changed from %(before)s to %(after)s") % given,
        "licence": _("Licence changed from %(before)s to %(after)s") % given,
    }


def _status_words(given: Mapping[str, str]) -> str:
    if given["after"] == Serving.Status.LIVE:
        return _("%(provider)s answers again") % given
    return _("%(provider)s started to fail") % given


def _context_words(given: Mapping[str, str], provider: str) -> str:
    if provider:
        return _("Context length at %(provider)s changed from %(before)s to %(after)s") % given
    return _("Context length changed from %(before)s to %(after)s") % given


def first_token_times(model_id: str) -> Mapping[Way, float]:
    """Return {way: milliseconds to the first token}, as the router measured, where it did."""
    servings = Serving.objects.filter(
        model__model_id=model_id, upstream__account=None, first_token_ms__isnull=False
    )
    rows = servings.values_list("upstream__slug", "provider", "task", "first_token_ms")
    return {(upstream, provider, task): ms for upstream, provider, task, ms in rows if ms is not None}
