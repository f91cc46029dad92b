"""A fake whose clock stands still, and one that is allowed to see wrong requests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.stripe.people import NOW
from tests.fakes.stripe.process import FakeStripe
from tests.processes import any_port


@pytest.fixture
def fake(still_fake_stripe: Callable[[int], FakeStripe]) -> FakeStripe:
    """A fake that knows nothing yet, at the first of January 2026."""
    return still_fake_stripe(NOW)


@pytest.fixture
def careless_fake() -> Iterator[FakeStripe]:
    """One whose violations are looked at by the test, and do not fail the run."""
    log = Path(os.environ["TURNPIKE_VAR"]) / "fake-stripe.log"
    made = FakeStripe.start(any_port(), "--now", str(NOW), log=log)
    yield made
    made.stop()
