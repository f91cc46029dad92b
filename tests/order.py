"""pytest plugin: in which order files are handed to the workers, and what would break it.

Tests that are rolled back (`db`) must not see rows that others committed, so their files come first. A file is
handed out whole (`--dist loadfile`), therefore it has one kind only. In each of the two parts the longest come
first: a worker that begins a long one last leaves the others idle. ADR 0038 says more.
"""

import re
from collections.abc import Iterable

import pytest

# Files that take more than ten seconds on two cores, the longest first: `pytest --durations=0` tells.
LONG: tuple[str, ...] = (
    "tests/torture/test_runs.py",
    "tests/billing/stripe/test_invoices.py",
    "tests/gateway/test_admin.py",
    "tests/flows/test_year_of_an_account.py",
    "tests/gateway/test_catalog_pages.py",
    "tests/test_examples.py",
    "tests/test_commands.py",
    "tests/gateway/runner/test_run.py",
    "tests/clients/test_matrix.py",
    "tests/flows/test_screens_in_browser.py",
    "tests/gateway/test_provider_tasks.py",
    "tests/gateway/test_meter_away.py",
    "tests/flows/test_clients.py",
    "tests/flows/test_nothing_is_lost.py",
    "tests/gateway/calls/test_call_4xx.py",
    "tests/gateway/calls/test_call_drain.py",
    "tests/gateway/test_meter_cluster.py",
)
# What was drawn for this process alone: an id, a key.
_DRAWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}|tp_live_\w{20}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a drawn parameter by its argument: tests must be called the same in each worker, or none runs."""
    return argname if isinstance(val, str) and _DRAWN.search(val) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the items in order. Raises pytest.UsageError for a file with both kinds of tests."""
    _refuse_mixed(items)
    first = {file: number for number, file in reversed(list(enumerate(map(_file, items))))}
    rolled_back = {_file(item) for item in items if _kind(item) == "db"}
    weight = {file: number - len(LONG) for number, file in enumerate(LONG)}
    items.sort(
        key=lambda item: (_file(item) not in rolled_back, weight.get(_file(item), 0), first[_file(item)])
    )


def _refuse_mixed(items: Iterable[pytest.Item]) -> None:
    kinds: dict[str, set[str]] = {}
    for item in items:
        kinds.setdefault(_file(item), set()).add(_kind(item))
    mixed = sorted(file for file, found in kinds.items() if {"db", "live"} <= found)
    if mixed:
        raise pytest.UsageError(
            f"{mixed[0]} has tests that are rolled back (`db`) and tests that commit (`live_database`): "
            "put them into two files (tests/order.py says why)."
        )


def _kind(item: pytest.Item) -> str:
    names = getattr(item, "fixturenames", ())
    if "live_database" in names:
        return "live"
    marked = item.get_closest_marker("django_db") is not None
    return "db" if marked or "db" in names or "transactional_db" in names else "none"


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
