"""Calls beyond chat at servers that speak OpenAI's form, and Hugging Face's at TGI and TEI: bytes and counts."""

import base64
import json
from collections.abc import Callable, Iterator

import httpx2
import pytest

from billing.models import UsageEvent
from gateway.dialects import CHAT, COMPLETION, EMBEDDING, IMAGE, SPEECH, TRANSCRIPTION
from gateway.models import Dialect
from tests.factories import Person
from tests.fakes.catalog import add_model, add_price, add_upstream, switch_off
from tests.fakes.hf_tasks import picture, sound
from tests.fakes.scripted import Scripted, scripted
from tests.live import Web, record_usage, start_web

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
CHATTER, PAINTER, SPEAKER, HEARER = "forms/chatter", "forms/painter", "forms/speaker", "forms/hearer"
EMBEDDER, WRITER, TIMED = "forms/embedder", "forms/writer", "forms/timed-embedder"
RESPONSE = {"id": "r", "object": "response", "status": "completed", "output": []}
SPENT = {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 6}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


@pytest.fixture(scope="module")
def forms_web(live_database: dict[str, str], server: Scripted) -> Iterator[Web]:
    """A gateway before one server that is taken for three kinds of server."""
    openai = add_upstream("forms-openai", Dialect.OPENAI, server.url)
    tei = add_upstream("forms-tei", Dialect.TEI, server.url)
    tgi = add_upstream("forms-tgi", Dialect.TGI, server.url)
    models = {CHATTER: CHAT, PAINTER: IMAGE, SPEAKER: SPEECH, HEARER: TRANSCRIPTION}
    for model, task in models.items():
        add_model(model, [task], openai)
    add_model(EMBEDDER, [EMBEDDING, "sentence-similarity"], tei)
    add_model(TIMED, [EMBEDDING], tei)
    add_model(WRITER, [COMPLETION, CHAT], tgi)
    add_price(CHATTER, input_token="0.000001", cached_input_token="0.0000001", output_token="0.000002")
    add_price(PAINTER, image="0.02")
    add_price(SPEAKER, character="0.00001")
    add_price(HEARER, audio_second="0.0001")
    add_price(EMBEDDER, input_token="0.0000001")
    for model in (TIMED, WRITER):
        add_price(model, compute_second="0.0001")
    yield from start_web(live_database | {"MODEL_URL": ""})
    switch_off("forms-")


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


# --- OpenAI's form -------------------------------------------------------------------------------


def test_alice_pays_for_each_image_that_she_asks_for(
    forms_web: Web, server: Scripted, person: People
) -> None:
    alice = person("Alice", "pro")
    made = json.dumps(
        {"created": 1, "data": [{"b64_json": base64.b64encode(picture()).decode()}] * 3}
    ).encode()
    server.answer(made)
    body = {"model": PAINTER, "prompt": "a toll booth", "n": 3, "size": "1024x1024"}
    answer = forms_web.post("/v1/images/generations", alice.secret, body)
    assert (answer.status_code, answer.content) == (200, made)
    assert server.came[0].path == "/v1/images/generations"
    assert json.loads(server.came[0].body) == body
    row = only_row(alice)
    assert (row.task, row.units["image"], row.nano_cost) == ("text-to-image", [3, 60_000_000], 60_000_000)


def test_speech_comes_back_as_the_same_bytes_and_costs_by_the_character(
    forms_web: Web, server: Scripted, person: People
) -> None:
    alice, audio = person("Alice", "pro"), sound(333)
    server.answer(audio, headers={"Content-Type": "audio/wav"})
    body = {"model": SPEAKER, "input": "통행료 toll", "voice": "nova"}
    answer = forms_web.post("/v1/audio/speech", alice.secret, body)
    assert (answer.content, answer.headers["content-type"]) == (audio, "audio/wav")
    assert server.came[0].path == "/v1/audio/speech"
    assert only_row(alice).units["character"] == [8, 80_000]


def transcribe(web: Web, person: Person, model: str, audio: bytes, name: str = "a.wav") -> httpx2.Response:
    headers = {"Authorization": f"Bearer {person.secret}"}
    files = {"file": (name, audio, "audio/wav")}
    data = {"model": model, "language": "ko"}
    return httpx2.post(
        web.url + "/v1/audio/transcriptions", headers=headers, files=files, data=data, timeout=30
    )


def test_a_form_passes_untouched_and_its_sound_is_measured(
    forms_web: Web, server: Scripted, person: People
) -> None:
    alice, audio = person("Alice", "pro"), sound(2500)
    server.answer(b'{"text":"pay the toll"}')
    answer = transcribe(forms_web, alice, HEARER, audio)
    assert (answer.status_code, answer.json()) == (200, {"text": "pay the toll"})
    came = server.came[0]
    assert came.path == "/v1/audio/transcriptions"
    assert came.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert audio in came.body
    assert b"\r\n\r\nko\r\n" in came.body
    row = only_row(alice)
    assert (row.units["audio_second"], row.estimated) == ([2_500_000, 250_000], False)


