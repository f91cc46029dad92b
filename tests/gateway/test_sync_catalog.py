"""The catalog follows a document: twice is once, what disappears is deprecated, prices keep their history."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from billing.list_prices import follow_list_prices
from billing.models import PriceVersion, UnitPrice
from billing.pricing import Unit
from gateway import errors
from gateway.catalog import load_catalog, load_shown_models
from gateway.models import CatalogChange, CatalogModel, Dialect, Serving, Upstream
from gateway.routing import candidates
from gateway.seeding import SNAPSHOT, seed_catalog
from gateway.sync.apply import TooManyGone, apply
from gateway.sync.document import read_document
from tests.browsing import text_of
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL
from tests.gateway.staff import address, confirm

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
GEMMA = "google/gemma-2-9b-it"


@pytest.fixture
def catalog(db: None) -> None:
    """A fresh machine: the local models and the snapshot."""
    seed_catalog()


def document(*models: dict[str, Any], **fields: Any) -> Any:
    """A document of these models."""
    return read_document({"source": "hub", "models": list(models)} | fields)


def chat(model_id: str, *providers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat model's row; without providers, one at together."""
    return {"id": model_id, "providers": list(providers) or [offer("together")]} | fields


def offer(provider: str, **fields: Any) -> dict[str, Any]:
    """A provider's row."""
    return {
        "provider": provider,
        "provider_id": f"{provider}-id",
        "task": "conversational",
        "status": "live",
    } | fields


def whats(changes: list[CatalogChange]) -> list[tuple[str, str, str]]:
    """What changed, in short."""
    return sorted((change.what, change.model_id, change.provider) for change in changes)


def sync(*args: str) -> str:
    """Run the command and return what it prints."""
    out = StringIO()
    call_command("sync_catalog", *args, stdout=out, stderr=out)
    return out.getvalue()


def way_names(model_id: str, task: str = "conversational") -> list[str]:
    """The ways that a call takes, best first."""
    found = load_catalog()
    return [
        one.way.name for one in candidates(found, found.find(model_id), task, "cheapest", "nobody", "USD")
    ]


# --- Twice is once -----------------------------------------------------------------------------------------


def test_the_snapshot_is_loaded_by_the_seed_and_loading_it_again_changes_nothing(catalog: None) -> None:
    before = (CatalogChange.objects.count(), PriceVersion.objects.count(), Serving.objects.count())
    assert CatalogModel.objects.filter(source="snapshot 2026-11-23").count() == 43
    assert "43 models (snapshot 2026-11-23), 0 changes" in sync("--from-file", str(SNAPSHOT))
    seed_catalog()
    assert before == (CatalogChange.objects.count(), PriceVersion.objects.count(), Serving.objects.count())


def test_the_seed_does_not_undo_a_later_synchronisation(catalog: None) -> None:
    apply(document(chat("new/model")), force=True)
    seed_catalog()
    assert CatalogModel.objects.get(model_id=LLAMA).deprecated_at
    assert not CatalogModel.objects.get(model_id="new/model").deprecated_at


def test_a_dry_run_says_what_would_change_and_changes_nothing(catalog: None, tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps({"source": "file", "models": [chat("new/model")]}))
    said = json.loads(sync("--from-file", str(file), "--dry-run", "--json"))
    assert {
        "what": "listed",
        "model_id": "new/model",
        "provider": "",
        "before": "",
        "after": "conversational",
    } in said["changes"]
    assert not CatalogModel.objects.filter(model_id="new/model").exists()


# --- What comes and goes -----------------------------------------------------------------------------------


def test_a_removed_model_becomes_deprecated_with_its_date_and_is_never_deleted(catalog: None) -> None:
    rest = json.loads(SNAPSHOT.read_text())
    rest["models"] = [row for row in rest["models"] if row["id"] != LLAMA]
    changes = apply(read_document(rest))
    assert ("deprecated", LLAMA, "") in whats(changes)
    assert {change.model_id for change in changes} == {LLAMA}
    llama = CatalogModel.objects.get(model_id=LLAMA)
    assert llama.deprecated_at
    assert {way.status for way in llama.servings.all()} == {"gone"}
    assert apply(read_document(rest)) == []
    back = apply(read_document(json.loads(SNAPSHOT.read_text())))
    assert ("relisted", LLAMA, "") in whats(back)
    llama.refresh_from_db()
    assert llama.deprecated_at is None


