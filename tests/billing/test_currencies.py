"""Five currencies: plans and prices in each, chosen when the account is opened, statements in whole won."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.currencies import CURRENCIES, currency_for
from accounts.models import Account, User
from accounts.signup import open_organization
from billing.conversion import ConversionTable, convert_prices
from billing.entitlements import entitlements_of
from billing.invoicing import close_period
from billing.models import PlanVersion, PriceVersion, UnitPrice
from billing.money import MINOR_DIGITS, NANO
from billing.pricebook import load_price_book
from billing.pricing import Unit
from billing.seeding import seed_billing
from billing.subscriptions import change_plan
from billing.wording import month
from tests.billing.people import PERIOD, on_plan_since, written
from tests.factories import CHAT_MODEL, make_person, make_report, record_calls

MONTH = month(PERIOD.key)
TABLE = ConversionTable.read()


def test_accounts_are_kept_in_the_currencies_that_we_invoice_in() -> None:
    assert list(CURRENCIES) == list(MINOR_DIGITS) == ["USD", *TABLE.rates]


@pytest.mark.parametrize(
    ("language", "currency"), [("ko", "KRW"), ("en", "USD"), ("en-gb", "USD"), (None, "USD")]
)
def test_a_form_proposes_the_currency_of_its_reader(language: str | None, currency: str) -> None:
    assert currency_for(language) == currency


@pytest.mark.parametrize(
    ("currency", "fee", "credit"),
    [
        ("USD", 900, "2"),
        ("EUR", 900, "1.8"),
        ("GBP", 800, "1.6"),
        ("JPY", 1400, "300"),
        ("KRW", 12900, "2800"),
    ],
)
def test_pro_has_a_price_of_its_own_in_each_currency(
    price_list: None, currency: str, fee: int, credit: str
) -> None:
    minjun = make_person("Minjun", "pro", currency=currency)
    rights = entitlements_of(minjun.account)
    version = PlanVersion.objects.get(pk=rights.plan_version_id)
    assert (version.currency, version.price_minor) == (currency, fee)
    assert version.included_credit_nano == int(Decimal(credit) * NANO)


def test_a_free_account_in_won_is_on_the_free_plan_in_won(price_list: None) -> None:
    minjun = make_person("Minjun", "free", currency="KRW")
    assert entitlements_of(minjun.account).spend_limit_nano == 140 * NANO


def test_minjuns_statement_in_won_equals_the_table_calculated_by_hand(price_list: None) -> None:
    """$0.02 and $0.04 per million at 1,400 won: 28 and 56 won.

    | model, unit     | quantity    | price       | exact, won | line, won |
    |-----------------|-------------|-------------|------------|-----------|
    | SmolLM2 input   | 150,000,000 | 28 per 1M   |      4,200 |     4,200 |
    | SmolLM2 output  |     910,715 | 56 per 1M   |   51.00004 |        51 |
    | Pro, a month    |             |             |            |    12,900 |
    | included credit |             |             |            |    -2,800 |
    | total           |             |             |            |    14,351 |
    """
    minjun = make_person("Minjun", "pro", currency="KRW")
    on_plan_since(PERIOD.previous.start, minjun)
    units = {Unit.INPUT_TOKEN: 150_000_000, Unit.OUTPUT_TOKEN: 910_715}
    record_calls(make_report(minjun, PERIOD.start, units))
    statement = close_period(minjun.account, PERIOD)
    assert statement
    assert written(statement) == [
        (f"Pro plan, {MONTH}", 12_900),
        (f"{CHAT_MODEL}: 150,000,000 input tokens × ₩28 per 1M", 4_200),
        (f"{CHAT_MODEL}: 910,715 output tokens × ₩56 per 1M", 51),
        (f"Included credit, {MONTH}", -2_800),
    ]
    assert (statement.total_minor, statement.currency) == (14_351, "KRW")


def test_minjun_changes_to_the_plan_in_his_currency(price_list: None) -> None:
    minjun = make_person("Minjun", "free", currency="KRW")
    stay = change_plan(minjun.account, "pro")
    assert stay
    assert stay.plan_version.currency == "KRW"


def test_every_price_in_dollars_has_its_counterparts(price_list: None) -> None:
    pins = load_price_book(timezone.now()).pins
    dollars = {
        (model, upstream): pin for (model, upstream, currency), pin in pins.items() if currency == "USD"
    }
    for currency, rate in TABLE.rates.items():
        for (model, upstream), pin in dollars.items():
            there = pins[model, upstream, currency]
            assert dict(there.rates) == {unit: price * rate for unit, price in pin.rates.items()}
            assert dict(there.upstream_rates) == {
                unit: cost * rate for unit, cost in pin.upstream_rates.items()
            }


def test_converting_twice_adds_nothing(price_list: None) -> None:
    before = PriceVersion.objects.count()
    assert convert_prices() == 0
    seed_billing()
    assert PriceVersion.objects.count() == before


def test_a_new_table_adds_versions_and_edits_none(price_list: None) -> None:
    now = timezone.now()
    old = load_price_book(now).find(CHAT_MODEL, "local", "KRW")
    dearer = ConversionTable("USD", "2026-12-01", {"KRW": Decimal(1500)})
    assert convert_prices(dearer) == PriceVersion.objects.filter(currency="USD").count()
    new = load_price_book(timezone.now()).find(CHAT_MODEL, "local", "KRW")
    assert old
    assert new
    assert (old.rates[Unit.INPUT_TOKEN], new.rates[Unit.INPUT_TOKEN]) == (
        Decimal("0.000028"),
        Decimal("0.00003"),
    )
    assert load_price_book(now).find(CHAT_MODEL, "local", "KRW") == old
    assert "1 USD = 1500 KRW, 2026-12-01" in PriceVersion.objects.get(pk=new.version_id).source


def test_a_price_that_olivia_chose_in_won_stays(price_list: None) -> None:
    chosen = PriceVersion.objects.create(model=CHAT_MODEL, upstream="local", currency="KRW", source="30 won")
    UnitPrice.objects.create(version=chosen, unit=Unit.INPUT_TOKEN, price=Decimal("0.00003"))
    convert_prices(ConversionTable("USD", "2026-12-01", {"KRW": Decimal(1500)}))
    pin = load_price_book(timezone.now() + timedelta(seconds=1)).find(CHAT_MODEL, "local", "KRW")
    assert pin
    assert pin.version_id == chosen.pk


@pytest.mark.parametrize(
    ("rates", "error"), [({"CHF": "0.9"}, "CHF is not one of"), ({"KRW": "0"}, "must be above 0")]
)
def test_a_table_that_cannot_be_is_refused(tmp_path: Path, rates: dict[str, str], error: str) -> None:
    file = tmp_path / "conversion.json"
    file.write_text(json.dumps({"base": "USD", "date": "2026-12-01", "rates": rates}))
    with pytest.raises(ValueError, match=error):
        ConversionTable.read(file)


def test_an_organization_is_opened_in_its_currency(price_list: None) -> None:
    owner = User.objects.create_user("minjun@example.com")
    assert open_organization(owner, "Seoul Shop", "KRW").currency == "KRW"
    assert Account.objects.get().currency == "KRW"
