"""Which price a call gets: the exact model before a pattern, this upstream before any."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.models import PriceVersion, UnitPrice
from billing.pricebook import PricePin, load_price_book, price_book_of
from billing.pricing import Unit
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL


def _pin(number: int, **prices: str) -> PricePin:
    rates = {Unit(unit): Decimal(price) for unit, price in prices.items()}
    return PricePin(number, rates, rates)


BOOK = price_book_of(
    {
        ("*", "*", "USD"): _pin(1),
        ("meta-llama/*", "*", "USD"): _pin(2),
        ("meta-llama/*", "groq", "USD"): _pin(3),
        ("meta-llama/Llama-3.1-*", "*", "USD"): _pin(4),
        ("meta-llama/Llama-3.1-8B-Instruct", "*", "USD"): _pin(5),
        ("meta-llama/Llama-3.1-8B-Instruct", "groq", "USD"): _pin(6),
        ("meta-llama/Llama-3.1-8B-Instruct", "*", "KRW"): _pin(7),
        ("*/Llama.4+(x)", "*", "USD"): _pin(8),
    }
)


@pytest.mark.parametrize(
    ("model", "upstream", "currency", "version"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "groq", "USD", 6),
        ("meta-llama/Llama-3.1-8B-Instruct", "together", "USD", 5),
        ("meta-llama/Llama-3.1-8B-Instruct", "groq", "KRW", 7),
        # The model decides before the upstream: the longer pattern wins, though it is for any upstream.
        ("meta-llama/Llama-3.1-70B-Instruct", "groq", "USD", 4),
        ("meta-llama/Llama-3.3-70B-Instruct", "groq", "USD", 3),
        ("meta-llama/Llama-3.3-70B-Instruct", "together", "USD", 2),
        ("Qwen/Qwen3-8B", "groq", "USD", 1),
        ("someone/Llama.4+(x)", "groq", "USD", 8),  # nothing but * is special in a pattern
        ("someone/Llama-44(x)", "groq", "USD", 1),
        ("Qwen/Qwen3-8B", "groq", "KRW", None),
        ("meta-llama/Llama-3.3-70B-Instruct", "groq", "EUR", None),
    ],
)
def test_a_call_is_priced_with(model: str, upstream: str, currency: str, version: int | None) -> None:
    pin = BOOK.find(model, upstream, currency)
    assert (pin and pin.version_id) == version


@pytest.mark.parametrize(
    ("prices", "nano"),
    [
        ({"input_token": "0.02e-6", "output_token": "0.04e-6"}, 40_000_000),
        ({"input_token": "0.9e-6", "output_token": "0.1e-6"}, 900_000_000),
        ({"input_token": "0.01e-6"}, 10_000_000),
        ({"image": "0.03"}, 0),
        ({}, 0),
    ],
)
def test_the_price_ceiling_looks_at_the_dearest_token(prices: dict[str, str], nano: int) -> None:
    assert _pin(1, **prices).price_per_million_output_nano == nano


def test_the_book_out_of_the_box_prices_the_local_models(price_list: None) -> None:
    book = load_price_book(timezone.now())
    chat, embedding = book.find(CHAT_MODEL, "local", "USD"), book.find(EMBEDDING_MODEL, "local", "USD")
    assert chat
    assert chat.rates == {Unit.INPUT_TOKEN: Decimal("2e-8"), Unit.OUTPUT_TOKEN: Decimal("4e-8")}
    assert embedding
    assert embedding.rates == {Unit.INPUT_TOKEN: Decimal("1e-8")}
    assert all(chat.upstream_rates[unit] < price for unit, price in chat.rates.items())


def test_the_book_is_read_with_two_queries(
    price_list: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        load_price_book(timezone.now())


def test_a_new_price_holds_from_its_moment_on_and_not_before(price_list: None) -> None:
    change = datetime(2026, 6, 1, tzinfo=UTC)
    version = PriceVersion.objects.create(
        model=CHAT_MODEL, upstream="local", effective_from=change, source="a test"
    )
    UnitPrice.objects.create(version=version, unit=Unit.INPUT_TOKEN, price=Decimal("5e-8"))
    before = load_price_book(change - timedelta(microseconds=1)).find(CHAT_MODEL, "local", "USD")
    after = load_price_book(change).find(CHAT_MODEL, "local", "USD")
    assert before
    assert before.rates[Unit.INPUT_TOKEN] == Decimal("2e-8")
    assert after
    assert after.version_id == version.pk
    assert after.rates == {Unit.INPUT_TOKEN: Decimal("5e-8")}