def test_what_olivia_took_out_of_the_list_stays_out(catalog: None, olivia: Client) -> None:
    llama = CatalogModel.objects.get(model_id=LLAMA)
    confirm(olivia, llama, "deprecate")
    assert apply(read_document(json.loads(SNAPSHOT.read_text()))) == []
    assert CatalogModel.objects.get(model_id=LLAMA).deprecated_at
    confirm(olivia, llama, "list_again")
    assert CatalogModel.objects.get(model_id=LLAMA).deprecated_at is None
    changes = text_of(olivia.get(address(CatalogChange, "changelist"), {"q": LLAMA}))
    assert "withdrawn" in changes
    assert "relisted" in changes


def test_the_local_models_and_dedicated_endpoints_are_left_alone(catalog: None) -> None:
    endpoint = Upstream.objects.create(
        slug="own-tgi", name="Own", dialect=Dialect.TGI, base_url="https://tgi.example"
    )
    Serving.objects.create(model=CatalogModel.objects.get(model_id=LLAMA), upstream=endpoint)
    apply(document(chat(EMBEDDING_MODEL), chat("new/model")), force=True)
    local = CatalogModel.objects.get(model_id=EMBEDDING_MODEL)
    assert (local.source, local.deprecated_at, local.servings.count()) == ("shipped", None, 1)
    assert not CatalogModel.objects.get(model_id=CHAT_MODEL).deprecated_at
    assert not CatalogModel.objects.get(model_id=LLAMA).deprecated_at
    assert CatalogModel.objects.get(model_id=GEMMA).deprecated_at


def test_a_provider_that_fails_is_not_called_until_it_is_live_again(
    catalog: None, settings: Settings
) -> None:
    settings.HF_TOKEN = "hf_test"
    row = chat("a/b", offer("together"), offer("groq", status="error"), context_length=10)
    priced = {"pricing": {"input": 1, "output": 1}}
    for provider in row["providers"]:
        provider |= priced
    apply(document(row), force=True)
    assert way_names("a/b") == ["together"]
    row["providers"][1]["status"] = "live"
    assert whats(apply(document(row))) == [("status", "a/b", "groq")]
    assert way_names("a/b") == ["groq", "together"]


def test_context_and_tasks_are_followed_and_what_is_not_said_stays(catalog: None) -> None:
    apply(document(chat("a/b", context_length=1000, licence="mit")), force=True)
    changes = apply(document(chat("a/b", offer("together", context_length=2000))))
    assert whats(changes) == [("context_length", "a/b", ""), ("context_length", "a/b", "together")]
    row = CatalogModel.objects.get(model_id="a/b")
    assert (row.context_length, row.licence) == (2000, "mit")


def test_a_list_that_was_cut_short_proves_nothing(catalog: None) -> None:
    apply(document(chat("a/b", offer("featherless-ai")), chat("c/d")), force=True)
    apply(document(chat("c/d"), partial=["featherless-ai"]))
    assert not CatalogModel.objects.get(model_id="a/b").deprecated_at
    apply(document(chat("c/d")))
    assert CatalogModel.objects.get(model_id="a/b").deprecated_at


def test_a_catalog_that_lost_most_of_itself_overnight_is_not_believed(catalog: None) -> None:
    many = [chat(f"a/model-{number}") for number in range(30)]
    apply(document(*many), force=True)
    with pytest.raises(TooManyGone, match="20 of 30 models would be deprecated"):
        apply(document(*many[:10]))
    assert not CatalogModel.objects.filter(model_id__startswith="a/", deprecated_at__isnull=False).exists()
    apply(document(*many[:10]), force=True)
    assert CatalogModel.objects.filter(model_id__startswith="a/", deprecated_at__isnull=False).count() == 20


# --- Prices ------------------------------------------------------------------------------------------------


def test_a_changed_price_is_a_new_version_with_the_markup_and_the_old_one_stays(catalog: None) -> None:
    apply(document(chat("a/b", offer("together", pricing={"input": 1, "output": 2.5}))), force=True)
    first = PriceVersion.objects.get(model="a/b", upstream="together", currency="USD")
    changes = apply(document(chat("a/b", offer("together", pricing={"input": 1, "output": 3}))))
    assert [(change.what, change.before, change.after) for change in changes] == [
        ("price", "1 input_token, 2.5 output_token", "1 input_token, 3 output_token")
    ]
    prices = UnitPrice.objects.filter(
        version__model="a/b", version__currency="USD", unit="output_token"
    ).order_by("version__effective_from")
    assert [(row.upstream_cost, row.price) for row in prices] == [
        (Decimal("0.0000025"), Decimal("0.000003")),
        (Decimal("0.000003"), Decimal("0.0000036")),
    ]
    assert first.pk == prices[0].version_id
    # Back to the old figure: a third version, since the first is over.
    apply(document(chat("a/b", offer("together", pricing={"input": 1, "output": 2.5}))))
    assert PriceVersion.objects.filter(model="a/b", currency="USD").count() == 3


