"""Usage out of bodies, chunks and headers, as upstreams really send it, and as they should not."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from billing.pricing import Unit
from gateway import sse
from gateway.metering import usage_of_body, usage_of_document
from gateway.models import Dialect
from gateway.orders import Order
from gateway.routing import Candidate
from gateway.upstream import Reply

IN, OUT, CACHED = Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN, Unit.CACHED_INPUT_TOKEN


def order(openai: bool = True) -> Order:
    endpoint = SimpleNamespace(openai_form=openai)
    return cast(
        Order,
        SimpleNamespace(
            endpoint=endpoint, input_bytes=400, max_output_tokens=50, asked={}, asked_is_estimate=False
        ),
    )


def reply(body: bytes, headers: dict[str, str], dialect: Dialect = Dialect.LOCAL) -> Reply:
    """An answer by a way that is priced in tokens."""
    way = SimpleNamespace(server=SimpleNamespace(dialect=dialect))
    pin = SimpleNamespace(rates={IN: Decimal(1), OUT: Decimal(1)})
    return Reply(200, headers, cast(Candidate, SimpleNamespace(way=way, pin=pin)), body=body)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 8}, {IN: 12, OUT: 8}),
        ({"prompt_tokens": 0, "completion_tokens": 0}, {IN: 0, OUT: 0}),
        ({"prompt_tokens": 12}, {IN: 12, OUT: 0}),
        ({"prompt_tokens": 12, "completion_tokens": None}, {IN: 12, OUT: 0}),
        (
            {"prompt_tokens": 12, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 5}},
            {IN: 7, OUT: 8, CACHED: 5},
        ),
        (
            {"prompt_tokens": 12, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 99}},
            {IN: 0, OUT: 8, CACHED: 12},
        ),
        (None, None),
        ({}, None),
        ("many", None),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10**15}, None),
        ({"prompt_tokens": "12"}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 1.5}, None),
    ],
)
def test_usage_is_taken_as_said_or_not_at_all(usage: Any, expected: dict[Unit, int] | None) -> None:
    assert usage_of_document({"usage": usage}) == expected


def test_a_body_without_usage_is_estimated_from_its_bytes() -> None:
    usage = usage_of_body(order(), reply(b"x" * 40, {}))
    assert usage.estimated
    assert usage.quantities == {IN: 100, OUT: 10, Unit.REQUEST: 1}


def test_an_estimate_never_exceeds_what_was_held() -> None:
    assert usage_of_body(order(), reply(b"x" * 100_000, {})).quantities[OUT] == 50


def test_text_generation_inferences_headers_are_read_in_seconds() -> None:
    headers = {"x-prompt-tokens": "5", "x-generated-tokens": "9", "x-compute-time": "0.013"}
    usage = usage_of_body(order(openai=False), reply(b"[]", headers | {"x-compute-characters": "24"}))
    assert not usage.estimated
    expected = {IN: 5, OUT: 9, Unit.COMPUTE_SECOND: 13_000, Unit.CHARACTER: 24, Unit.REQUEST: 1}
    assert usage.quantities == expected


@pytest.mark.parametrize("seconds", ["-1", "NaN", "inf", "1e99", "soon", ""])
def test_absurd_compute_times_are_not_believed(seconds: str) -> None:
    usage = usage_of_body(order(openai=False), reply(b"[]", {"x-compute-time": seconds}))
    assert Unit.COMPUTE_SECOND not in usage.quantities


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_cut_into_the_same_events_however_it_arrives(size: int) -> None:
    text = b'data: {"a":1}\n\n: keep-alive\n\ndata: {"b":"\\n\\n"}\r\n\r\ndata: [DONE]\n\n'
    splitter, events = sse.Splitter(), []
    for start in range(0, len(text), size):
        events += splitter.feed(text[start : start + size])
    assert b"".join(events) == text
    assert len(events) == 4
    assert splitter.rest() == b""
    assert [sse.look(event).is_done for event in events] == [False, False, False, True]
    assert sse.look(events[1]).is_comment


PLAIN = {
    b'data: {"a":1}\n\n': 1,
    b'data: {"a":"\xc3\xa9 \\"usage\\" "}\n\n': 1,
    b'data: {"a":1}\n\ndata: {"b":2}\n\n': 2,
    b'data: {"usage":null}\n\ndata: {"usage": null}\n\ndata: {}\n\n': 3,
}
OTHERS = [
    b'data: {"usage":{"prompt_tokens":1}}\n\n',
    b'data: {"usage":null}\n\ndata: {"usage":{"prompt_tokens":1}}\n\n',
    b'data: {"error":"no"}\n\n',
    b'data: {"details":{}}\n\n',
    b'data: {"a":1}\r\n\r\n',
    b'data: {"a":1}\n\ndata: [DONE]\n\n',
    b'data: {"a":1}\n\n: data: {\n\n',
    b'data: {"a":1}\n\ndata: {"b":\n2}\n\n',
    b'data: {"a":1}\n\ndata: {"b":2}\n',
    b'data: {"a":1}\n',
    b'data: {"a":1}',
    b'data: {"a":1,\ndata: "b":2}\n\n',
    b"data: [DONE]\n\n",
    b": keep-alive\n\n",
    b"data: <html>\n\n",
    b"\n\n",
    b"",
]


@pytest.mark.parametrize("before", [b"", b'data: {"a"', b"event: x\n"])
@pytest.mark.parametrize("piece", [*PLAIN, *OTHERS])
def test_a_plain_piece_is_whole_events_in_which_nothing_is_to_be_read(before: bytes, piece: bytes) -> None:
    splitter = sse.Splitter()
    splitter.feed(before)
    found = splitter.plain_events(piece)
    assert found == (0 if before else PLAIN.get(piece, 0))
    if found:
        events = splitter.feed(piece)
        assert (len(events), b"".join(events), splitter.rest()) == (found, piece, b"")
        assert [sse.look(event) for event in events] == [sse.Event()] * found


def test_an_event_without_end_is_garbage() -> None:
    with pytest.raises(sse.GarbledStream):
        sse.Splitter().feed(b"x" * (sse.MOST_EVENT_BYTES + 1))


@pytest.mark.parametrize("event", [b"data: <html>\n\n", b'data: {"usage": \n\n', b"data: 7\n\n"])
def test_an_event_that_is_no_json_object_is_garbage(event: bytes) -> None:
    with pytest.raises(sse.GarbledStream):
        sse.look(event)


def test_our_own_events_are_readable() -> None:
    assert orjson.loads(sse.encode({"a": 1}).removeprefix(b"data: ")) == {"a": 1}
