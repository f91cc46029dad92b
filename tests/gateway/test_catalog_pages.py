"""The catalog's screens: anybody may look; what they show is what a call costs and what a plan allows."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from billing.models import PriceVersion, UnitPrice
from billing.pricing import Unit
from gateway.catalog import load_catalog
from gateway.catalog_rows import Row, State
from gateway.models import CatalogChange, CatalogModel, Dialect, Serving, Upstream
from gateway.routing import candidates
from gateway.seeding import seed_catalog
from gateway.templatetags.formats import exact
from tests.browsing import sign_in, text_of
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person, make_report

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct"
FLUX = "black-forest-labs/FLUX.1-dev"


FIGURES: dict[str, Callable[[Row], Decimal | int | None]] = {
    "input": lambda row: row.cheapest.input_nano if row.cheapest else None,
    "output": lambda row: row.cheapest.output_nano if row.cheapest else None,
    "context": lambda row: row.listed.context_length,
}


@pytest.fixture(autouse=True)
def fresh_machine(db: None, settings: Settings) -> None:
    """The local models run, the snapshot is listed, and there is no Hugging Face token."""
    settings.MODEL_URL, settings.HF_TOKEN = "http://127.0.0.1:1", ""
    seed_catalog()


@pytest.fixture
def visitor() -> Client:
    """Somebody who has not signed in."""
    return Client()


def rows_of(browser: Client, query: str = "") -> dict[str, Row]:
    """What the list shows, in its order, over all of its pages."""
    found: dict[str, Row] = {}
    for number in range(1, 20):
        page = browser.get(f"/models/{query}{'&' if query else '?'}page={number}").context["page"]
        found |= {row.listed.model_id: row for row in page.object_list}
        if not page.has_next():
            break
    return found


def address(model_id: str) -> str:
    return f"/models/{model_id}/"


def own_price(model: str, upstream: str, per_million: str, days: int = 0) -> PriceVersion:
    """A price that holds from so many days from now on."""
    version = PriceVersion.objects.create(
        model=model,
        upstream=upstream,
        source="secret source",
        effective_from=timezone.now() + timedelta(days),
    )
    price = Decimal(per_million) / 1_000_000
    UnitPrice.objects.create(version=version, unit=Unit.INPUT_TOKEN, price=price, upstream_cost=price / 3)
    return version


# --- Looking -------------------------------------------------------------------------------------


def test_a_visitor_reads_the_list_without_signing_in(visitor: Client) -> None:
    page = visitor.get("/models/")
    text = text_of(page)
    assert page.status_code == 200
    assert CHAT_MODEL in text
    assert LLAMA_70B in text
    assert "Create account" in text
    assert f'href="{address(LLAMA_70B)}"' in page.content.decode()


def test_alice_finds_the_models_in_the_rail_of_her_console(alice: Person) -> None:
    page = sign_in(alice).get("/models/").content.decode()
    assert 'class="rail-link" href="/models/" aria-current="page"' in page


def test_somebody_who_is_a_member_of_nothing_sees_what_everybody_sees() -> None:
    browser = Client()
    user = get_user_model().objects.create_user("lone@example.com")
    browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert LLAMA_70B in text_of(browser.get("/models/"))
    assert browser.get(address(LLAMA_70B)).status_code == 200


def test_the_banner_says_that_it_is_a_snapshot_and_of_which_day(visitor: Client, olivia: Client) -> None:
    for page in (visitor.get("/models/"), visitor.get(address(LLAMA_8B))):
        assert "A snapshot of Nov 23, 2026" in text_of(page)
        assert "manage.py" not in text_of(page)
    assert "Set HF_TOKEN and run manage.py sync_catalog" in text_of(olivia.get("/models/"))


def test_after_a_synchronisation_there_is_no_banner(visitor: Client) -> None:
    CatalogModel.objects.exclude(source="shipped").update(source="hub")
    assert "snapshot" not in text_of(visitor.get("/models/")).lower()


def test_an_empty_catalog_says_so(visitor: Client) -> None:
    Serving.objects.all().delete()
    assert "No models yet" in text_of(visitor.get("/models/"))


# --- States --------------------------------------------------------------------------------------


def test_without_a_token_only_the_local_models_can_be_called(visitor: Client) -> None:
    rows = rows_of(visitor)
    assert {name for name, row in rows.items() if row.state == State.LIVE} == {CHAT_MODEL, EMBEDDING_MODEL}
    assert rows[LLAMA_8B].state == State.NEEDS_TOKEN
    assert list(rows)[:2] == [CHAT_MODEL, EMBEDDING_MODEL]  # what answers comes first
    assert set(rows_of(visitor, "?here=1")) == {CHAT_MODEL, EMBEDDING_MODEL}


def test_with_the_operators_token_the_rest_is_live_too(visitor: Client, settings: Settings) -> None:
    settings.HF_TOKEN = "hf_of_the_operator"
    assert rows_of(visitor, "?here=1").keys() == rows_of(visitor).keys()
    page = visitor.get(address(LLAMA_8B))
    assert "until the first synchronisation" in text_of(page)
    assert "hf_of_the_operator" not in page.content.decode()


def test_a_provider_that_fails_is_not_the_one_whose_price_is_shown(
    visitor: Client, settings: Settings
) -> None:
    settings.HF_TOKEN = "hf_of_the_operator"
    cheapest = rows_of(visitor)[LLAMA_8B].cheapest
    assert cheapest is not None
    Serving.objects.filter(model__model_id=LLAMA_8B, provider=cheapest.way.name).update(status="error")
    row = rows_of(visitor)[LLAMA_8B]
    assert row.cheapest is not None
    assert row.cheapest.way.name != cheapest.way.name
    assert {way.way.name: way.state for way in row.ways}[cheapest.way.name] == State.AWAY
    Serving.objects.filter(model__model_id=LLAMA_8B).update(status="error")
    assert "Not available now" in text_of(visitor.get(address(LLAMA_8B)))


def test_a_model_without_a_price_is_listed_and_not_sold(visitor: Client) -> None:
    model = CatalogModel.objects.create(model_id="gpt2", tasks=["text-generation"])
    Serving.objects.create(model=model, upstream=Upstream.objects.get(slug="local"))
    row = rows_of(visitor, "?q=gpt2")["gpt2"]
    assert (row.state, row.cheapest, row.plans) == (State.UNPRICED, None, ())
    page = visitor.get(address("gpt2"))  # an id without an organization has a page as well
    assert "Not sold here" in text_of(page)
    assert "No price yet" in text_of(page)


def test_a_deprecated_model_stays_with_its_date_and_comes_last(visitor: Client) -> None:
    day = timezone.now().replace(year=2026, month=11, day=20)
    CatalogModel.objects.filter(model_id=LLAMA_8B).update(deprecated_at=day)
    CatalogChange.objects.create(model_id=LLAMA_8B, what="deprecated", after="last seen 2026-11-19")
    rows = rows_of(visitor)
    assert list(rows)[-1] == LLAMA_8B
    assert "Deprecated Nov 20, 2026" in text_of(visitor.get("/models/?q=llama-3.1"))
    text = text_of(visitor.get(address(LLAMA_8B)))
    assert "Deprecated since Nov 20, 2026" in text
    assert "Show similar models" in text
    assert "Snapshot of Nov 23, 2026" in text
    assert "Call it" not in text
    assert "Who serves it" not in text
    assert LLAMA_8B not in rows_of(visitor, "?here=1")


def test_erins_own_upstream_is_nobody_elses_business(visitor: Client, alice: Person) -> None:
    own = Upstream.objects.create(
        slug="erins-box",
        name="Erin's",
        dialect=Dialect.TGI,
        base_url="https://erin.example",
        account=alice.account,
    )
    Serving.objects.create(model=CatalogModel.objects.get(model_id=LLAMA_8B), upstream=own)
    own_price(LLAMA_8B, "erins-box", "0.777")
    for page in (visitor.get("/models/"), visitor.get(address(LLAMA_8B))):
        assert "erins-box" not in page.content.decode()
        assert "0.777" not in page.content.decode()


# --- Search, filters, order ----------------------------------------------------------------------


def test_search_finds_every_word_in_any_case(visitor: Client) -> None:
    assert set(rows_of(visitor, "?q=LLAMA+70b")) == {LLAMA_70B}
    assert "1 model" in text_of(visitor.get("/models/?q=LLAMA+70b"))


def test_filters_narrow_by_task_and_provider_and_stand_in_the_address(visitor: Client) -> None:
    rows = rows_of(visitor, "?task=conversational&provider=groq")
    assert LLAMA_70B in rows
    assert all("conversational" in row.listed.tasks and "groq" in row.providers for row in rows.values())
    page = visitor.get("/models/?task=conversational&provider=groq&sort=-input&page=1").content.decode()
    assert 'href="?provider=groq&amp;sort=-input"' in page  # the chip that takes the task away
    assert "<option selected>groq</option>" in page


def test_a_search_that_finds_nothing_says_what_to_do(visitor: Client) -> None:
    for query in ("?q=no-such-model", "?task=juggling", "?plan=platinum"):
        text = text_of(visitor.get(f"/models/{query}"))
        assert "No model fits" in text
        assert "Show all models" in text


@pytest.mark.parametrize(
    "query", ["?page=999", "?page=x", "?sort=nonsense", "?here=maybe", "?q=%00", "?q=%3Cb%3E"]
)
def test_nonsense_in_the_address_breaks_nothing(visitor: Client, query: str) -> None:
    page = visitor.get(f"/models/{query}")
    assert page.status_code == 200
    assert "<b>" not in page.content.decode()


@pytest.mark.parametrize("column", ["input", "output", "context"])
def test_columns_sort_both_ways_with_what_has_no_figure_last(visitor: Client, column: str) -> None:
    def figures(sort: str) -> list[Decimal | int | None]:
        return [FIGURES[column](row) for row in rows_of(visitor, f"?sort={sort}").values()]

    up, down = figures(column), figures(f"-{column}")
    known = [figure for figure in up if figure is not None]
    assert None in up
    assert up == sorted(known) + [None] * (len(up) - len(known))
    assert down == sorted(known, reverse=True) + [None] * (len(up) - len(known))
    assert 'aria-sort="descending"' in visitor.get(f"/models/?sort=-{column}").content.decode()


def test_names_sort_both_ways(visitor: Client) -> None:
    names = list(rows_of(visitor, "?sort=name"))
    assert names == sorted(names, key=str.lower)
    assert list(rows_of(visitor, "?sort=-name")) == names[::-1]


# --- Plans ---------------------------------------------------------------------------------------


def test_bob_on_free_sees_which_models_his_plan_reaches(bob: Person) -> None:
    browser = sign_in(bob)
    rows = rows_of(browser)
    assert rows[LLAMA_8B].is_mine
    assert not rows[LLAMA_70B].is_mine
    assert [reach.name for reach in rows[LLAMA_70B].plans] == ["Pro", "Enterprise"]
    assert "Free (your plan)" in text_of(browser.get("/models/"))
    text = text_of(browser.get(address(LLAMA_70B)))
    assert "Not in your plan." in text
    assert "Change the plan" in text


def test_what_free_filters_for_is_what_the_gateway_lets_bob_call(
    bob: Person, visitor: Client, settings: Settings
) -> None:
    settings.HF_TOKEN = "hf_of_the_operator"
    shown = set(rows_of(visitor, "?plan=free"))
    catalog, ceiling = load_catalog(), 200_000_000  # $0.20 per million tokens: billing/data/plans.json
    callable_ = {
        listed.model_id
        for listed in catalog.models.values()
        for way in candidates(catalog, listed, listed.tasks[0], "", str(bob.account.pk), "USD")
        if way.pin.price_per_million_output_nano <= ceiling
    }
    assert shown == callable_
    assert LLAMA_70B not in shown


def test_alice_on_pro_may_call_everything(alice: Person) -> None:
    rows = rows_of(sign_in(alice))
    assert all(row.is_mine for row in rows.values())
    assert "Not in your plan" not in text_of(sign_in(alice).get(address(LLAMA_70B)))


# --- Prices --------------------------------------------------------------------------------------


def test_the_price_on_the_screen_is_the_price_on_alices_bill(alice: Person) -> None:
    page = text_of(sign_in(alice).get(f"/models/?q={CHAT_MODEL}"))
    for unit in (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN):
        billed = make_report(alice, units={unit: 1_000_000})
        assert exact(billed.nano) in page


def test_every_price_shown_is_that_of_the_cheapest_call(visitor: Client, settings: Settings) -> None:
    settings.HF_TOKEN = "hf_of_the_operator"
    catalog, rows = load_catalog(), rows_of(visitor)
    assert rows.keys() == catalog.models.keys()
    for model_id, listed in catalog.models.items():
        shown = rows[model_id].cheapest
        called = candidates(catalog, listed, listed.tasks[0], "cheapest", "", "USD")[0]
        assert shown is not None
        assert shown.rates == called.pin.rates


def test_an_image_model_costs_by_the_image(visitor: Client) -> None:
    assert "$0.03 per image" in text_of(visitor.get(f"/models/?q={FLUX}"))
    assert "$0.03 per image" in text_of(visitor.get(address(FLUX)))


def test_a_price_change_shows_in_the_history_with_its_date_and_the_old_one_stays(visitor: Client) -> None:
    own_price(CHAT_MODEL, "local", "0.0312345", days=-1)
    own_price(CHAT_MODEL, "local", "0.05", days=30)
    page = visitor.get(address(CHAT_MODEL))
    newest, current, oldest = page.context["prices"]
    assert newest.lies_ahead
    assert current.in_force
    assert not oldest.in_force
    text = text_of(page)
    for words in ("$0.05 per 1M input tokens", "$0.0312345 per 1M input tokens", "$0.02 per 1M input tokens"):
        assert words in text
    assert "Announced" in text
    assert "In force" in text
    assert "$0.0312345" in text_of(visitor.get(f"/models/?q={CHAT_MODEL}"))


def test_what_we_pay_ourselves_is_shown_to_nobody(visitor: Client) -> None:
    CatalogChange.objects.create(
        model_id=LLAMA_8B,
        provider="groq",
        what="price",
        before="0.0411 input_token",
        after="0.0422 input_token",
    )
    page = visitor.get(address(LLAMA_8B)).content.decode()
    for secret in ("0.0411", "0.0422", "secret source", "markup", "cost x"):
        assert secret not in page


def test_an_account_in_won_is_shown_the_price_in_won_that_it_is_billed(alice: Person) -> None:
    alice.account.currency = "KRW"
    alice.account.save()
    row = rows_of(sign_in(alice))[CHAT_MODEL]
    assert row.cheapest
    assert row.cheapest.pin
    assert row.cheapest.pin.rates[Unit.INPUT_TOKEN] == Decimal("0.000028")


# --- One model -----------------------------------------------------------------------------------


def test_a_models_page_shows_each_way_with_its_price_and_measures(visitor: Client) -> None:
    Serving.objects.filter(model__model_id=LLAMA_8B, provider="groq").update(
        throughput=812.4, first_token_ms=143.2
    )
    page = visitor.get(address(LLAMA_8B))
    text = text_of(page)
    assert [priced.way.name for priced, _ in page.context["ways"]] == [
        "novita",
        "groq",
        "cerebras",
        "fireworks-ai",
    ]
    for words in ("llama3.1", "131,072 tokens", "$0.024", "$0.096", "812", "143 ms", f"{LLAMA_8B}:cheapest"):
        assert words in text
    assert f'href="https://huggingface.co/{LLAMA_8B}" rel="noopener noreferrer"' in page.content.decode()


def test_the_changes_are_told_in_words(visitor: Client) -> None:
    for fields in (
        {"what": "gone", "provider": "groq", "before": "live"},
        {"what": "status", "provider": "novita", "before": "live", "after": "error"},
        {"what": "context_length", "provider": "cerebras", "before": "8192", "after": "32768"},
        {"what": "withdrawn"},
    ):
        CatalogChange.objects.create(model_id=LLAMA_8B, **fields)
    text = text_of(visitor.get(address(LLAMA_8B)))
    for words in (
        "groq no longer serves it",
        "novita started to fail",
        "Context length at cerebras changed from 8192 to 32768",
        "Taken out of the list",
        "fireworks-ai serves it",
    ):
        assert words in text


@pytest.mark.parametrize("model_id", ["nobody/nothing", "a/b/c/d", "<script>alert(1)</script>", "x" * 3000])
def test_an_unknown_model_is_a_404_that_leads_back(visitor: Client, model_id: str) -> None:
    page = visitor.get(address(model_id))
    assert page.status_code == 404
    assert "This installation does not list a model of that name" in text_of(page)
    assert "<script>alert" not in page.content.decode()


def test_minji_reads_both_screens_in_korean(visitor: Client) -> None:
    korean = {"Accept-Language": "ko"}
    assert "2026년 11월 23일 스냅샷" in text_of(visitor.get("/models/", headers=korean))
    text = text_of(visitor.get(address(LLAMA_8B), headers=korean))
    for words in ("가격 이력", "변경 내역", "제공자"):
        assert words in text


# --- Queries -------------------------------------------------------------------------------------


def test_more_models_ask_no_more_of_the_database(
    visitor: Client, alice: Person, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    router = Upstream.objects.get(slug="hf-router")
    for number in range(60):
        model = CatalogModel.objects.create(model_id=f"many/model-{number}", tasks=["conversational"])
        for provider in ("groq", "novita", "together"):
            Serving.objects.create(model=model, upstream=router, provider=provider, task="conversational")
    own_price("many/*", "hf-router", "0.1", days=-1)
    visitor.get("/models/")
    browser = sign_in(alice)
    with django_assert_max_num_queries(9):
        visitor.get("/models/")
    with django_assert_max_num_queries(17):  # and who she is, where she works, her plan, her credit
        browser.get("/models/")


def test_a_models_page_asks_the_same_however_long_its_history(
    visitor: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for day in range(1, 40):
        own_price(LLAMA_8B, "groq", "0.1", days=-day)
        CatalogChange.objects.create(model_id=LLAMA_8B, provider="groq", what="served")
    with django_assert_max_num_queries(15):
        page = visitor.get(address(LLAMA_8B))
    assert len(page.context["prices"]) > 40
