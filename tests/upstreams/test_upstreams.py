"""Servers written by others work unchanged behind the gateway. `make test` asks the local model alone."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from accounts.keys import revoke_key
from billing.models import UsageEvent
from gateway.catalog import Server, server_of
from gateway.models import Upstream
from gateway.upstream import Upstreams
from tests.factories import Person
from tests.live import eventually
from tests.upstreams.conftest import Behind
from tests.upstreams.servers import chat, selected

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(1500),  # the first run installs
    pytest.mark.parametrize("behind", selected(), indirect=True, ids=lambda server: server.name),
    pytest.mark.usefixtures("background"),
]


@pytest.fixture
def alice(person: Callable[..., Person]) -> Person:
    """Alice is on Pro."""
    return person("Alice", "pro")


@pytest.mark.step("added")
def test_one_command_adds_it_and_twice_changes_nothing(behind: Behind, alice: Person) -> None:
    slug = "local"  # it is there already
    if behind.server.program:
        slug = f"tests-{behind.server.name}"
        assert behind.add()["changed"] == ["upstream", "model", "serving", "prices"]
        assert behind.add()["changed"] == []
    eventually(lambda: behind.server.model in _models(behind, alice), "the running gateway lists the model")
    assert asyncio.run(_probe(server_of(Upstream.objects.get(slug=slug)))) == 200


@pytest.mark.step("chat")
def test_alice_chats_and_pays_for_what_the_server_counted(behind: Behind, alice: Person) -> None:
    answer = behind.ask(alice, chat())
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["choices"][0]["message"]["content"]
    assert tokens(document["usage"]) == tokens(behind.ask_directly(chat())["usage"])
    check_event(answer, document["usage"])


@pytest.mark.step("stream")
def test_alices_streamed_tokens_arrive_one_by_one_and_are_counted(behind: Behind, alice: Person) -> None:
    answer, times = streamed(behind, alice, {"stream_options": {"include_usage": True}})
    said = [event["usage"] for event in events(answer, behind.server.says_done) if event.get("usage")]
    assert len(times) >= 5
    assert times[-1] - times[0] > 0.005, "everything came at once"
    assert said, "the stream says no usage though it was asked for"
    assert tokens(said[-1]) == tokens(behind.ask_directly(chat())["usage"])
    check_event(answer, said[-1])


@pytest.mark.step("plain stream")
def test_a_stream_is_counted_though_its_client_asks_for_no_usage(behind: Behind, alice: Person) -> None:
    answer, _ = streamed(behind, alice, {})
    assert "".join(_texts(answer, behind.server.says_done))
    check_event(answer, behind.ask_directly(chat())["usage"])


@pytest.mark.step("refusal")
def test_what_the_server_refuses_costs_alice_nothing(behind: Behind, alice: Person) -> None:
    answer = behind.ask(alice, behind.server.refused)
    assert answer.status_code == behind.server.status, answer.text
    assert behind.server.words in answer.json()["error"]["message"]
    event = event_of(answer)
    assert (event.nano_cost, event.status) == (0, answer.status_code)


@pytest.mark.step("revoked key")
def test_mallory_with_a_revoked_key_does_not_reach_it(behind: Behind, person: Callable[..., Person]) -> None:
    mallory = person("Mallory", "pro")
    revoke_key(mallory.key)
    answer = behind.ask(mallory, chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def streamed(behind: Behind, person: Person, options: dict[str, Any]) -> tuple[httpx2.Response, list[float]]:
    """Stream a chat; return the answer, read, and when each piece with text came."""
    body = chat() | {"stream": True, "model": behind.server.model} | options
    headers, times = {"Authorization": f"Bearer {person.secret}"}, []
    address = f"{behind.web.url}/v1/chat/completions"
    with httpx2.stream("POST", address, json=body, headers=headers, timeout=60) as answer:
        pieces = []
        for piece in answer.iter_bytes():
            pieces.append(piece)
            times.append(time.monotonic())
        assert answer.status_code == 200, pieces
    read = httpx2.Response(200, headers=dict(answer.headers), content=b"".join(pieces))
    return read, times


def events(answer: httpx2.Response, says_done: bool) -> Iterator[dict[str, Any]]:
    """Return what the events carry. The stream must have ended as this server ends it."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert (lines[-1] == "[DONE]") is says_done, lines[-1]
    for line in lines[:-1] if says_done else lines:
        yield json.loads(line)


def tokens(usage: dict[str, Any]) -> tuple[int, int]:
    """Return what a server says of a call: tokens in, and out."""
    return usage["prompt_tokens"], usage["completion_tokens"]


def event_of(answer: httpx2.Response) -> UsageEvent:
    """Return the ledger's row of a call, once it is there."""
    wanted = UsageEvent.objects.filter(request_id=answer.headers["x-request-id"])
    eventually(wanted.exists, "the call is in the ledger")
    return wanted.get()


def check_event(answer: httpx2.Response, usage: dict[str, Any]) -> None:
    """The ledger's quantities are the server's figures, and not estimated."""
    event = event_of(answer)
    counted = {
        unit: event.units.get(unit, [0])[0] for unit in ("input_token", "cached_input_token", "output_token")
    }
    assert counted["input_token"] + counted["cached_input_token"] == usage["prompt_tokens"] > 0
    assert counted["output_token"] == usage["completion_tokens"] > 0
    assert not event.estimated
    assert event.nano_cost > 0


async def _probe(server: Server) -> int:
    upstreams = Upstreams()
    try:
        return (await upstreams.probe(server))[0]
    finally:
        await upstreams.close()


def _models(behind: Behind, person: Person) -> str:
    headers = {"Authorization": f"Bearer {person.secret}"}
    return httpx2.get(f"{behind.web.url}/v1/models", headers=headers, timeout=10).text


def _texts(answer: httpx2.Response, says_done: bool) -> Iterator[str]:
    for event in events(answer, says_done):
        for choice in event["choices"]:
            yield choice["delta"].get("content") or ""
