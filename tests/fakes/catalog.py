"""Upstreams, models and prices of the tests' own, committed into the catalog of the live database."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.models import PriceVersion, UnitPrice
from billing.pricing import Unit
from gateway.models import CatalogModel, Dialect, Serving, Upstream

TOKEN = "hf_the_upstreams_own_token"


def add_upstream(slug: str, dialect: Dialect, url: str, **fields: Any) -> Upstream:
    """Write an upstream with a token of its own. Doing it again moves it to the new address."""
    defaults = {"name": slug, "dialect": dialect, "base_url": url, "enabled": True} | fields
    row, _ = Upstream.objects.update_or_create(slug=slug, defaults=defaults)
    row.set_secret(TOKEN)
    row.save()
    return row


def switch_off(prefix: str) -> None:
    """Switch off the upstreams whose slugs begin so: files that come later find their models no longer listed."""
    for row in Upstream.objects.filter(slug__startswith=prefix):
        row.enabled = False
        row.save()


def add_model(
    model_id: str,
    tasks: Sequence[str],
    *ways: Upstream | tuple[Upstream, str, str],
    fastest_first: bool = False,
) -> None:
    """List a model with its ways: upstreams, or (router, provider, the provider's own id).

    With `fastest_first` each way is slower than the one before.
    """
    model, _ = CatalogModel.objects.get_or_create(model_id=model_id, defaults={"tasks": list(tasks)})
    for number, way in enumerate(ways):
        upstream, provider, provider_id = (way, "", "") if isinstance(way, Upstream) else way
        facts = {"provider_id": provider_id, "throughput": 1000 - number if fastest_first else None}
        Serving.objects.get_or_create(model=model, upstream=upstream, provider=provider, defaults=facts)


def add_price(model: str, upstream: str = "*", **prices: str) -> None:
    """Price a model (or pattern) by unit: `add_price("a/b", image="0.01")`. What is there already stays."""
    if PriceVersion.objects.filter(model=model, upstream=upstream).exists():
        return
    version = PriceVersion.objects.create(
        model=model, upstream=upstream, source="the tests' own", effective_from=timezone.now()
    )
    for name, text in prices.items():
        price = Decimal(text)
        UnitPrice.objects.create(version=version, unit=Unit(name), price=price, upstream_cost=price / 2)
