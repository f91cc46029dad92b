"""Hugging Face's tasks with bad input: addresses for models, tasks that are none, files too large or broken."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.models import PriceVersion, UnitPrice, UsageEvent
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.fakes.media import picture
from tests.live import FakeUpstream, Web, eventually, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
MODEL = "tests/looks-at-pictures"


def post_raw(
    web: Web, path: str, key: str, body: bytes, content_type: str | None
) -> tuple[int, dict[str, Any]]:
    """POST with the path as it is: other clients tidy `..` away."""
    address = urlsplit(web.url)
    line = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    headers = {"Authorization": f"Bearer {key}"} | ({"Content-Type": content_type} if content_type else {})
    try:
        line.request("POST", path, body, headers)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


@pytest.fixture(scope="module")
def looks_at_pictures(web: Web, upstream: FakeUpstream) -> Iterator[str]:
    """A model that classifies pictures, at the scripted upstream."""
    row = Upstream.objects.create(
        slug="tests-pictures", name="Pictures", dialect=Dialect.LOCAL, base_url=upstream.url
    )
    model = CatalogModel.objects.create(model_id=MODEL, tasks=["image-classification"])
    Serving.objects.create(model=model, upstream=row)
    version = PriceVersion.objects.create(model=MODEL, source="a test")
    UnitPrice.objects.create(
        version=version, unit="compute_second", price=Decimal("0.00012"), upstream_cost=Decimal(0)
    )
    yield MODEL
    row.enabled = False
    row.save()


@pytest.fixture
def calls_before(upstream: FakeUpstream) -> Callable[[], int]:
    """How many calls reached the upstream since the test began."""
    before = upstream.seen()["calls"]
    return lambda: int(upstream.seen()["calls"]) - before


# --- Models and tasks that are none --------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://huggingface.co/gpt2",
        "//evil.example/x",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/x",
        "a/b/c",
        "a b",
        "gpt2%00",
        "gpt2%0d%0aX-Evil:%201",
        "file:///etc/passwd",
        "-rf",
        "ㄱ/ㄴ",
        "x" * 3000,
    ],
)
def test_a_model_that_is_an_address_or_a_path_is_404(
    web: Web, person: People, calls_before: Callable[[], int], model: str
) -> None:
    alice = person("Alice", "pro")
    path = "/hf-inference/models/" + "".join(sign if sign.isascii() else "%E3%84%B1" for sign in model)
    path = path.replace(" ", "%20")
    status, answer = post_raw(web, path, alice.secret, b'{"inputs": "x"}', "application/json")
    assert (status, answer["code"]) == (404, "model_not_found")
    assert calls_before() == 0


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/text-to-banana", 400, "invalid_request"),
        (f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/{'x' * 2000}", 400, "invalid_request"),
        (f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/text-to-image", 400, "invalid_request"),
        (f"/hf-inference/pipeline/text-to-image/{EMBEDDING_MODEL}", 400, "invalid_request"),
        (f"/hf-inference/models/{EMBEDDING_MODEL}/v1/chat/completions", 400, "invalid_request"),
        ("/hf-inference/pipeline/feature-extraction/", 400, "invalid_request"),
        ("/hf-inference/models/", 400, "invalid_request"),
        ("/hf-inference/spaces/x", 404, "unknown_endpoint"),
        (
            f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/feature-extraction/../../x",
            400,
            "invalid_request",
        ),
    ],
)
def test_a_task_that_is_none_or_not_the_models_is_refused(
    web: Web, person: People, calls_before: Callable[[], int], path: str, status: int, code: str
) -> None:
    body = b'{"inputs": "x", "messages": [{"role": "user", "content": "x"}]}'
    found, answer = post_raw(web, path, person("Alice", "pro").secret, body, "application/json")
    assert (found, answer["code"]) == (status, code)
    assert len(answer["error"]) < 500
    assert calls_before() == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"{}", "inputs"),
        (b'{"inputs": ""}', "inputs"),
        (b'{"inputs": "x", "parameters": "all"}', "parameters"),
        (b'{"inputs": "x", "parameters": {"max_new_tokens": "many"}}', "max_new_tokens"),
        (b'{"inputs": "x", "parameters": {"max_new_tokens": -1}}', "max_new_tokens"),
        (b'{"inputs": "x", "stream": "yes"}', "stream"),
        (b'{"inputs": "x"', "JSON"),
        (b'["x"]', "object"),
    ],
)
def test_parameters_of_the_wrong_type_are_400_and_named(
    web: Web, person: People, calls_before: Callable[[], int], body: bytes, words: str
) -> None:
    answer = web.post(f"/hf-inference/models/{CHAT_MODEL}", person("Alice", "pro").secret, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert words in answer.json()["error"]
    assert calls_before() == 0


@pytest.mark.parametrize("named", [{"model": "dummy"}, {"model": CHAT_MODEL}, {}])
def test_a_chat_whose_path_names_the_model_reaches_it_whatever_the_body_says(
    web: Web, upstream: FakeUpstream, person: People, named: dict[str, str]
) -> None:
    """huggingface_hub, given an address, writes `dummy` for the model."""
    body = named | {"messages": [{"role": "user", "content": "say 1"}]}
    answer = web.post(
        f"/hf-inference/models/{CHAT_MODEL}/v1/chat/completions", person("Alice", "pro").secret, body
    )
    assert answer.status_code == 200
    assert json.loads(upstream.seen()["body"])["model"] == CHAT_MODEL


# --- Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [None, "image/png", "application/x-www-form-urlencoded"])
def test_a_picture_needs_no_content_type(
    web: Web, upstream: FakeUpstream, person: People, looks_at_pictures: str, content_type: str | None
) -> None:
    alice = person("Alice", "pro")
    path = f"/hf-inference/models/{looks_at_pictures}"
    eventually(
        lambda: post_raw(web, path, alice.secret, picture(), content_type)[0] == 200, "the model is listed"
    )
    told = upstream.seen()["headers"].get("Content-Type")
    assert told == (content_type if content_type == "image/png" else None)


def test_a_picture_that_is_none_is_the_upstreams_400_and_free(
    web: Web, person: People, looks_at_pictures: str
) -> None:
    alice = person("Alice", "pro")
    path = f"/hf-inference/models/{looks_at_pictures}"
    eventually(
        lambda: post_raw(web, path, alice.secret, b"GIF, honestly", None)[0] == 400, "the model is listed"
    )
    status, answer = post_raw(web, path, alice.secret, b"GIF, honestly", "image/png")
    assert (status, answer["code"], answer["error_type"]) == (400, "invalid_request", "validation")
    assert "cannot identify image file" in answer["error"]
    record_usage()
    assert {row.nano_cost for row in UsageEvent.objects.filter(account=alice.account, status=400)} == {0}


def test_twenty_megabytes_where_one_is_allowed_are_413_and_soon(
    web: Web, person: People, looks_at_pictures: str, calls_before: Callable[[], int]
) -> None:
    bob, began = person("Bob"), time.monotonic()
    headers = {"Content-Type": "image/png"}
    path = f"/hf-inference/models/{looks_at_pictures}"
    answer = web.post(path, bob.secret, picture() + b"\0" * 20_000_000, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (
        413, "request_too_large", 1_000_000,
    )  # fmt: skip
    assert time.monotonic() - began < 5
    assert calls_before() == 0


def test_a_form_that_is_none_is_400(web: Web, person: People, calls_before: Callable[[], int]) -> None:
    alice = person("Alice", "pro")
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=x"):
        status, answer = post_raw(web, "/v1/audio/transcriptions", alice.secret, b"RIFF....", kind)
        assert (status, answer["error"]["code"]) == (400, "invalid_request")
    assert calls_before() == 0


def test_a_forms_boundary_keeps_its_case(web: Web, person: People) -> None:
    """It gets as far as the model: had the boundary been changed, the form would have had no fields."""
    body = (
        b'--AbC\r\nContent-Disposition: form-data; name="model"\r\n\r\nnobody/hears\r\n'
        b'--AbC\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--AbC--\r\n'
    )
    kind = "multipart/form-data; boundary=AbC"
    status, answer = post_raw(web, "/v1/audio/transcriptions", person("Alice", "pro").secret, body, kind)
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
