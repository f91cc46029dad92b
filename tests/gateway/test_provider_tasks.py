"""Media tasks at providers with forms of their own, asked for in Hugging Face's form through a live gateway."""

import base64
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest
from django.conf import settings
from huggingface_hub.inference._providers import PROVIDERS as HELPERS

from billing.models import UsageEvent
from gateway.errors import Refusal
from gateway.models import Dialect
from gateway.provider_tasks import table
from gateway.provider_tasks.inputs import read_inputs
from gateway.provider_tasks.jobs import _safe
from gateway.provider_tasks.payload import make_request, read_answer
from gateway.provider_tasks.results import NoResult, check_result_address
from gateway.provider_tasks.table import Kind
from tests.factories import Person
from tests.fakes.catalog import TOKEN, add_model, add_price, add_upstream, switch_off
from tests.fakes.hf_tasks import picture, sound
from tests.fakes.providers import PICTURE, SOUND, TEXT
from tests.live import FakeUpstream, Process, Web, any_port, eventually, record_usage, start_web

People = Callable[..., Person]
PAINTER, HEARER, SPEAKER = "media/painter", "media/hearer", "media/speaker"
live = pytest.mark.usefixtures("no_hold_stays")


@pytest.fixture(scope="module")
def providers() -> Iterator[FakeUpstream]:
    """The providers, behind one address as behind the router."""
    port = any_port()
    url = f"http://127.0.0.1:{port}"
    process = Process([sys.executable, "-m", "tests.fakes.providers", "--port", str(port)], dict(os.environ))
    eventually(lambda: _answers(url + "/seen"), "the fake providers answer")
    yield FakeUpstream(url)
    process.kill()


@pytest.fixture(scope="module")
def media_web(live_database: dict[str, str], providers: FakeUpstream) -> Iterator[Web]:
    """A gateway whose router is the fake providers."""
    router = add_upstream("media-router", Dialect.HF_ROUTER, providers.url, total_seconds=4)
    ways = [
        (router, "fal-ai", "fal-ai/painter"),
        (router, "replicate", "acme/painter"),
        (router, "together", "acme/Painter"),
        (router, "wavespeed", "acme/painter-ultra"),
        (router, "nebius", "acme/painter"),
    ]
    add_model(PAINTER, ["text-to-image", "image-to-image"], *ways)
    hearing = "automatic-speech-recognition"
    add_model(HEARER, [hearing], (router, "fal-ai", "fal-ai/hearer"), (router, "deepinfra", "acme/Hearer"))
    add_model(
        SPEAKER, ["text-to-speech"], (router, "replicate", "acme/speaker"), (router, "together", "acme/S")
    )
    add_price(PAINTER, image="0.01")
    add_price(HEARER, audio_second="0.001")
    add_price(SPEAKER, character="0.0001")
    yield from start_web(live_database | {"MODEL_URL": "", "PROVIDER_RESULT_HOSTS": "127.0.0.1"})
    switch_off("media-")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(web: Web, person: Person, model: str, body: Any, **options: Any) -> httpx2.Response:
    return web.post(f"/hf-inference/models/{model}", person.secret, body, **options)


