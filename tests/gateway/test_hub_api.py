"""What Hugging Face's clients ask before a call is answered here, as the clients themselves read it."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import Account
from billing.models import PriceVersion, UnitPrice
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from gateway.seeding import seed_catalog
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
FLUX = "black-forest-labs/FLUX.1-schnell"


@pytest.fixture
def catalog(db: None, settings: Settings) -> None:
    """A fresh machine with a local model and no token."""
    settings.MODEL_URL, settings.HF_TOKEN = "http://127.0.0.1:1", ""
    seed_catalog()


def ask(path: str, status: int = 200, **headers: str) -> Any:
    """Ask without a key."""
    answer = Client(headers=headers).get(path)
    assert answer.status_code == status, answer.content
    return answer.json()


# --- One model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [LLAMA, LLAMA.replace("/", "%2F")])
def test_a_model_is_found_with_its_slash_plain_or_encoded(catalog: None, name: str) -> None:
    found = ask(f"/api/models/{name}")
    assert (found["id"], found["pipeline_tag"]) == (LLAMA, "text-generation")
    assert {"conversational", "license:llama3.3"} <= set(found["tags"])
    assert "inferenceProviderMapping" not in found


def test_a_model_without_an_organization_is_found(catalog: None) -> None:
    row = CatalogModel.objects.create(model_id="gpt2", tasks=["text-generation"])
    Serving.objects.create(model=row, upstream=Upstream.objects.get(slug="local"))
    assert ask("/api/models/gpt2")["author"] is None


@pytest.mark.parametrize("query", ["expand=", "expand[]=", "expand%5B%5D="])
def test_the_provider_mapping_has_the_hubs_shape(catalog: None, query: str, settings: Settings) -> None:
    settings.HF_TOKEN = "hf_test"
    found = ask(f"/api/models/{FLUX}?{query}inferenceProviderMapping")
    assert set(found) == {"id", "inferenceProviderMapping"}
    together = found["inferenceProviderMapping"]["together"]
    assert together == {"status": "live", "providerId": FLUX, "task": "text-to-image"}


def test_without_a_token_the_mapping_says_that_it_does_not_work_now(catalog: None) -> None:
    mapping = ask(f"/api/models/{LLAMA}?expand=inferenceProviderMapping")["inferenceProviderMapping"]
    assert {row["status"] for row in mapping.values()} == {"error"}


def test_the_local_models_are_hf_inferences_since_that_is_where_clients_find_them(catalog: None) -> None:
    mapping = ask(f"/api/models/{EMBEDDING_MODEL}?expand=inferenceProviderMapping")[
        "inferenceProviderMapping"
    ]
    assert mapping == {
        "hf-inference": {"status": "live", "providerId": EMBEDDING_MODEL, "task": "feature-extraction"}
    }


@pytest.mark.parametrize(
    "name", ["nobody/knows-it", "../../etc/passwd", "http://evil.example/x", "한국어/모델"]
)
def test_an_unknown_model_is_a_missing_repository(catalog: None, name: str) -> None:
    answer = Client().get(f"/api/models/{name}")
    assert answer.status_code == 404
    assert answer.headers["X-Error-Code"] == "RepoNotFound"
    assert "GET /api/models" in answer.headers["X-Error-Message"]
    assert isinstance(answer.json()["error"], str)


def test_a_deprecated_model_is_gone_and_a_customers_own_is_nobody_elses_business(
    catalog: None, alice: Person
) -> None:
    CatalogModel.objects.filter(model_id=LLAMA).update(deprecated_at="2026-01-01T00:00:00Z")
    ask(f"/api/models/{LLAMA}", 404)
    _own_model(alice.account)
    ask("/api/models/own/model", 404)
    assert "own/model" not in {row["id"] for row in ask("/api/models")}


def test_no_key_is_needed_and_a_wrong_one_does_no_harm(catalog: None, mallory: Person) -> None:
    ask(f"/api/models/{LLAMA}", authorization="Bearer nonsense")
    ask(f"/api/models/{LLAMA}", authorization=f"Bearer {mallory.secret}")


# --- Lists -------------------------------------------------------------------------------------------------


def test_lists_are_narrowed_by_provider_task_and_number(catalog: None) -> None:
    everything = ask("/api/models")
    assert len(everything) == 45
    groq = {row["id"] for row in ask("/api/models?inference_provider=groq")}
    assert LLAMA in groq
    assert FLUX not in groq
    assert {row["pipeline_tag"] for row in ask("/api/models?pipeline_tag=text-to-image")} == {"text-to-image"}
    assert len(ask("/api/models?inference_provider=all&limit=3")) == 3
    assert len(ask("/api/models?limit=nonsense")) == 45
    rows = ask("/api/models?inference_provider=groq&expand=inferenceProviderMapping&search=Llama-3.3")
    assert [row["provider"] for row in rows[0]["inferenceProviderMapping"]] == [
        "cerebras", "fireworks-ai", "groq", "together",
    ]  # fmt: skip


def test_tasks_name_a_model_that_answers_here(catalog: None, settings: Settings) -> None:
    assert ask("/api/tasks")["feature-extraction"]["widgetModels"] == [EMBEDDING_MODEL]
    assert "summarization" not in ask("/api/tasks")
    settings.HF_TOKEN = "hf_test"
    tasks = ask("/api/tasks")
    assert tasks["summarization"]["widgetModels"] == ["facebook/bart-large-cnn"]
    assert tasks["feature-extraction"]["widgetModels"] == [EMBEDDING_MODEL]  # ours first


# --- /v1/models --------------------------------------------------------------------------------------------


def listed(person: Person, query: str = "") -> dict[str, Any]:
    """The list as somebody's key sees it."""
    rows = ask(f"/v1/models{query}", authorization=f"Bearer {person.secret}")["data"]
    return {row["id"]: row for row in rows}


