"""Calls that are refused: bad keys, bad requests, bodies that are too large. Nothing reaches the upstream."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from django.utils import timezone

from accounts.keys import issue_key, new_secret
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.live import FakeUpstream, Web, chat_body

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


@pytest.fixture(autouse=True)
def upstream_sees_nothing(upstream: FakeUpstream) -> Iterator[None]:
    """None of these calls may reach the upstream, but for a test's own control call."""
    before = upstream.seen()["calls"]
    yield
    assert upstream.seen()["calls"] <= before + 1


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check what every refusal has, and return its error object."""
    assert answer.status_code == status, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert len(error["message"]) > 20
    return error


# --- 401 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer sk-somebody-elses-key",
        "Bearer tp_live_short",
        pytest.param(f"Bearer {new_secret()}", id="a key that nobody has"),
        pytest.param(f"Bearer {new_secret()[:-1]}!", id="a key with a wrong sign"),
        "Bearer tp_live_' OR 1=1 --",
        "Bearer " + "x" * 4000,
    ],
)
def test_a_key_that_opens_nothing_is_401_and_is_not_echoed(web: Web, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = web.post("/v1/chat/completions", None, chat_body(), headers=headers)
    refused(answer, 401, "invalid_api_key")
    token = (authorization or "").removeprefix("Bearer").strip()
    assert not token or token not in answer.text
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_with_a_typo_is_401(web: Web, person: People) -> None:
    secret = person("Alice", "pro").secret
    typo = secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:]
    refused(web.post("/v1/chat/completions", typo, chat_body()), 401, "invalid_api_key")


def test_an_expired_key_is_401(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    _, expired = issue_key(alice.account, "old", expires_at=timezone.now() - timedelta(seconds=1))
    refused(web.post("/v1/chat/completions", expired, chat_body()), 401, "invalid_api_key")


def test_a_key_expires_while_it_is_remembered(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    _, secret = issue_key(alice.account, "short", expires_at=timezone.now() + timedelta(seconds=1))
    assert web.post("/v1/chat/completions", secret, chat_body()).status_code == 200
    time.sleep(1.1)
    refused(web.post("/v1/chat/completions", secret, chat_body()), 401, "invalid_api_key")


# --- 400, 404, 405 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"not json", None),
        (b"[1, 2]", None),
        (b'"text"', None),
        (b"{}", "messages"),
        (b'{"model": "x", "messages": []}', "messages"),
        (b'{"model": "x", "messages": "hello"}', "messages"),
        (b'{"model": "x", "messages": ["hello"]}', "messages"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": 7, "messages": [{"role": "user", "content": "x"}]}', "model"),
        (b"\xff\xfe\x00", None),
        (b'{"model": "x", "messages": [{"role": "user"', None),
    ],
)
def test_a_body_of_the_wrong_shape_is_400(web: Web, person: People, body: bytes, param: str | None) -> None:
    answer = web.post("/v1/chat/completions", person("Alice", "pro").secret, body)
    error = refused(answer, 400, "invalid_request")
    assert error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", "many"),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("stream", "yes"),
        ("stream_options", "all"),
        ("n", 0),
        ("n", 100),
    ],
)
def test_a_field_of_the_wrong_type_is_400_and_named(web: Web, person: People, field: str, value: Any) -> None:
    body = chat_body(stream=True) | {field: value}
    error = refused(
        web.post("/v1/chat/completions", person("Alice", "pro").secret, body), 400, "invalid_request"
    )
    assert error["param"] == field


@pytest.mark.parametrize(
    "model",
    ["nobody/knows-this", "http://169.254.169.254/latest", "../../etc/passwd", "a" * 500, "x\ny", "a/b/c"],
)
def test_a_model_that_is_not_here_is_404(web: Web, person: People, model: str) -> None:
    answer = web.post("/v1/chat/completions", person("Alice", "pro").secret, chat_body(model=model))
    assert refused(answer, 404, "model_not_found")["param"] == "model"


def test_a_task_that_the_model_does_not_do_is_400(web: Web, person: People) -> None:
    answer = web.chat(person("Alice", "pro"), model=EMBEDDING_MODEL)
    assert "feature-extraction" in refused(answer, 400, "invalid_request")["message"]


def test_paths_and_verbs_that_mean_nothing_are_refused(web: Web, person: People) -> None:
    secret = person("Alice", "pro").secret
    refused(web.post("/v1/chat/completionz", secret, chat_body()), 404, "unknown_endpoint")
    headers = {"Authorization": f"Bearer {secret}"}
    refused(httpx2.get(web.url + "/v1/chat/completions", headers=headers), 405, "method_not_allowed")


def test_hugging_face_paths_answer_in_their_own_form(web: Web, person: People) -> None:
    secret = person("Alice", "pro").secret
    answer = web.post("/hf-inference/models/nobody/knows-this", secret, {"inputs": "x"})
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)
    assert answer.json()["error_type"] == "validation"
    answer = web.post(f"/hf-inference/models/{CHAT_MODEL}", None, {"inputs": "x"})
    assert (answer.status_code, isinstance(answer.json()["error"], str)) == (401, True)


# --- 413, 408 ------------------------------------------------------------------------------------


def test_a_body_over_the_plans_limit_is_413(web: Web, person: People) -> None:
    bob = person("Bob")
    answer = web.chat(bob, "x" * 1_100_000)
    error = refused(answer, 413, "request_too_large")
    assert error["limit"] == 1_000_000


def test_a_chunked_body_over_the_limit_is_413_while_it_is_read(web: Web, person: People) -> None:
    """The refusal comes before the client has sent everything: the server does not swallow it first."""
    address = urlsplit(web.url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as line:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person('Bob').secret}\r\n"
        line.sendall((head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(20):  # 1.3 MB, and no end in sight
            line.sendall(piece)
        assert line.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_form_over_the_guards_limit_is_413_as_well(web: Web) -> None:
    answer = httpx2.post(web.url + "/accounts/login/", content=b"x" * 3_000_000, timeout=30)
    assert answer.status_code == 413
