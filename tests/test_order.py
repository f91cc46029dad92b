"""Files are handed to the workers in an order in which no test sees what another committed."""

import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest

from accounts.keys import new_secret
from gateway.runner.lock import ROOT
from tests import order


def item(name: str, *fixtures: str) -> Any:
    """A test as pytest has collected it."""
    return SimpleNamespace(nodeid=name, fixturenames=fixtures, get_closest_marker=lambda kind: None)


def in_order(*items: Any) -> list[str]:
    """The names of tests as they are handed out."""
    listed = list(items)
    order.pytest_collection_modifyitems(cast("list[pytest.Item]", listed))
    return [one.nodeid for one in listed]


def test_files_that_are_rolled_back_come_before_those_that_commit() -> None:
    live, plain, rolled_back = item("a.py::alice", "live_database"), item("b.py::bob"), item("c.py::c", "db")
    beside = item("c.py::without")
    assert in_order(live, plain, rolled_back, beside) == [
        "c.py::c",
        "c.py::without",
        "a.py::alice",
        "b.py::bob",
    ]


def test_a_file_stays_together_and_long_ones_come_first() -> None:
    long = order.LONG[0]
    tests = [item("a.py::one", "db"), item("b.py::two"), item("a.py::three"), item(f"{long}::four")]
    assert in_order(*tests) == ["a.py::one", "a.py::three", f"{long}::four", "b.py::two"]


def test_a_file_with_both_kinds_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match=r"a\.py has tests that are rolled back"):
        in_order(item("a.py::alice", "db"), item("b.py::bob"), item("a.py::charlie", "live_database"))


@pytest.mark.parametrize("drawn", [str(uuid.uuid4()), f"Bearer {new_secret()}"])
def test_a_drawn_parameter_has_the_same_name_in_each_worker(
    drawn: str, request: pytest.FixtureRequest
) -> None:
    assert drawn not in request.node.nodeid
    assert request.node.nodeid.endswith(("[drawn0]", "[drawn1]"))


def test_the_long_files_are_there() -> None:
    assert [file for file in order.LONG if not (ROOT / file).is_file()] == []
