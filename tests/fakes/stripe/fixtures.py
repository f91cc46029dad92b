"""pytest fixtures: `fake_stripe` for whoever needs one. What is not valid under the specification fails the run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.stripe.process import FakeStripe
from tests.processes import any_port

_judged = {"requests": 0, "objects": 0}


@pytest.fixture(scope="session")
def start_fake_stripe() -> Iterator[Callable[..., FakeStripe]]:
    """Start a fake Stripe with arguments of its own; each is judged when the run ends."""
    running: list[FakeStripe] = []

    def start(*arguments: str) -> FakeStripe:
        log = Path(os.environ["TURNPIKE_VAR"]) / "fake-stripe.log"
        made = FakeStripe.start(any_port(), *arguments, log=log)
        running.append(made)
        return made

    yield start
    for one in running:
        one.stop()
    states = [one.last_state or {} for one in running]
    for state in states:
        _judged["requests"] += state["validated_requests"]
        _judged["objects"] += state["validated_objects"]
    wrong = [found for state in states for found in state["violations"]]
    if wrong:
        pytest.fail("not valid under Stripe's specification:\n" + "\n".join(wrong[:20]))


@pytest.fixture(scope="session")
def fake_stripe(start_fake_stripe: Callable[..., FakeStripe]) -> FakeStripe:
    """The fake Stripe of this test run. Its clock runs; a test that moves it makes its own."""
    return start_fake_stripe()


@pytest.fixture(scope="session")
def _still_fake_stripe(start_fake_stripe: Callable[..., FakeStripe]) -> FakeStripe:
    return start_fake_stripe("--now", "0")


@pytest.fixture
def still_fake_stripe(_still_fake_stripe: FakeStripe) -> Callable[[int], FakeStripe]:
    """Return a fake that knows nothing yet and whose clock stands still at a time: `still_fake_stripe(now)`.

    It is one process for the whole run, so a test has one such fake at a time; what it judged before stays counted.
    """

    def begin(now: int) -> FakeStripe:
        _still_fake_stripe.control("reset", now=now)
        return _still_fake_stripe

    return begin


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells the process that prints the summary how much it judged."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fake_stripe"] = _judged


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add up what the workers judged."""
    for what, count in getattr(node, "workeroutput", {}).get("fake_stripe", {}).items():
        _judged[what] += count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was judged."""
    if _judged["requests"]:
        terminalreporter.write_line(
            f"fake Stripe: {_judged['requests']} requests and {_judged['objects']} objects judged by Stripe's "
            "specification"
        )