def test_olivias_own_price_stays_until_the_provider_changes_its_own(price_list: None) -> None:
    costs = {("a/b", "groq"): {Unit.INPUT_TOKEN: Decimal(1), Unit.OUTPUT_TOKEN: Decimal(2)}}
    assert len(follow_list_prices(costs, "test")) == 1
    own = PriceVersion.objects.create(model="a/b", upstream="groq", source="Olivia")
    for unit, cost in (("input_token", "1e-6"), ("output_token", "2e-6")):
        UnitPrice.objects.create(version=own, unit=unit, price=Decimal("5e-6"), upstream_cost=Decimal(cost))
    assert follow_list_prices(costs, "test") == []


def test_a_provider_without_a_price_costs_what_the_router_costs_and_without_that_is_not_sold(
    catalog: None, settings: Settings
) -> None:
    settings.HF_TOKEN = "hf_test"
    found = load_catalog()
    gemma = found.find(GEMMA)
    pin = found.price(gemma, gemma.ways[0], "USD")
    assert gemma.ways[0].name == "featherless-ai"
    assert pin
    assert pin.upstream_rates[Unit.INPUT_TOKEN] == Decimal("8e-8")  # the price book's row for hf-router
    llama = found.find(LLAMA)
    by_name = {way.name: found.price(llama, way, "USD") for way in llama.ways}
    assert by_name["cerebras"]
    assert by_name["cerebras"].upstream_rates[Unit.OUTPUT_TOKEN] == Decimal("1.2e-6")
    bert = found.find("google-bert/bert-base-uncased")
    hourly = found.price(bert, bert.ways[0], "USD")
    assert hourly
    assert set(hourly.rates) == {Unit.COMPUTE_SECOND}
    apply(document(chat("unpriced/model", offer("together", pricing={"input": 0, "output": 0}))), force=True)
    found = load_catalog()
    with pytest.raises(errors.Refusal, match="There is no model"):
        candidates(found, found.find("unpriced/model"), "conversational", "", "nobody", "USD")


