"""A web process reads the catalog anew when it is another, and not because half a minute has passed."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import PriceVersion, UnitPrice
from gateway.catalog_changes import catalog_fingerprint
from gateway.models import CatalogModel, Serving, Upstream
from gateway.seeding import seed_catalog
from tests.factories import CHAT_MODEL


@pytest.fixture(autouse=True)
def catalog(db: None) -> None:
    """A fresh machine: the local models and the snapshot."""
    seed_catalog()


def version_from(moment: timedelta) -> PriceVersion:
    """A new price of a model, from a moment on."""
    return PriceVersion.objects.create(
        model="a/new-one", source="a test", effective_from=timezone.now() + moment
    )


def an_upstream_moves() -> None:
    Upstream.objects.filter(pk=Upstream.objects.earliest("pk").pk).update(position=77)


def a_model_leaves() -> None:
    CatalogModel.objects.filter(model_id=CHAT_MODEL).update(deprecated_at=timezone.now())


def a_way_is_gone() -> None:
    Serving.objects.earliest("pk").delete()


def a_price_comes() -> None:
    version_from(timedelta(seconds=-1))


def a_price_gets_a_unit() -> None:
    UnitPrice.objects.create(version=PriceVersion.objects.earliest("pk"), unit="image", price=Decimal("0.01"))


@pytest.mark.parametrize(
    "change", [an_upstream_moves, a_model_leaves, a_way_is_gone, a_price_comes, a_price_gets_a_unit]
)
def test_whatever_a_call_reads_makes_another_fingerprint(change: Callable[[], None]) -> None:
    before = catalog_fingerprint()
    assert catalog_fingerprint() == before
    change()
    assert catalog_fingerprint() != before


def test_a_price_and_a_farewell_that_were_set_beforehand_come_into_force_by_themselves() -> None:
    version_from(timedelta(milliseconds=300))
    CatalogModel.objects.filter(model_id=CHAT_MODEL).update(
        deprecated_at=timezone.now() + timedelta(milliseconds=600)
    )
    seen = [catalog_fingerprint()]
    for _ in range(2):
        time.sleep(0.35)
        seen.append(catalog_fingerprint())
    assert len(set(seen)) == 3
