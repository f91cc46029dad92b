"""Which JSON schemas may reach the engine: those whose grammar stays small when it is unfolded."""

from typing import Any

import pytest

from gateway.local_model.errors import InvalidRequestError
from gateway.local_model.schema import check_schema

PERSON = {
    "$defs": {"Pet": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}}},
    "type": "object",
    "properties": {"age": {"type": "integer"}, "pets": {"type": "array", "items": {"$ref": "#/$defs/Pet"}}},
    "required": ["age"],
}
TREE = {
    "$defs": {"Node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Node"}}}},
    "$ref": "#/$defs/Node",
}


def references_that_multiply(levels: int) -> dict[str, Any]:
    """Each level names the next eight times: 8 ** levels nodes when unfolded, a few hundred bytes as text."""
    definitions: dict[str, Any] = {"a0": {"type": "integer"}}
    for level in range(1, levels + 1):
        definitions[f"a{level}"] = {"anyOf": [{"$ref": f"#/$defs/a{level - 1}"}] * 8}
    return {"$defs": definitions, "$ref": f"#/$defs/a{levels}"}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize("schema", [PERSON, TREE, {}, references_that_multiply(1)])
def test_an_everyday_schema_passes(schema: dict[str, Any]) -> None:
    assert check_schema("response_format", schema) is schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": [str(number) for number in range(1000)]}, "too large"),
        (references_that_multiply(11), "too large"),
        (nested(500), "too large"),
        ({"type": "object", "properties": {"definitions": {"enum": ["a"] * 1000}}}, "too large"),
        ({"type": "string", "pattern": "^a$"}, "`pattern`"),
        ({"$ref": "#/$defs/nobody"}, "has no #/$defs/nobody"),
        ({"$ref": "https://example.com/schema"}, "has no https"),
        ("a string", "must be an object"),
        (None, "must be an object"),
    ],
)
def test_a_schema_that_could_stall_everybody_is_refused(schema: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        check_schema("response_format", schema)
    assert words in refusal.value.message
