"""Adds a server of one's own, and what it serves: an upstream, a model, the way between them, its prices."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from billing.conversion import convert_prices
from billing.models import PriceVersion, UnitPrice
from billing.pricebook import load_price_book
from billing.pricing import Unit
from gateway.dialects import CHAT
from gateway.models import CatalogModel, Dialect, Serving, Upstream

CURRENCY = "USD"
SOURCE = "operator"
# Option -> the unit, and for how many of it the price is given.
PRICES: Mapping[str, tuple[Unit, int]] = {
    "price_input": (Unit.INPUT_TOKEN, 1_000_000),
    "price_output": (Unit.OUTPUT_TOKEN, 1_000_000),
    "price_second": (Unit.COMPUTE_SECOND, 1),
    "price_request": (Unit.REQUEST, 1),
}
EXAMPLE = "manage.py add_upstream my-vllm --url https://vllm.example --model org/name --price-input 0.1"


class Command(BaseCommand):
    """`manage.py add_upstream my-vllm --url https://… --model org/name --price-input 0.1 --price-output 0.3`."""

    help = (
        "Add a server of your own and a model that it serves. Run it again to change something, or to add "
        "another model: what is there already stays. Takes effect at once, without a restart."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.epilog = f"Example: {EXAMPLE} --price-output 0.3"
        parser.add_argument(
            "slug", help="the upstream's code: usage and prices name it; letters, digits, - and _"
        )
        parser.add_argument("--dialect", choices=Dialect.values, help="what it speaks; openai for a new one")
        parser.add_argument("--url", default="", help="its address, without /v1")
        parser.add_argument("--name", help="as the admin shows it; the code, if left out")
        parser.add_argument(
            "--secret-env", metavar="VAR", help="read its token from this environment variable"
        )
        parser.add_argument("--model", required=True, metavar="ID", help="as customers call it: org/name")
        parser.add_argument(
            "--served-as", default="", metavar="ID", help="as the server calls it, if otherwise"
        )
        parser.add_argument("--task", action="append", help=f"repeatable; {CHAT} if left out")
        parser.add_argument("--context-length", type=int, metavar="TOKENS", help="prompt and answer together")
        parser.add_argument("--price-input", metavar="USD", help="for a million input tokens")
        parser.add_argument("--price-output", metavar="USD", help="for a million output tokens")
        parser.add_argument("--price-second", metavar="USD", help="for a second of computing")
        parser.add_argument("--price-request", metavar="USD", help="for a call")
        parser.add_argument("--json", action="store_true", help="print what changed as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write what is missing or different, and say what that was."""
        try:
            with transaction.atomic():
                changed = _apply(options)
        except ValidationError as failure:
            raise CommandError(" ".join(failure.messages)) from None
        if options["json"]:
            told = {"upstream": options["slug"], "model": options["model"], "changed": changed}
            self.stdout.write(json.dumps(told))
            return
        what = ", ".join(changed) or "nothing, it was all there"
        self.stdout.write(f"{options['model']} at {options['slug']}. Changed: {what}.")


def _apply(options: Mapping[str, Any]) -> list[str]:
    rates = _rates(options)
    upstream, moved = _upstream(options)
    model, listed = _model(options)
    changes = {
        "upstream": moved,
        "model": listed,
        "serving": _serving(model, upstream, options["served_as"]),
        "prices": _add_prices(model, upstream, rates),
    }
    if load_price_book(timezone.now()).find(model.model_id, upstream.slug, CURRENCY) is None:
        raise CommandError(
            f"{model} has no price, so nobody could call it. Give --price-input and --price-output."
        )
    return [what for what, happened in changes.items() if happened]


def _rates(options: Mapping[str, Any]) -> dict[Unit, Decimal]:
    """Return the prices that were given, for ONE of each unit. CommandError for what is no price."""
    rates = {}
    for option, (unit, many) in PRICES.items():
        if options[option] is not None:
            rates[unit] = _price(option, options[option]) / many
    return rates


def _price(option: str, text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(-1)
    if not (price.is_finite() and price >= 0):
        raise CommandError(
            f"--{option.replace('_', '-')} must be a number of USD, such as 0.15, not {text!r}."
        )
    return price


def _upstream(options: Mapping[str, Any]) -> tuple[Upstream, bool]:
    """Write the upstream, with its token where one is given."""
    row = Upstream.objects.filter(slug=options["slug"]).first() or Upstream(slug=options["slug"])
    url = options["url"].rstrip("/") or row.base_url
    dialect = options["dialect"] or row.dialect or Dialect.OPENAI
    wanted = {"dialect": dialect, "base_url": url, "name": options["name"] or row.name or row.slug}
    moved = any(getattr(row, field) != wanted[field] for field in ("dialect", "base_url"))
    if row.sealed_secret and moved and not options["secret_env"]:
        raise CommandError(
            f"The secret of {row.slug} belongs to its old address. Give it again with --secret-env."
        )
    changed = _set(row, wanted)
    if options["secret_env"] and (secret := _secret(options["secret_env"])) != row.secret():
        row.set_secret(secret)
        changed = True
    return row, _save(row, changed)


def _secret(variable: str) -> str:
    if not os.environ.get(variable):
        raise CommandError(
            f"{variable} is not set. Export the server's token as {variable} and run this again."
        )
    return os.environ[variable]


def _model(options: Mapping[str, Any]) -> tuple[CatalogModel, bool]:
    """List the model, again if it was deprecated. Tasks are added to those that it has."""
    name = options["model"]
    row = CatalogModel.objects.filter(model_id=name).first() or CatalogModel(
        model_id=name, tasks=[], source=SOURCE
    )
    asked = options["task"] or ([] if row.tasks else [CHAT])
    wanted = {
        "tasks": list(dict.fromkeys([*row.tasks, *asked])),
        "context_length": options["context_length"] or row.context_length,
        "deprecated_at": None,
    }
    return row, _save(row, _set(row, wanted))


def _serving(model: CatalogModel, upstream: Upstream, served_as: str) -> bool:
    """Open the way between them."""
    way = {"model": model, "upstream": upstream, "provider": "", "task": ""}
    row = Serving.objects.filter(**way).first() or Serving(**way)
    provider_id = served_as or row.provider_id
    return _save(row, _set(row, {"provider_id": provider_id, "status": Serving.Status.LIVE}))


def _add_prices(model: CatalogModel, upstream: Upstream, rates: dict[Unit, Decimal]) -> bool:
    """Add a price version from now on, where the one in force for this way says otherwise."""
    pin = load_price_book(timezone.now()).pins.get((model.model_id, upstream.slug, CURRENCY))
    known, costs = (dict(pin.rates), pin.upstream_rates) if pin else ({}, {})
    if known | rates == known:
        return False
    version = PriceVersion(model=model.model_id, upstream=upstream.slug, currency=CURRENCY, source=SOURCE)
    _save(version, True)
    for unit, price in (known | rates).items():
        cost = costs.get(unit, Decimal())
        _save(UnitPrice(version=version, unit=unit, price=price, upstream_cost=cost), True)
    convert_prices()
    return True


def _set(row: Any, wanted: Mapping[str, Any]) -> bool:
    """Set fields; tell whether any was otherwise, or the row is new."""
    changed = row.pk is None or any(getattr(row, field) != value for field, value in wanted.items())
    for field, value in wanted.items():
        setattr(row, field, value)
    return changed


def _save(row: Any, changed: bool) -> bool:
    if changed:
        row.full_clean()
        row.save()
    return changed
