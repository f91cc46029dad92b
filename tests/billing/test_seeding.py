"""Plans and prices out of the box: written once, added to when the file changes, never taken over."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from billing import phrases
from billing.models import Plan, PlanVersion, PriceVersion, UnitPrice
from billing.seeding import DATA, seed_billing, seed_plans, seed_prices


@pytest.mark.parametrize(
    ("slug", "limits"),
    [
        ("free", (0, 1000, 100_000_000, False, 20, 20_000, 2, True)),
        ("pro", (900, 50_000, 2_000_000_000, True, 600, 500_000, 20, False)),
        ("enterprise", (None, None, 0, True, None, None, None, False)),
    ],
)
def test_the_plans_are_those_of_the_price_list(
    price_list: None, slug: str, limits: tuple[object, ...]
) -> None:
    version = PlanVersion.objects.current().get(plan__slug=slug)
    assert limits == (
        version.price_minor,
        version.calls_per_period,
        version.included_credit_nano,
        version.overage,
        version.requests_per_minute,
        version.tokens_per_minute,
        version.concurrency,
        version.fails_closed,
    )


def test_free_is_the_default_and_reaches_small_models_only(price_list: None) -> None:
    free = PlanVersion.objects.default()
    assert free.plan.slug == "free"
    dearest = dict(
        UnitPrice.objects.filter(unit="output_token", version__currency="USD").values_list(
            "version__model", "price"
        )
    )
    reached = {model for model, price in dearest.items() if price * 10**15 <= (free.price_ceiling_nano or 0)}
    assert "meta-llama/Llama-3.1-8B-Instruct" in reached
    assert not any("70B" in model or "DeepSeek" in model or "120b" in model for model in reached)


def test_seeding_twice_changes_nothing(price_list: None) -> None:
    before = (PlanVersion.objects.count(), PriceVersion.objects.count(), UnitPrice.objects.count())
    seed_billing()
    assert before == (PlanVersion.objects.count(), PriceVersion.objects.count(), UnitPrice.objects.count())
    assert before[1] >= 27


def test_an_operators_own_plan_version_survives_the_next_seed(price_list: None) -> None:
    pro = Plan.objects.get(slug="pro")
    own = PlanVersion.objects.create(plan=pro, number=2, price_minor=1200)
    assert seed_plans() == 0
    assert PlanVersion.objects.current().get(plan=pro) == own


def test_a_changed_price_in_the_file_adds_a_version(price_list: None, tmp_path: Path) -> None:
    book = json.loads((DATA / "pricebook.json").read_text())
    book["prices"][0]["price"]["input_token"] = "0.03"
    file = tmp_path / "pricebook.json"
    file.write_text(json.dumps(book))
    model = book["prices"][0]["model"]
    assert seed_prices(file) == 1
    assert seed_prices(file) == 0
    prices = UnitPrice.objects.filter(
        version__model=model, version__currency="USD", unit="input_token"
    ).order_by("version__effective_from")
    assert [row.price for row in prices] == [Decimal("2e-8"), Decimal("3e-8")]


def test_a_model_priced_in_tokens_and_in_seconds_is_refused(price_list: None, tmp_path: Path) -> None:
    book = json.loads((DATA / "pricebook.json").read_text())
    book["prices"][0]["cost"]["compute_second"] = "0.00012"
    file = tmp_path / "pricebook.json"
    file.write_text(json.dumps(book))
    with pytest.raises(ValueError, match="choose one, or calls are charged twice"):
        seed_prices(file)


def test_every_feature_of_a_plan_can_be_translated() -> None:
    plans = json.loads((DATA / "plans.json").read_text())["plans"]
    assert {line for plan in plans for line in plan["version"]["features"]} == set(phrases.PLAN_FEATURES)
