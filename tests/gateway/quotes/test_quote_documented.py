"""The OpenAPI document says what quotes are, and which headers a call may carry."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from gateway.quote_answers import PATH, describe
from gateway.quote_terms import FrozenPrice, Quote, Terms

CALL_HEADERS = {"Idempotency-Key", "X-Max-Cost", "X-Turnpike-Quote"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return found


def test_every_call_may_carry_a_key_a_bound_and_a_quote(schema: dict[str, Any]) -> None:
    calls = [
        each["post"] for each in schema["paths"].values() if "Calls" in each.get("post", {}).get("tags", ())
    ]
    assert len(calls) >= 9
    for call in calls:
        found = {each["name"]: each for each in call["parameters"] if each["in"] == "header"}
        assert found.keys() == CALL_HEADERS
        assert all(each["description"] and not each.get("required") for each in found.values())
        assert {"404", "409", "410", "422"} <= call["responses"].keys()


def test_quotes_are_in_it_as_they_are_answered(schema: dict[str, Any]) -> None:
    assert set(schema["paths"][PATH]) == {"post"}
    assert set(schema["paths"][PATH + "/{quote_id}"]) == {"get", "delete"}
    price = FrozenPrice("local", 3, {"output_token": "0.000001"}, {})
    terms = Terms("key", "/v1/embeddings", "a/model", "USD", "print", [price], {"audio_second": 1_500_000})
    quote = Quote("01a20000-0000-7000-8000-000000000000", "open", terms, "2026-11", 1_234, 5, 0, "", ())
    said = describe(quote)
    assert said["max_cost"] == "0.000001234"
    assert said["assumes"] == {"audio_second": 1.5}
    documented = schema["components"]["schemas"]
    assert said.keys() == documented["Quote"]["properties"].keys()
    assert said["prices"][0].keys() == documented["FrozenPrice"]["properties"].keys()
