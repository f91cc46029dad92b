"""Streamed calls: tokens as they come, usage as the client asked for it, settled before the last byte."""

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from billing.models import UsageEvent
from tests.factories import CHAT_MODEL, Person
from tests.live import FakeUpstream, Web, chat_body, eventually, open_holds, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def events(answer: httpx2.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]


def only_row(person: Person) -> UsageEvent:
    record_usage()
    return UsageEvent.objects.get(account=person.account)


def test_a_stream_ends_with_done_and_hides_the_usage_that_only_we_asked_for(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, "say 4", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer)
    assert found[-1] == "[DONE]"
    assert len(found) == 5
    assert not any("usage" in event for event in found)
    row = only_row(alice)
    assert row.units["output_token"][0] == 4
    assert (row.stream, row.estimated) == (True, False)
    assert row.first_byte_ms is not None


def test_a_client_that_asks_for_usage_gets_it(web: Web, person: People) -> None:
    answer = web.chat(person("Alice", "pro"), "say 4", stream=True, stream_options={"include_usage": True})
    last = json.loads(events(answer)[-2])
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 4


def test_other_stream_options_survive(web: Web, upstream: FakeUpstream, person: People) -> None:
    web.chat(person("Alice", "pro"), "say 1", stream=True, stream_options={"x": 1})
    assert json.loads(upstream.seen()["body"])["stream_options"] == {"x": 1, "include_usage": True}


def test_tokens_come_as_they_are_made(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    body, headers = chat_body("slow 20", stream=True), {"Authorization": f"Bearer {alice.secret}"}
    with httpx2.stream("POST", web.url + "/v1/chat/completions", json=body, headers=headers) as answer:
        arrivals = [time.monotonic() for line in answer.iter_lines() if line.startswith("data:")]
    assert len(arrivals) == 41
    assert arrivals[-1] - arrivals[0] > 0.5  # 40 tokens, 20 ms apart: spread out, not at the end


def test_the_call_is_settled_before_done_arrives(web: Web, person: People) -> None:
    """Whoever has seen [DONE] is in the counters already: there is no moment in which a crash loses the call."""
    alice = person("Alice", "pro")
    body, headers = chat_body("say 3", stream=True), {"Authorization": f"Bearer {alice.secret}"}
    with httpx2.stream("POST", web.url + "/v1/chat/completions", json=body, headers=headers) as answer:
        for line in answer.iter_lines():
            if line == "data: [DONE]":
                assert open_holds() == 0
                break


@pytest.mark.parametrize("wish", ["drop 3", "garbage 3", "error 3"])
def test_a_stream_that_fails_ends_with_one_error_event_and_costs_nothing(
    web: Web, person: People, wish: str
) -> None:
    alice = person("Alice", "pro")
    found = events(web.chat(alice, wish, stream=True))
    last = json.loads(found[-1])
    assert last["error"]["code"] == "upstream_error"
    assert last["choices"][0]["finish_reason"] == "error"
    assert sum("error" in event for event in found) == 1
    row = only_row(alice)
    assert (row.nano_cost, row.error_code, row.status) == (0, "upstream_error", 502)


def test_an_upstream_that_falls_silent_is_ended(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    found = events(web.chat(alice, "slow 4000", stream=True))
    assert json.loads(found[-1])["error"]["code"] == "upstream_timeout"
    assert only_row(alice).nano_cost == 0


def test_a_stream_without_usage_is_counted_by_its_pieces(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    web.chat(alice, "no-usage 7", stream=True)
    row = only_row(alice)
    assert (row.units["output_token"][0], row.estimated) == (7, True)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_pays_for_what_was_made_and_stops_the_upstream(
    web: Web, upstream: FakeUpstream, person: People, how: str
) -> None:
    alice = person("Alice", "pro")
    before = upstream.seen()
    _read_a_little_and_leave(web, alice, how)
    eventually(
        lambda: upstream.seen()["left"] == before["left"] + 1, "the upstream's connection is closed", 5
    )
    eventually(lambda: open_holds() == 0, "the hold is gone", 5)
    row = only_row(alice)
    made = upstream.seen()["tokens"] - before["tokens"]
    assert row.error_code == "client_closed_request"
    assert row.estimated
    assert 3 <= row.units["output_token"][0] <= made < 40
    assert row.nano_cost > 0


def _read_a_little_and_leave(web: Web, person: Person, how: str) -> None:
    address = urlsplit(web.url)
    body = json.dumps(chat_body("slow 50", stream=True)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as line:
        line.sendall(head.encode() + body)
        seen = b""
        while seen.count(b"data:") < 4:
            seen += line.recv(4096)
        if how == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_streamed_hugging_face_task_fails_in_its_own_words(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    body: dict[str, Any] = {"inputs": "drop 2", "stream": True}
    found = events(web.post(f"/hf-inference/models/{CHAT_MODEL}", alice.secret, body))
    last = json.loads(found[-1])
    assert isinstance(last["error"], str)
    assert last["error_type"] == "generation"