def requests_of(providers: FakeUpstream) -> list[dict[str, Any]]:
    with urllib.request.urlopen(providers.url + "/seen", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


# --- What works ----------------------------------------------------------------------------------


@live
@pytest.mark.parametrize("provider", ["fal-ai", "replicate", "together", "wavespeed"])
def test_alice_gets_a_picture_from_each_provider_as_from_hf_inference(
    media_web: Web, providers: FakeUpstream, person: People, provider: str
) -> None:
    alice, before = person("Alice", "pro"), len(requests_of(providers))
    answer = ask(
        media_web, alice, f"{PAINTER}:{provider}", {"inputs": "a toll booth", "parameters": {"seed": 7}}
    )
    assert answer.status_code == 200, answer.text
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-inference-provider"] == provider
    made = requests_of(providers)[before:]
    assert made[0]["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert "a toll booth" in made[0]["body"]
    assert '"seed":7' in made[0]["body"]
    files = [call for call in made if call["path"].startswith("/files/")]
    assert all("authorization" not in call["headers"] for call in files)
    row = only_row(alice)
    assert (row.upstream, row.status, row.units["image"][0], row.units["request"][0]) == (provider, 200, 1, 1)
    assert row.nano_cost == 10_000_000


@live
@pytest.mark.parametrize(
    ("provider", "seconds"), [("fal-ai", 250_000), ("replicate", 500_000), ("wavespeed", 750_000)]
)
def test_the_time_that_a_provider_reports_is_recorded(
    media_web: Web, person: People, provider: str, seconds: int
) -> None:
    alice = person("Alice", "pro")
    ask(media_web, alice, f"{PAINTER}:{provider}", {"inputs": "x"})
    assert only_row(alice).units["compute_second"][0] == seconds


@live
@pytest.mark.parametrize("raw", [True, False])
def test_a_picture_is_made_of_a_picture_through_fal_ais_queue(
    media_web: Web, providers: FakeUpstream, person: People, raw: bool
) -> None:
    alice, before = person("Alice", "pro"), len(requests_of(providers))
    body: Any = picture(9)
    if not raw:
        inputs = base64.b64encode(body).decode()
        body = {
            "inputs": inputs,
            "parameters": {"prompt": "at night", "target_size": {"width": 8, "height": 8}},
        }
    kind = {"Content-Type": "image/png" if raw else "application/json"}
    path = f"/hf-inference/models/{PAINTER}:fal-ai/pipeline/image-to-image"
    answer = media_web.post(path, alice.secret, body, headers=kind)
    assert (answer.status_code, answer.content) == (200, PICTURE), answer.text
    made = requests_of(providers)[before:]
    assert made[0]["path"] == "/fal-ai/fal-ai/painter?_subdomain=queue"
    sent = json.loads(made[0]["body"])
    assert sent["image_url"] == "data:image/png;base64," + base64.b64encode(picture(9)).decode()
    assert "image_size" in sent or raw
    asked = [call["path"] for call in made[1:-1]]
    assert asked[0].endswith("/status?_subdomain=queue")
    assert all(path.startswith("/fal-ai/fal-ai/painter/requests/") for path in asked)
    assert only_row(alice).units["image"][0] == 1


@live
@pytest.mark.parametrize("provider", ["fal-ai", "deepinfra"])
@pytest.mark.parametrize("raw", [True, False])
def test_sound_is_written_down_and_paid_by_its_length(
    media_web: Web, person: People, provider: str, raw: bool
) -> None:
    alice, recording = person("Alice", "pro"), sound(1500)
    body: Any = recording if raw else {"inputs": base64.b64encode(recording).decode()}
    kind = {"Content-Type": "audio/wav" if raw else "application/json"}
    answer = ask(media_web, alice, f"{HEARER}:{provider}", body, headers=kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == TEXT
    row = only_row(alice)
    assert (row.units["audio_second"][0], row.estimated, row.nano_cost) == (1_500_000, False, 1_500_000)


@live
@pytest.mark.parametrize("provider", ["replicate", "together"])
def test_text_is_spoken_and_paid_by_the_character(media_web: Web, person: People, provider: str) -> None:
    alice = person("Alice", "pro")
    answer = ask(media_web, alice, f"{SPEAKER}:{provider}", {"inputs": "toll!"})
    assert (answer.content, answer.headers["content-type"]) == (SOUND, "audio/wav")
    assert only_row(alice).units["character"][0] == 5


@live
def test_the_model_stays_the_catalogs_whatever_the_parameters_say(
    media_web: Web, providers: FakeUpstream, person: People
) -> None:
    before = len(requests_of(providers))
    parameters = {"model": "acme/dearest", "response_format": "url"}
    ask(media_web, person("Mallory", "pro"), f"{SPEAKER}:together", {"inputs": "x", "parameters": parameters})
    sent = json.loads(requests_of(providers)[before]["body"])
    assert sent == {"input": "x", "model": "acme/S"}


@live
def test_a_submission_that_fails_goes_on_to_the_next_provider(
    media_web: Web, providers: FakeUpstream, person: People
) -> None:
    """Nobody had taken it on yet, so it cannot be paid twice."""
    alice, before = person("Alice", "pro"), len(requests_of(providers))
    answer = ask(media_web, alice, PAINTER, {"inputs": "status 500 for all"})
    assert answer.status_code == 502
    tried = [call["path"].split("/")[1] for call in requests_of(providers)[before:]]
    assert tried == ["fal-ai", "replicate", "together"]
    record_usage()
    assert UsageEvent.objects.filter(account=alice.account).count() == 1


# --- What is refused -----------------------------------------------------------------------------


@live
@pytest.mark.parametrize(
    "inputs",
    ["http://127.0.0.1:1/x.png", "/etc/passwd", "/etc/passwds", "file:///etc/hosts", "data:image/png;base64,AA==", "",
     "manage.py", 7, {"url": "x"}, base64.b64encode(b"no picture").decode()],
)  # fmt: skip
def test_mallorys_addresses_and_file_names_are_no_pictures(
    media_web: Web, providers: FakeUpstream, person: People, inputs: Any
) -> None:
    mallory, before = person("Mallory", "pro"), len(requests_of(providers))
    path = f"/hf-inference/models/{PAINTER}:fal-ai/pipeline/image-to-image"
    answer = media_web.post(path, mallory.secret, {"inputs": inputs})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert len(requests_of(providers)) == before


@live
@pytest.mark.parametrize(
    "parameters",
    [{"image_url": "https://10.0.0.1/x"}, {"loras": [{"path": "http://10.0.0.1/"}]}, {"webhook": "//10.0.0.1/"},
     {"n": 4}, {"num_images": 8}, {"num_outputs": True}, ["n"], {"a": [[[[[[[[["deep"]]]]]]]]]}],
)  # fmt: skip
def test_mallorys_parameters_cannot_fetch_or_multiply(
    media_web: Web, person: People, parameters: Any
) -> None:
    mallory = person("Mallory", "pro")
    answer = ask(media_web, mallory, f"{PAINTER}:together", {"inputs": "x", "parameters": parameters})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@live
def test_a_provider_without_a_known_form_is_refused_with_those_that_have_one(
    media_web: Web, person: People
) -> None:
    answer = ask(media_web, person("Alice", "pro"), f"{PAINTER}:nebius", {"inputs": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    for name in ("fal-ai", "replicate", "together"):
        assert name in answer.json()["error"]


# --- What goes wrong there -----------------------------------------------------------------------


@live
@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ("status 500", 502, "upstream_error"),
        ("status 401", 502, "upstream_error"),
        ("status 422", 422, "invalid_request"),
        ("elsewhere", 502, "upstream_error"),
        ("redirect", 502, "upstream_error"),
        ("html", 502, "upstream_error"),
        ("nothing", 504, "upstream_timeout"),
    ],
)
def test_a_provider_that_fails_is_not_charged(
    media_web: Web, providers: FakeUpstream, person: People, wish: str, status: int, code: str
) -> None:
    alice, before = person("Alice", "pro"), len(requests_of(providers))
    answer = ask(media_web, alice, f"{PAINTER}:fal-ai", {"inputs": wish})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "127.0.0.1" not in answer.text
    assert TOKEN not in answer.text
    row = only_row(alice)
    assert (row.status, row.nano_cost, row.upstream) == (status, 0, "fal-ai")
    fetched = [call["path"] for call in requests_of(providers)[before:] if call["method"] == "GET"]
    assert "/files/picture.png" not in fetched


@live
@pytest.mark.parametrize(("wish", "status"), [("fail", 502), ("never", 504), ("lost", 502), ("inside", 502)])
def test_a_job_that_does_not_end_well_is_not_charged_nor_asked_for_ever(
    media_web: Web, providers: FakeUpstream, person: People, wish: str, status: int
) -> None:
    alice, before = person("Alice", "pro"), len(requests_of(providers))
    body = {"inputs": base64.b64encode(picture()).decode(), "parameters": {"prompt": wish}}
    path = f"/hf-inference/models/{PAINTER}:fal-ai/pipeline/image-to-image"
    answer = media_web.post(path, alice.secret, body)
    assert answer.status_code == status
    assert only_row(alice).nano_cost == 0
    made = requests_of(providers)[before:]
    assert len(made) < 12
    assert not any("chat" in call["path"] for call in made)
    posted = [call for call in made if call["method"] == "POST"]
    assert len(posted) == 1  # the job is not given to anybody else


# --- A provider's own path -----------------------------------------------------------------------


@live
def test_several_pictures_on_a_providers_own_path_are_paid_each(media_web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    body = {"prompt": "x", "num_images": 3}
    assert media_web.post("/fal-ai/fal-ai/painter", alice.secret, body).status_code == 200
    assert only_row(alice).units["image"][0] == 3


@live
@pytest.mark.parametrize("path", ["/fal-ai/../together/v1/x", "/fal-ai/a%3Fb", "/fal-ai//a", "/fal-ai/./a"])
def test_a_path_that_leads_out_of_the_providers_own_is_404(
    media_web: Web, providers: FakeUpstream, person: People, path: str
) -> None:
    before = len(requests_of(providers))
    host, port = media_web.url.removeprefix("http://").split(":")
    mallory = person("Mallory", "pro")
    assert _status_of_raw_path(host, int(port), path, mallory.secret) == 404
    assert len(requests_of(providers)) == before


def _status_of_raw_path(host: str, port: int, path: str, key: str) -> int:
    """Clients tidy paths up before they send them; Mallory does not."""
    line = HTTPConnection(host, port, timeout=10)
    body = json.dumps({"model": PAINTER, "prompt": "x"})
    line.request("POST", path, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with closing(line), line.getresponse() as answer:
        return answer.status


@live
def test_sound_that_is_only_an_address_is_refused_where_its_length_is_the_price(
    media_web: Web, person: People
) -> None:
    body = {"audio_url": "https://example.com/three-hours.mp3"}
    answer = media_web.post("/fal-ai/fal-ai/hearer", person("Mallory", "pro").secret, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


# --- The table -----------------------------------------------------------------------------------


def test_every_row_has_a_helper_that_makes_a_request_without_network() -> None:
    files = {Kind.IMAGE: picture(), Kind.SOUND: sound(10)}
    for provider, facts in table.PROVIDERS.items():
        for task, row in facts.tasks.items():
            request = make_request(provider, task, "org/name", "their/model", files.get(row.takes, "x"), {})
            assert request.path.startswith("/")
            assert "authorization" not in request.headers
            assert request.body


def test_what_huggingface_hub_knows_and_the_table_does_not_is_chat_text_and_togethers_videos() -> None:
    known: Any = HELPERS
    pairs = {(name, task) for name, tasks in known.items() for task in tasks if name != "hf-inference"}
    left = {
        pair
        for pair in pairs
        if not table.takes(*pair) and pair[1] not in ("conversational", "text-generation")
    }
    assert left == {("together", "text-to-video"), ("together", "image-to-video")}
    assert {
        pair for name in table.PROVIDERS for pair in [(name, t) for t in table.PROVIDERS[name].tasks]
    } <= pairs


def test_no_process_token_gets_into_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_process")
    request = make_request("replicate", "text-to-image", "org/name", "their/model", "x", {})
    assert "hf_of_the_process" not in str(request)
    assert request.headers["prefer"] == "wait"


@pytest.mark.parametrize(
    "url",
    ["http://v3.fal.media/x", "https://fal.media.evil.example/x", "https://evilfal.media/x", "https://x@fal.media/",
     "https://fal.media:8443/x", "ftp://fal.media/x", "https://169.254.169.254/x", "https://[::1]/x", "https://[x/"],
)  # fmt: skip
def test_results_come_from_the_providers_own_hosts_only(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ALLOW_PRIVATE_UPSTREAMS", False)
    check_result_address("https://v3.fal.media/files/x.png", ["fal.media"])
    with pytest.raises(NoResult):
        check_result_address(url, ["fal.media"])


@pytest.mark.parametrize("path", ["x", "/../v1/chat", "/a/./b", "/a//b", "/a%2e%2e/b", "/a\\b", ""])
def test_a_path_to_ask_at_stays_below_the_provider(path: str) -> None:
    assert _safe("/fal-ai/flux/requests/1-a/status?_subdomain=queue")
    with pytest.raises(ValueError, match="leads elsewhere"):
        _safe(path)


def test_a_jpegs_base64_looks_like_a_path_and_is_one_all_the_same() -> None:
    jpeg = b"\xff\xd8\xff\xe0" + b"\0" * 20
    text = base64.b64encode(jpeg).decode()
    assert text.startswith("/9j/")
    found, _ = read_inputs(json.dumps({"inputs": text}).encode(), "application/json", Kind.IMAGE)
    assert found == jpeg


def test_a_text_task_takes_text() -> None:
    with pytest.raises(Refusal, match="text"):
        read_inputs(b'{"inputs": {"a": 1}}', "application/json", Kind.TEXT)
    with pytest.raises(Refusal, match="text"):
        read_inputs(picture(), "image/png", Kind.TEXT)


def test_a_transcript_that_is_only_a_file_somewhere_is_not_fetched() -> None:
    said = {"output": {"transcription": "toll", "txt_file": "http://127.0.0.1:1/x"}}
    assert read_answer("replicate", "automatic-speech-recognition", said) == {"text": "toll"}
    with pytest.raises(ValueError, match="malformed"):
        read_answer("replicate", "automatic-speech-recognition", {"output": [{"txt_file": "/etc/passwd"}]})


def test_embeddings_come_in_hf_inferences_form() -> None:
    said = {"data": [{"embedding": [0.5, 1.0]}, {"embedding": [0.25, 0.0]}]}
    for provider in ("together", "deepinfra", "scaleway"):
        assert read_answer(provider, "feature-extraction", said) == [[0.5, 1.0], [0.25, 0.0]]
