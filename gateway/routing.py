"""Which way a call takes: the suffix of the model's name, the order of the ways, and who is resting.

    model              like :fastest, Hugging Face's default
    model:fastest      highest throughput first
    model:cheapest     lowest price per output token first
    model:preferred    in the operator's order
    model:<provider>   that way and no other

An account's own upstreams come before everybody's. Before the first byte a call may go on to the next way;
a retry budget keeps a sick upstream from doubling the load on the others, and a breaker lets one that keeps
failing rest. There is no hedging: an upstream charges for every call it gets.
"""

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from billing.pricebook import PricePin
from gateway import dialects, errors
from gateway.catalog import Catalog, Listed, Way
from gateway.dialects import CHAT, RESPONSES, Target

POLICIES = ("fastest", "cheapest", "preferred")
MOST_ATTEMPTS = 3
# A retry for every five calls, and ten a second besides, as Finagle's budget has it
# (https://finagle.github.io/blog/2016/02/08/retry-budgets).
RETRIES_PER_CALL = 0.2
RETRIES_PER_SECOND = 10.0
# A way rests when half of at least twenty calls within half a minute failed.
WINDOW_SECONDS = 30.0
FEWEST_CALLS = 20
FAILING_SHARE = 0.5
REST_SECONDS = 15.0


@dataclass(frozen=True)
class Candidate:
    """A way with its price: what a call may take, and how it goes there. What is worked out of it stays with it."""

    way: Way
    pin: PricePin
    target: Target | None = None  # what calls of one form want of it

    @cached_property
    def url(self) -> str:
        """Where such calls go. Refusal `invalid_request` where the server has no path for them."""
        assert self.target is not None
        return self.way.server.base_url + dialects.path_of(self.way.server.dialect, self.target)

    @cached_property
    def is_job(self) -> bool:
        """Whether such calls are translated into a provider's own form."""
        return self.target is not None and dialects.in_own_form(self.way.server.dialect, self.target)


def split_suffix(model: str) -> tuple[str, str]:
    """Return (model id, suffix), the suffix empty where there is none."""
    model_id, _, suffix = model.partition(":")
    return model_id, suffix


def candidates(
    catalog: Catalog, listed: Listed, task: str, suffix: str, account_id: str, currency: str
) -> list[Candidate]:
    """Return the ways that a call may take, best first. Refusals: invalid_request, model_not_found."""
    if suffix and suffix not in POLICIES and suffix not in listed.names:
        known = ", ".join((*POLICIES, *sorted(listed.names)))
        raise errors.invalid_request(
            f"{suffix[:60]!r} does not serve this model. Use one of: {known}.", "model"
        )
    found = [
        Candidate(way, pin)
        for way in listed.ways
        if way.server.account_id in (None, account_id)
        and way.task in ("", CHAT if task == RESPONSES else task)
        and (suffix in ("", *POLICIES) or way.name == suffix)
        and (pin := catalog.price(listed, way, currency)) is not None
    ]
    if not found:
        raise errors.model_not_found(listed.model_id)
    return sorted(found, key=lambda candidate: _rank(candidate, suffix))


def _rank(candidate: Candidate, suffix: str) -> tuple[bool, float, int, str]:
    """Sort key: own upstreams, then the policy, then the operator's order, then the name."""
    way = candidate.way
    measure = 0.0
    if suffix in ("", "fastest"):
        measure = -way.throughput
    elif suffix == "cheapest":
        measure = float(candidate.pin.price_per_million_output_nano)
    return way.server.account_id is None, measure, way.server.position, way.name


@dataclass(slots=True)
class _Record:
    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=1000))
    resting_until: float = 0.0  # 0 for a way that is awake
    probing: bool = False

    def is_failing(self) -> bool:
        """Tell whether enough of what is remembered failed."""
        failures = sum(failed for _, failed in self.outcomes)
        return len(self.outcomes) >= FEWEST_CALLS and failures >= FAILING_SHARE * len(self.outcomes)


class Breakers:
    """Which ways are resting, as this process has seen them behave.

    A way is a provider through one upstream: a customer's own token that fails says nothing about ours.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], _Record] = defaultdict(_Record)

    def awake(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that are not resting; all of them if every one is (somebody has to try)."""
        if len(found) == 1:
            return list(found)
        now = time.monotonic()
        return [one for one in found if self._record(one.way).resting_until <= now] or list(found)

    def begin(self, way: Way) -> None:
        """A way is tried. After its rest by one call at a time: until that one is back, it rests on."""
        record = self._record(way)
        if record.resting_until and record.resting_until <= (now := time.monotonic()):
            record.probing = True
            record.resting_until = now + REST_SECONDS

    def note(self, way: Way, *, failed: bool) -> None:
        """Remember how a way did."""
        record, now = self._record(way), time.monotonic()
        if record.probing or not failed:
            record.probing = False
            record.resting_until = now + REST_SECONDS if failed else 0.0
        record.outcomes.append((now, failed))
        while record.outcomes[0][0] < now - WINDOW_SECONDS:
            record.outcomes.popleft()
        if failed and record.is_failing():  # counted only where it can matter: up to a thousand outcomes
            record.resting_until = now + REST_SECONDS
            record.outcomes.clear()

    def _record(self, way: Way) -> _Record:
        return self._records[way.server.slug, way.name]


class RetryBudget:
    """How many retries this process may still make: a fifth of its calls, and a few a second besides."""

    def __init__(self) -> None:
        self._tokens = RETRIES_PER_SECOND
        self._filled = time.monotonic()

    def note_call(self) -> None:
        """A call was made: it earns a fifth of a retry."""
        self._tokens = min(self._tokens + RETRIES_PER_CALL, 100.0)

    def take(self) -> bool:
        """Spend one retry, if there is one."""
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._filled) * RETRIES_PER_SECOND, 100.0)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