def test_the_list_has_what_can_be_called_and_on_request_the_rest_as_unavailable(
    catalog: None, alice: Person
) -> None:
    assert set(listed(alice)) == {CHAT_MODEL, EMBEDDING_MODEL}
    everything = listed(alice, "?all=true")
    assert len(everything) == 45
    assert {way["status"] for way in everything[LLAMA]["providers"]} == {"unavailable"}
    assert everything[LLAMA]["source"] == "snapshot 2026-11-23"
    assert {way["status"] for way in everything[CHAT_MODEL]["providers"]} == {"live"}
    said = ask(f"/v1/models/{LLAMA}", 404, authorization=f"Bearer {alice.secret}")["error"]
    assert "no Hugging Face token" in said["message"]
    assert said["code"] == "model_not_found"


def test_with_a_token_the_providers_prices_are_in_the_list(
    catalog: None, alice: Person, settings: Settings
) -> None:
    settings.HF_TOKEN = "hf_test"
    ways = {way["provider"]: way for way in listed(alice)[LLAMA]["providers"]}
    assert ways["groq"]["pricing"] == {"input": pytest.approx(0.708), "output": pytest.approx(0.948)}
    assert ways["groq"]["context_length"] == 131072


def test_a_model_at_alices_own_endpoint_is_listed_for_her_alone(
    catalog: None, alice: Person, bob: Person
) -> None:
    _own_model(alice.account)
    assert "own/model" in listed(alice)
    assert "own/model" not in listed(bob, "?all=true")
    ask("/v1/models/own/model", 404, authorization=f"Bearer {bob.secret}")


def _own_model(account: Account) -> None:
    endpoint = Upstream.objects.create(
        slug="own", name="Own", dialect=Dialect.TGI, base_url="https://tgi.example", account=account
    )
    row = CatalogModel.objects.create(model_id="own/model", tasks=["conversational"])
    Serving.objects.create(model=row, upstream=endpoint)
    price = PriceVersion.objects.create(model="own/model", upstream="own", source="contract")
    UnitPrice.objects.create(version=price, unit="compute_second", price="0.001")
