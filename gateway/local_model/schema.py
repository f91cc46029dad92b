"""How big a JSON schema may be before the engine's grammar takes seconds per token and stalls every other
call.

Measured on llama.cpp with this model: an `enum` of 1,500 values takes 3.5 s for four tokens, one of 20,000
never ends, and ten `$ref`s that each name the next one eight times never end either. So alternatives are
counted as the grammar would unfold them, and a schema above the limit is refused before the engine sees it.
"""

from typing import Any

from gateway.local_model.errors import InvalidRequestError

MAX_WEIGHT = 300
MAX_DEPTH = 24
DEFINITIONS = ("$defs", "definitions")

TOO_BIG = (
    "The schema of `{name}` is too large for this model. Use fewer properties, enum values and references."
)
NO_PATTERN = (
    "The schema of `{name}` uses `pattern`, which this model does not do. Describe the form in the prompt."
)


def check_schema(name: str, schema: Any) -> dict[str, Any]:
    """The schema itself, if it is an object that unfolds to at most 300 nodes; raises InvalidRequestError
    otherwise.
    """
    if not isinstance(schema, dict):
        raise InvalidRequestError(f"The schema of `{name}` must be an object.", name)
    if _Weigher(name, schema).weigh(schema, 0) > MAX_WEIGHT:
        raise InvalidRequestError(TOO_BIG.format(name=name), name)
    return schema


class _Weigher:
    """Counts a schema's nodes; a reference weighs what it points to, each time it is used."""

    def __init__(self, name: str, root: dict[str, Any]) -> None:
        self._name = name
        self._root = root
        self._known: dict[str, int] = {}

    def weigh(self, node: Any, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise InvalidRequestError(TOO_BIG.format(name=self._name), self._name)
        if isinstance(node, list):
            return sum(self.weigh(item, depth + 1) for item in node)
        if not isinstance(node, dict):
            return 1
        if isinstance(node.get("pattern"), str):
            raise InvalidRequestError(NO_PATTERN.format(name=self._name), self._name)
        # The root's definitions weigh where they are used; anything of that name elsewhere is a property.
        skipped = DEFINITIONS if depth == 0 else ()
        inner = sum(self.weigh(value, depth + 1) for key, value in node.items() if key not in skipped)
        return inner + self._weigh_reference(node.get("$ref"), depth)

    def _weigh_reference(self, reference: Any, depth: int) -> int:
        if not isinstance(reference, str):
            return 0
        if reference not in self._known:
            self._known[reference] = 1  # a schema that names itself unfolds step by step, not at once
            self._known[reference] = self.weigh(self._resolve(reference), depth + 1)
        return self._known[reference]

    def _resolve(self, reference: str) -> Any:
        node: Any = self._root
        for part in reference.removeprefix("#/").split("/"):
            node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            raise InvalidRequestError(f"The schema of `{self._name}` has no {reference}.", self._name)
        return node
