"""Plans and prices out of the box, from `billing/data/`.

A version is added only where no version, old or new, has the file's figures. So seeding again changes
nothing, an edited file adds its change, and a version that an operator added since stays in force.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Account
from billing.conversion import convert_prices, stored
from billing.models import Plan, PlanVersion, PriceVersion, Subscription, UnitPrice
from billing.money import to_nano
from billing.pricing import Unit
from billing.subscriptions import start_subscription

DATA = Path(__file__).parent / "data"

# What a customer is charged in at one upstream: one of these groups, so that no call is charged twice.
_EXCLUSIVE_UNITS = (
    {Unit.INPUT_TOKEN, Unit.CACHED_INPUT_TOKEN, Unit.OUTPUT_TOKEN},
    {Unit.IMAGE},
    {Unit.AUDIO_SECOND},
    {Unit.CHARACTER},
    {Unit.COMPUTE_SECOND},
    {Unit.REQUEST},
)


def seed_billing() -> None:
    """Write the plans and the price book, where they are not there yet."""
    seed_plans()
    seed_prices()
    convert_prices()


@transaction.atomic
def seed_plans(file: Path = DATA / "plans.json") -> int:
    """Write each plan, and a version where none has the file's figures; return how many versions."""
    return sum(_seed_plan(row) for row in json.loads(file.read_text())["plans"])


@transaction.atomic
def seed_prices(file: Path = DATA / "pricebook.json") -> int:
    """Write a price version for each row whose figures none has; return how many. ValueError if malformed."""
    book = json.loads(file.read_text())
    return sum(_seed_price(row, book) for row in book["prices"])


def subscribe(account: Account, plan_slug: str) -> Subscription:
    """Put `account` on the newest version of a plan from now on, by agreement or not; for seeds and staff."""
    version = PlanVersion.objects.current(currency=account.currency).get(plan__slug=plan_slug)
    return start_subscription(account, version)


def _seed_plan(row: Mapping[str, Any]) -> int:
    facts = {name: row[name] for name in ("name", "position", "is_default", "by_agreement")}
    plan, _ = Plan.objects.get_or_create(slug=row["slug"], defaults=facts)
    editions: list[dict[str, Any]] = [{}]
    editions += [{"currency": currency} | own for currency, own in row.get("currencies", {}).items()]
    return sum(_seed_plan_version(plan, row["version"] | edition) for edition in editions)


def _seed_plan_version(plan: Plan, row: Mapping[str, Any]) -> int:
    wanted = _plan_version_fields(row)
    versions = list(plan.versions.filter(currency=wanted["currency"]))
    if any(all(getattr(version, name) == value for name, value in wanted.items()) for version in versions):
        return 0
    PlanVersion.objects.create(
        plan=plan,
        number=max((version.number for version in versions), default=0) + 1,
        # The first version has always been in force, so that usage before the first seed has a plan.
        effective_from=timezone.now() if versions else _LONG_AGO,
        **wanted,
    )
    return 1


def _plan_version_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The file's row under the model's names: amounts of money become integer nano-units."""
    fields = dict(row)
    ceiling = fields.pop("price_ceiling")
    return fields | {
        "included_credit_nano": to_nano(Decimal(fields.pop("included_credit"))),
        "price_ceiling_nano": None if ceiling is None else to_nano(Decimal(ceiling)),
    }


def _seed_price(row: Mapping[str, Any], book: Mapping[str, Any]) -> int:
    prices = unit_prices_of(row, Decimal(book["markup"]))
    where = {"model": row["model"], "upstream": row["upstream"], "currency": book["currency"]}
    versions = PriceVersion.objects.filter(**where).prefetch_related("unit_prices")
    if any(prices == _stored_prices(version) for version in versions):
        return 0
    version = PriceVersion.objects.create(
        **where,
        effective_from=timezone.now() if versions else datetime.fromisoformat(book["effective_from"]),
        source=row.get("source", book["source"]),
    )
    UnitPrice.objects.bulk_create(
        UnitPrice(version=version, unit=unit, price=price, upstream_cost=cost)
        for unit, (price, cost) in prices.items()
    )
    return 1


def unit_prices_of(row: Mapping[str, Any], markup: Decimal) -> dict[str, tuple[Decimal, Decimal]]:
    """Return {unit: (price, cost)} for ONE unit each, in whole currency units."""
    per = Decimal(row["per"])
    costs = {Unit(unit): Decimal(amount) for unit, amount in row["cost"].items()}
    prices = {Unit(unit): Decimal(amount) for unit, amount in row.get("price", {}).items()}
    if not any(costs.keys() | prices.keys() <= group for group in _EXCLUSIVE_UNITS):
        raise ValueError(
            f"{row['model']} is priced in {', '.join(costs)}: choose one, or calls are charged twice."
        )
    return {
        unit.value: (stored(prices.get(unit, cost * markup) / per), stored(cost / per))
        for unit, cost in costs.items()
    }


def _stored_prices(version: PriceVersion) -> dict[str, tuple[Decimal, Decimal]]:
    return {row.unit: (row.price, row.upstream_cost) for row in version.unit_prices.all()}


_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
