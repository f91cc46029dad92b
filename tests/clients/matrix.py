"""Which clients this run asks, and what came of it: one row a client and feature, one column a case.

A pytest plugin (`tests/conftest.py` names it): verdicts come with the tests' reports, so they also come from a worker.
"""

import os
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.clients.cells import CASES, CLIENTS, Client

_verdicts: dict[tuple[str, str], dict[str, str]] = {}


def selected() -> list[Client]:
    """The clients of this run: those named in TURNPIKE_CLIENTS, all, or without it the quick ones."""
    wanted = os.environ.get("TURNPIKE_CLIENTS", "")
    if not wanted:
        return [client for client in CLIENTS if client.quick]
    return [client for client in CLIENTS if wanted == "all" or client.name in wanted.split(",")]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember a cell's verdict for the matrix."""
    for name, value in report.user_properties:
        if name == "cell":
            client, feature, case, verdict = cast("tuple[str, str, str, str]", value)
            _verdicts.setdefault((client, feature), {})[case] = verdict


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix."""
    for line in lines():
        terminalreporter.write_line(line)


def lines() -> Iterator[str]:
    """The matrix as text, if any cell was tried."""
    if not _verdicts:
        return
    yield f"{'client':28}{'feature':32}" + "".join(f"{case:>12}" for case in CASES)
    for (client, feature), found in _verdicts.items():
        yield f"{client:28}{feature:32}" + "".join(f"{_mark(found.get(case)):>12}" for case in CASES)
    for (client, feature), found in _verdicts.items():
        yield from (f"{client} · {feature} · {case}: {wrong}" for case, wrong in found.items() if wrong)


def counts() -> tuple[int, int]:
    """Return how many cells passed and failed."""
    verdicts = [verdict for found in _verdicts.values() for verdict in found.values()]
    failed = sum(bool(verdict) for verdict in verdicts)
    return len(verdicts) - failed, failed


def _mark(verdict: str | None) -> str:
    return "-" if verdict is None else "FAILED" if verdict else "ok"
