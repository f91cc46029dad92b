"""The report of a call: what the gateway writes can be read, and nothing that the ledger could not take."""

import json
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.ids import moment_of
from billing.report import UsageReport, moment_of_call

GOOD: dict[str, Any] = {
    "rid": "01a209b0-d92e-7d7a-b493-d9041ebdd547",
    "account": "01a209b0-d91c-7be1-95f7-345a53d8b068",
    "period": "2026-11",
    "key": "01a209b0-d924-7a01-80f0-de075e58a57c",
    "endpoint": "/v1/chat/completions",
    "task": "text-generation",
    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "upstream": "local",
    "status": 200,
    "currency": "USD",
    "units": {"input_token": [12, 240], "output_token": [8, 320]},
    "nano": 560,
}


def test_a_report_reads_back_as_it_was_written() -> None:
    report = UsageReport(**GOOD)
    assert UsageReport.from_json(report.to_json()) == report


@given(st.integers(0, 4_102_444_800_000), st.uuids(version=4))
def test_the_time_of_a_call_is_the_one_inside_its_id(millis: int, chance: uuid.UUID) -> None:
    rid = uuid.UUID(int=(millis << 80) | 0x7 << 76 | (chance.int & ((1 << 76) - 1)))
    assert moment_of_call(str(rid)) == moment_of(rid)
    assert moment_of(rid) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)


def test_the_same_call_always_says_the_same_time() -> None:
    report = UsageReport(**GOOD)
    assert report.occurred_at.isoformat() == "2026-11-23T18:35:14.606000+00:00"
    assert report.seq == 1
    assert UsageReport(**GOOD | {"kind": "late"}).seq == 2


@pytest.mark.parametrize(
    "change",
    [
        {"rid": "not-an-id"},
        {"rid": 7},
        {"rid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"},  # version 4 carries no time
        {"rid": "00000000-d92e-7d7a-b493-d9041ebdd547"},  # 1970
        {"rid": "ffffffff-ffff-7d7a-b493-d9041ebdd547"},  # the year 10889
        {"account": None},
        {"account": ""},
        {"key": ""},
        {"period": "2026-5"},
        {"period": 202605},
        {"currency": "CHF"},
        {"kind": "guess"},
        {"status": "200"},
        {"status": True},
        {"status": -1},
        {"model": "m" * 201},
        {"model": None},
        {"model": ["m"]},
        {"error": "a\0b"},
        {"stream": 1},
        {"latency_ms": 1.5},
        {"first_byte_ms": -1},
        {"price_version": "p1"},
        {"nano": 561},  # the parts say 560
        {"nano": 560.0},
        {"units": {"input_token": [12, 560], "smile": [1, 0]}},
        {"units": {"input_token": [-12, 560]}},
        {"units": {"input_token": 560}},
        {"units": [["input_token", 12, 560]]},
        {"units": None},
        {"nano": 2**63, "units": {"input_token": [1, 2**63]}},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_report_that_the_ledger_cannot_take_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any reason will do; what counts is the one kind of error
        UsageReport.from_json(json.dumps(GOOD | change))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '"text"', "{}", "\ud800", "[" * 100_000])
def test_what_is_no_report_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        UsageReport.from_json(text.encode("utf-8", "surrogatepass"))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(GOOD)), junk)
def test_any_field_may_hold_junk_and_the_only_error_is_value_error(field: str, value: object) -> None:
    with suppress(ValueError):
        UsageReport.from_json(json.dumps(GOOD | {field: value}))


@given(st.binary(max_size=200))
def test_any_bytes_may_come_and_the_only_error_is_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        UsageReport.from_json(raw)
