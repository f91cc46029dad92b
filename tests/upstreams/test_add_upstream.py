"""`manage.py add_upstream`: one command, safe to repeat, one clear line for what makes no sense."""

import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import PriceVersion
from billing.pricebook import load_price_book
from billing.pricing import Unit
from gateway.catalog import load_catalog
from gateway.models import CatalogModel, Upstream

pytestmark = pytest.mark.django_db

VLLM = ("olivias-vllm", "--url", "http://127.0.0.1:8101", "--model", "olivia/chat")
PRICED = (*VLLM, "--price-input", "0.10", "--price-output", "0.30")


def add(*arguments: str) -> Any:
    """Run the command and return what it prints as JSON."""
    out = StringIO()
    call_command("add_upstream", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_olivia_adds_her_vllm_and_its_model_can_be_called() -> None:
    assert add(*PRICED)["changed"] == ["upstream", "model", "serving", "prices"]
    catalog = load_catalog()
    listed = catalog.find("olivia/chat")
    pin = catalog.price(listed, listed.ways[0], "USD")
    assert pin is not None
    assert pin.rates == {Unit.INPUT_TOKEN: Decimal("1e-7"), Unit.OUTPUT_TOKEN: Decimal("3e-7")}
    assert listed.tasks == ("conversational",)


def test_the_same_again_changes_nothing() -> None:
    add(*PRICED)
    assert add(*PRICED)["changed"] == []
    assert PriceVersion.objects.filter(model="olivia/chat", currency="USD").count() == 1


def test_another_model_at_a_tgi_server_leaves_the_server_as_it_is() -> None:
    add(*PRICED, "--dialect", "tgi")
    changed = add("olivias-vllm", "--model", "olivia/other", "--price-second", "0.001")["changed"]
    assert changed == ["model", "serving", "prices"]
    assert Upstream.objects.get(slug="olivias-vllm").dialect == "tgi"


def test_a_new_price_is_a_new_version_and_keeps_the_other_unit() -> None:
    add(*PRICED)
    assert add(*VLLM, "--price-output", "0.40")["changed"] == ["prices"]
    pin = load_price_book(timezone.now()).find("olivia/chat", "olivias-vllm", "USD")
    assert pin is not None
    assert pin.rates == {Unit.INPUT_TOKEN: Decimal("1e-7"), Unit.OUTPUT_TOKEN: Decimal("4e-7")}
    assert PriceVersion.objects.filter(model="olivia/chat", currency="USD").count() == 2


def test_a_deprecated_model_is_listed_again_and_keeps_its_tasks() -> None:
    add(*PRICED)
    CatalogModel.objects.filter(model_id="olivia/chat").update(deprecated_at=timezone.now())
    assert add(*VLLM, "--task", "text-generation")["changed"] == ["model"]
    row = CatalogModel.objects.get(model_id="olivia/chat")
    assert (row.deprecated_at, row.tasks) == (None, ["conversational", "text-generation"])


def test_the_token_comes_from_a_variable_and_stays_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_TOKEN", "a-token-of-olivias")
    add(*PRICED, "--secret-env", "VLLM_TOKEN")
    row = Upstream.objects.get(slug="olivias-vllm")
    assert row.secret() == "a-token-of-olivias"
    assert b"a-token" not in bytes(row.sealed_secret)
    with pytest.raises(CommandError, match="belongs to its old address"):
        add("olivias-vllm", "--url", "http://127.0.0.1:8102", "--model", "olivia/chat")
    assert Upstream.objects.get(slug="olivias-vllm").base_url == "http://127.0.0.1:8101"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (VLLM, "has no price"),
        ((*VLLM, "--price-input", "cheap"), "--price-input must be a number of USD"),
        ((*VLLM, "--price-input", "-1"), "--price-input must be a number of USD"),
        ((*VLLM, "--price-input", "NaN"), "--price-input must be a number of USD"),
        (("olivias-vllm", "--model", "olivia/chat", "--price-input", "1"), "needs an address"),
        (("olivias vllm", *PRICED[1:]), "slug"),
        ((*PRICED, "--secret-env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (("x", "--url", "ftp://x", "--model", "olivia/chat", "--price-input", "1"), "address|URL"),
        ((*PRICED, "--dialect", "smoke-signals"), "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line_and_nothing_is_written(
    arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as refused:
        add(*arguments)
    assert "\n" not in str(refused.value)
    assert not Upstream.objects.filter(slug__startswith="olivia").exists()
    assert not CatalogModel.objects.filter(model_id="olivia/chat").exists()
