"""A price book to re-rate with: from a file, of one price version, or as it was on a day. Only reads."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from django.utils import timezone

from billing.conversion import ConversionTable, stored
from billing.models import PriceVersion
from billing.pricebook import PriceBook, PricePin, load_price_book, price_book_of
from billing.pricing import Unit
from billing.seeding import unit_prices_of


class PriceBookError(ValueError):
    """There is no such price book; the message says what to give."""


def read_price_book(text: str, currency: str) -> PriceBook:
    """Read a price book: a file like `data/pricebook.json`, `p12` (one version), or a moment (`2026-11-01`).

    Prices of a file are converted by the operator's table where its currency is another. PriceBookError.
    """
    if Path(text).suffix == ".json":
        return _book_of_file(Path(text), currency)
    if text.startswith("p") and text[1:].isdigit():
        return _book_of_version(int(text[1:]), currency)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PriceBookError(
            f"{text} is no .json file, no price version (p12), and no day (2026-11-01)."
        ) from None
    return load_price_book(at if at.tzinfo else timezone.make_aware(at))


def _book_of_version(pk: int, currency: str) -> PriceBook:
    version = PriceVersion.objects.filter(pk=pk, currency=currency).first()
    if version is None:
        raise PriceBookError(f"There is no price version p{pk} in {currency}.")
    rows = list(version.unit_prices.all())
    rates = {Unit(row.unit): row.price for row in rows}
    costs = {Unit(row.unit): row.upstream_cost for row in rows}
    return price_book_of({(version.model, version.upstream, currency): PricePin(pk, rates, costs)})


def _book_of_file(file: Path, currency: str) -> PriceBook:
    try:
        book = json.loads(file.read_text())
        factor = Decimal(1)
        if book["currency"] != currency:
            factor = ConversionTable.read().rates[currency]
        pins = {
            (row["model"], row["upstream"], currency): _pin_of(
                unit_prices_of(row, Decimal(book["markup"])), factor
            )
            for row in book["prices"]
        }
    except (OSError, KeyError, ValueError, ArithmeticError) as error:
        raise PriceBookError(
            f"{file} is no price book like billing/data/pricebook.json: {error!r}"
        ) from error
    return price_book_of(pins)


def _pin_of(prices: Mapping[str, tuple[Decimal, Decimal]], factor: Decimal) -> PricePin:
    rates = {Unit(unit): stored(price * factor) for unit, (price, _) in prices.items()}
    costs = {Unit(unit): stored(cost * factor) for unit, (_, cost) in prices.items()}
    return PricePin(0, rates, costs)
