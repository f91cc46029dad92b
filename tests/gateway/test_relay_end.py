"""Streams that write past what was set aside for them, chunk by chunk: which are ended, and what the client reads."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from billing.pricing import Unit
from gateway.dialects import CHAT, COMPLETION, RESPONSES
from gateway.endpoints import find_endpoint
from gateway.orders import Order
from gateway.relay import Relay
from gateway.relay_client import Client
from gateway.settlement import Outcome

PATHS = {CHAT: "/v1/chat/completions", COMPLETION: "/v1/completions", RESPONSES: "/v1/responses"}


def order(task: str = CHAT, most: int = 3, **fields: Any) -> Order:
    listed: Any = SimpleNamespace(model_id="org/model")
    endpoint = find_endpoint(PATHS[task], {})
    return Order(endpoint, listed, task, [], b"", "", 40, stream=True, max_output_tokens=most, **fields)


def chunk(total: int | None = None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": "tok"}, "finish_reason": finish}
    usage = {} if total is None else {"usage": {"prompt_tokens": 9, "completion_tokens": total}}
    return b"data: " + json.dumps({"id": "c1", "choices": [choice]} | usage).encode() + b"\n\n"


def relayed(events: list[bytes], asked: Order, takes_at_once: bool = False) -> tuple[str, Outcome]:
    """What a client reads of a stream, and how it was settled."""
    written: list[bytes] = []
    outcomes: list[Outcome] = []

    async def pieces() -> Any:
        for event in events:
            yield event

    async def write(data: bytes) -> None:
        written.append(data)

    def at_once(data: bytes) -> bool:
        written.append(data)
        return True

    async def settle(_hold: Any, outcome: Outcome) -> Any:
        outcomes.append(outcome)

    server = SimpleNamespace(dialect="openai")
    served = SimpleNamespace(pin=SimpleNamespace(rates={}), way=SimpleNamespace(server=server))
    stream = SimpleNamespace(pieces=pieces, pass_to=lambda sink: None, close=lambda: None)
    reply: Any = SimpleNamespace(stream=stream, served=served, headers={}, sent_at=time.monotonic())
    rights = SimpleNamespace(entitlements=SimpleNamespace(drains=False))
    hold: Any = SimpleNamespace(order=asked, request_id="r", started=time.monotonic(), caller=rights)

    async def run() -> None:
        client = Client(write, at_once) if takes_at_once else Client(write)
        await Relay(hold, reply).run(client, settle=settle, drain=lambda work: False)

    asyncio.run(run())
    return b"".join(written).decode(), outcomes[0]


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("takes_at_once", [True, False])
@pytest.mark.parametrize("together", [1, 2, 7])
def test_as_many_events_as_tokens_and_a_few_empty_ones_pass(together: int, takes_at_once: bool) -> None:
    """However many come in one read, and whether the client takes them at once or is waited for."""

    def pieces(events: int) -> list[bytes]:
        text = [chunk()] * events
        return [b"".join(text[at : at + together]) for at in range(0, events, together)]

    text, outcome = relayed([*pieces(6), DONE], order(), takes_at_once)
    assert (text.count('"tok"'), outcome.stopped) == (6, False)
    text, outcome = relayed([*pieces(7), DONE], order(), takes_at_once)
    assert (text.count('"tok"'), outcome.stopped) == (6, True)
    assert outcome.usage.quantities[Unit.OUTPUT_TOKEN] == 3
    assert json.loads(text.split("data: ")[-2])["id"] == "c1"  # as the upstream wrote it


@pytest.mark.parametrize("takes_at_once", [True, False])
def test_usage_that_says_nothing_yet_changes_nothing(takes_at_once: bool) -> None:
    """Many upstreams write `"usage":null` into each chunk but the last."""
    empty = chunk().replace(b'"id"', b'"usage": null, "id"')
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n'
    text, outcome = relayed([empty, empty, last, DONE], order(), takes_at_once)
    assert text == (empty * 2 + DONE).decode()
    assert (outcome.usage.estimated, outcome.usage.quantities[Unit.OUTPUT_TOKEN]) == (False, 2)


def test_each_of_several_answers_may_have_its_empty_events() -> None:
    _, outcome = relayed([*[chunk()] * 12, DONE], order(most=6, choices=2))
    assert not outcome.stopped
    text, outcome = relayed([*[chunk()] * 13, DONE], order(most=6, choices=2))
    assert outcome.stopped
    assert text.count('"finish_reason":"length"') == 2


def test_a_running_total_decides_where_there_is_one() -> None:
    """Several tokens come in one event, and the upstream says how many there were so far."""
    text, outcome = relayed([chunk(2), chunk(3), chunk(5), chunk(6), DONE], order())
    assert (text.count('"tok"'), outcome.stopped) == (2, True)
    assert text.endswith("data: [DONE]\n\n")


def test_empty_events_do_not_end_a_stream_whose_total_is_within() -> None:
    _, outcome = relayed([*[chunk(1)] * 20, chunk(3, "length"), DONE], order())
    assert not outcome.stopped


def test_the_figure_at_the_end_ends_nothing() -> None:
    """Some count what was thought, or more than they wrote. By then the stream is over anyway."""
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 50}}\n\n'
    text, outcome = relayed([chunk(), last, DONE], order(wants_usage=True))
    assert (outcome.stopped, outcome.usage.quantities[Unit.OUTPUT_TOKEN]) == (False, 50)
    assert '"completion_tokens": 50' in text
    _, outcome = relayed([chunk(), chunk(50, "stop"), DONE], order())
    assert not outcome.stopped


def test_without_a_limit_of_tokens_nothing_is_cut() -> None:
    _, outcome = relayed([*[chunk()] * 50, DONE], order(most=0))
    assert not outcome.stopped


def test_the_responses_form_tells_of_more_than_pieces() -> None:
    event = b'event: x\ndata: {"type": "response.in_progress"}\n\n'
    delta = b'data: {"type": "response.output_text.delta", "delta": "tok"}\n\n'
    text, outcome = relayed([*[event] * 30, *[delta] * 6, *[event] * 9], order(RESPONSES))
    assert (text.count('"tok"'), outcome.stopped) == (6, False)
    text, outcome = relayed([*[event] * 30, *[delta] * 7], order(RESPONSES))
    assert outcome.stopped
    assert '"response.incomplete"' in text


@pytest.mark.parametrize(("limited_by", "says"), [("x-max-cost", "X-Max-Cost"), ("plan", "your plan")])
def test_an_answer_that_was_made_shorter_says_why_at_its_end(limited_by: str, says: str) -> None:
    text, _ = relayed([*[chunk()] * 3, DONE], order(limited_by=limited_by))
    assert says in text.splitlines()[-4]
    assert text.endswith("data: [DONE]\n\n")
    text, _ = relayed([chunk(), DONE], order(limited_by=limited_by))
    assert ": turnpike" not in text  # it ended by itself before that


def test_a_completion_is_cut_in_its_own_form() -> None:
    text, _ = relayed([*[chunk()] * 9], order(COMPLETION))
    last = json.loads(text.split("data: ")[-2])
    assert last["choices"] == [{"index": 0, "text": "", "finish_reason": "length"}]