# --- Bad documents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "This is no catalog"),
        ('{"models": []}', "This is no catalog"),
    ],
)
def test_a_file_that_is_no_catalog_gets_one_line(
    catalog: None, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(CommandError, match=words):
        sync("--from-file", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        sync("--from-file", str(tmp_path / "missing.json"))


@pytest.mark.parametrize(
    "row",
    [
        {"id": "http://evil.example/model", "providers": [offer("together")]},
        {"id": "../../etc/passwd", "providers": [offer("together")]},
        {"id": "a/b", "providers": []},
        {"id": "a/b"},
        {"id": "a/b", "providers": [offer("admin")]},  # calls to /admin/… would never reach the admin
        {"id": "a/b", "providers": [offer("hf-router")]},
        {"id": "a/b", "providers": [offer("together", pricing={"input": -1, "output": 1})]},
        {"id": "a/b", "providers": [offer("together", pricing={"input": "NaN"})]},
        {"id": "a/b", "providers": [offer("together", task="<script>")]},
        {"id": 7, "providers": [offer("together")]},
        "a/b",
    ],
)
def test_a_row_that_makes_no_sense_is_left_out_and_the_rest_is_applied(row: Any) -> None:
    read = document(row, chat("good/model"))
    assert list(read.models) == ["good/model"]
    assert len(read.problems) == 1


def test_a_row_that_became_nonsense_does_not_deprecate_its_model(catalog: None) -> None:
    apply(document(chat("a/b"), chat("c/d")), force=True)
    apply(document(chat("a/b", offer("together", pricing={"input": -1})), chat("c/d")))
    assert not CatalogModel.objects.get(model_id="a/b").deprecated_at


# --- Without a token ---------------------------------------------------------------------------------------


def test_without_a_token_the_snapshot_is_shown_and_calls_to_it_say_why_they_fail(
    catalog: None, settings: Settings
) -> None:
    settings.HF_TOKEN, settings.MODEL_URL = "", "http://127.0.0.1:1"
    found = load_catalog()
    assert set(found.models) == {CHAT_MODEL, EMBEDDING_MODEL}
    with pytest.raises(errors.Refusal, match="no Hugging Face token") as refused:
        found.find(LLAMA)
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
    with pytest.raises(errors.Refusal, match="There is no model"):
        found.find("nobody/knows-it")
    # /groq/… is a call and not a page that does not exist.
    assert "groq" in found.providers
    with pytest.raises(errors.Refusal, match="no Hugging Face token"):
        found.find_by_provider("groq", LLAMA)
    shown = {listed.model_id: listed for listed in load_shown_models()}
    assert len(shown) == 45
    assert not any(way.live for way in shown[LLAMA].ways)
    assert all(way.live for way in shown[CHAT_MODEL].ways)


def test_one_damaged_secret_does_not_close_the_shop(catalog: None, settings: Settings) -> None:
    settings.MODEL_URL = "http://127.0.0.1:1"
    Upstream.objects.create(
        slug="damaged",
        name="x",
        dialect=Dialect.TGI,
        base_url="https://tgi.example",
        sealed_secret=b"\x01" * 40,
    )
    assert CHAT_MODEL in load_catalog().models


# --- The network -------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """The Hub and the router, as they answer; remembers who asked with which headers."""

    seen: list[tuple[str, str | None]] = []
    status = 200

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        asked = urlsplit(self.path)
        if asked.path == "/v1/models":
            self._send({"object": "list", "data": [ROUTED]})
        else:
            provider = parse_qs(asked.query)["inference_provider"][0]
            self._send([LISTED] if provider in ("together", "hf-inference") else [])

    def _send(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


LISTED = {
    "id": "org/chatty",
    "pipeline_tag": "text-generation",
    "tags": ["text-generation", "conversational", "license:mit"],
    "inferenceProviderMapping": [
        {
            "provider": "together",
            "providerId": "org/Chatty-Turbo",
            "status": "live",
            "task": "conversational",
        },
        {"provider": "nscale", "providerId": "chatty", "status": "staging", "task": "conversational"},
    ],
}
ROUTED = {
    "id": "org/chatty",
    "object": "model",
    "created": 1,
    "owned_by": "org",
    "providers": [
        {
            "provider": "together", "status": "live", "context_length": 4096, "throughput": 81.5,
            "pricing": {"input": 0.1, "output": 0.3}, "first_token_latency_ms": 210,
        },
        {"provider": "groq", "status": "error", "context_length": 4096},
    ],
}  # fmt: skip


@pytest.fixture
def hub(settings: Settings) -> Iterator[list[tuple[str, str | None]]]:
    """The Hub on this machine; yields what it saw."""
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HF_ENDPOINT = settings.HF_ROUTER_URL = f"http://127.0.0.1:{server.server_port}"
    Hub.seen.clear()
    yield Hub.seen
    server.shutdown()
    server.server_close()


def test_it_reads_the_hub_and_the_router_and_sends_no_token_anywhere(
    catalog: None,
    hub: list[tuple[str, str | None]],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.HF_TOKEN = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    said = sync("--save", str(tmp_path / "saved.json"))
    assert "1 models (hub)" in said
    ways = {way.provider: way for way in Serving.objects.filter(model__model_id="org/chatty")}
    assert set(ways) == {"together", "groq"}
    assert (ways["together"].provider_id, ways["together"].throughput) == ("org/Chatty-Turbo", 81.5)
    assert ways["groq"].status == "error"
    model = CatalogModel.objects.get(model_id="org/chatty")
    assert (model.licence, model.context_length, model.source) == ("mit", 4096, "hub")
    assert {token for _, token in hub} == {None}
    assert any("expand=inferenceProviderMapping" in path for path, _ in hub)
    # The saved file is the same catalog: only its name is another.
    assert "(snapshot " in (again := sync("--from-file", str(tmp_path / "saved.json")))
    assert "0 changes" in again


def test_a_hub_that_refuses_changes_nothing_and_is_reported_in_a_line(
    catalog: None, hub: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "status", 403)
    before = CatalogChange.objects.count()
    with pytest.raises(CommandError, match=r"Hugging Face could not be read .* Nothing was changed"):
        sync()
    assert CatalogChange.objects.count() == before