def test_the_models_suffix_is_taken_out_of_the_form(forms_web: Web, server: Scripted, person: People) -> None:
    server.answer(b'{"text":"x"}')
    decoy = sound(10) + b"\r\n" + HEARER.encode()  # the model's name within the sound stays
    assert transcribe(forms_web, person("Alice", "pro"), f"{HEARER}:cheapest", decoy).status_code == 200
    body = server.came[0].body
    assert f"\r\n\r\n{HEARER}\r\n".encode() in body
    assert b":cheapest" not in body
    assert decoy in body


def test_sound_that_does_not_say_its_length_is_estimated_and_marked(
    forms_web: Web, server: Scripted, person: People
) -> None:
    alice = person("Alice", "pro")
    server.answer(b'{"text":"x"}')
    transcribe(forms_web, alice, HEARER, b"OggS" + b"\0" * 31_996, "a.ogg")
    row = only_row(alice)
    assert (row.units["audio_second"][0], row.estimated) == (2_000_000, True)


@pytest.mark.parametrize("body", [b"", b"--x--", b"not a form", b'{"model":"forms/hearer"}'])
def test_what_is_no_form_is_refused(forms_web: Web, server: Scripted, person: People, body: bytes) -> None:
    server.answer(b"{}")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = forms_web.post("/v1/audio/transcriptions", person("Mallory", "pro").secret, body, headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert server.came == []


def test_a_response_is_metered_by_its_own_names(forms_web: Web, server: Scripted, person: People) -> None:
    alice = person("Alice", "pro")
    server.answer(json.dumps(RESPONSE | {"usage": SPENT}).encode())
    answer = forms_web.post("/v1/responses", alice.secret, {"model": CHATTER, "input": "hi"})
    assert answer.json()["usage"] == SPENT
    assert server.came[0].path == "/v1/responses"
    row = only_row(alice)
    units = {unit: quantity for unit, (quantity, _) in row.units.items()}
    assert (units["input_token"], units["cached_input_token"], units["output_token"]) == (16, 4, 6)
    assert not row.estimated


def test_a_streamed_response_is_metered_by_its_last_event(
    forms_web: Web, server: Scripted, person: People
) -> None:
    alice = person("Alice", "pro")
    delta = (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"toll "}\n\n'
    )
    done = {"type": "response.completed", "response": RESPONSE | {"usage": SPENT}}
    last = b"event: response.completed\ndata: " + json.dumps(done).encode() + b"\n\n"
    server.answer(delta, delta, last, headers={"Content-Type": "text/event-stream"})
    body = {"model": CHATTER, "input": "hi", "stream": True, "max_output_tokens": 9}
    answer = forms_web.post("/v1/responses", alice.secret, body)
    assert answer.content == delta + delta + last
    sent = json.loads(server.came[0].body)
    assert "stream_options" not in sent
    assert sent["max_output_tokens"] == 9
    row = only_row(alice)
    assert (row.units["output_token"][0], row.stream, row.estimated) == (6, True, False)


# --- Hugging Face's servers ----------------------------------------------------------------------


def test_teis_time_is_milliseconds(forms_web: Web, server: Scripted, person: People) -> None:
    alice = person("Alice", "pro")
    server.answer(b"[[0.5]]", headers={"x-compute-time": "250", "x-compute-tokens": "7"})
    path = f"/hf-inference/models/{TIMED}/pipeline/feature-extraction"
    assert forms_web.post(path, alice.secret, {"inputs": "toll"}).json() == [[0.5]]
    assert server.came[0].path == "/embed"
    row = only_row(alice)
    assert (row.units["compute_second"], row.units["input_token"][0]) == ([250_000, 25_000], 7)
    assert not row.estimated


def test_tgis_time_is_seconds(forms_web: Web, server: Scripted, person: People) -> None:
    alice = person("Alice", "pro")
    headers = {"x-compute-time": "0.25", "x-prompt-tokens": "3", "x-generated-tokens": "9"}
    server.answer(b'[{"generated_text":"toll"}]', headers=headers)
    answer = forms_web.post(f"/hf-inference/models/{WRITER}", alice.secret, {"inputs": "pay the"})
    assert answer.json() == [{"generated_text": "toll"}]
    assert server.came[0].path == "/"
    row = only_row(alice)
    assert (row.units["compute_second"], row.units["output_token"][0]) == ([250_000, 25_000], 9)


def test_teis_tokens_are_what_an_embedding_costs(forms_web: Web, server: Scripted, person: People) -> None:
    alice = person("Alice", "pro")
    server.answer(b"[0.5]", headers={"x-compute-time": "3", "x-compute-tokens": "70"})
    body = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
    path = f"/hf-inference/models/{EMBEDDER}/pipeline/sentence-similarity"
    assert forms_web.post(path, alice.secret, body).status_code == 200
    assert server.came[0].path == "/similarity"
    row = only_row(alice)
    assert (row.units["input_token"], row.nano_cost, row.estimated) == ([70, 7_000], 7_000, False)


def test_a_task_that_no_server_of_the_model_has_is_refused(
    forms_web: Web, server: Scripted, person: People
) -> None:
    server.answer(b"{}")
    answer = forms_web.post(f"/hf-inference/models/{PAINTER}", person("Alice", "pro").secret, {"inputs": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert server.came == []
