"""Which way a call takes, in which order, and who rests."""

from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.utils import timezone

from billing.pricebook import PricePin, price_book_of
from billing.pricing import Unit
from gateway import routing
from gateway.catalog import Catalog, Listed, Server, Way, catalog_of
from gateway.endpoints import find_endpoint
from gateway.errors import Refusal
from gateway.models import Dialect
from gateway.order_reading import read_order
from gateway.routing import FEWEST_CALLS, REST_SECONDS, Breakers, Candidate, RetryBudget, candidates
from tests.gateway.test_orders import caller

MODEL, CHAT, ALICE, DAVE = "org/model", "conversational", "alices-account", "daves-account"
# (throughput, USD per million output tokens, position) of each way
WAYS: Mapping[str, tuple[float, str, int]] = {
    "quick": (900.0, "3", 30),
    "thrifty": (100.0, "0.5", 20),
    "steady": (300.0, "1", 10),
}


def server(slug: str, position: int, account: str | None = None) -> Server:
    return Server(slug, Dialect.OPENAI, f"http://{slug}", "", "", account, position, 60, 600)


def way(name: str, account: str | None = None, task: str = "") -> Way:
    throughput, _, position = WAYS.get(name, (0.0, "", 99))
    return Way(name, server(name, position, account), "", "", task, throughput, None)


def catalog(*ways: Way, prices: Mapping[str, str] | None = None) -> Catalog:
    listed = Listed(MODEL, ("conversational", "feature-extraction"), 4096, "", "", timezone.now(), ways)
    known = {name: price for name, (_, price, _) in WAYS.items()} if prices is None else prices
    pins = {
        (MODEL, name, "USD"): PricePin(number, {Unit.OUTPUT_TOKEN: Decimal(price) / 1_000_000}, {})
        for number, (name, price) in enumerate(known.items())
    }
    return catalog_of({MODEL: listed}, price_book_of(pins))


ALL = [way(name) for name in WAYS]


def order_of(suffix: str, found: Catalog, account: str = ALICE, task: str = CHAT) -> list[str]:
    listed = found.find(MODEL)
    return [one.way.name for one in candidates(found, listed, task, suffix, account, "USD")]


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", ["quick", "steady", "thrifty"]),
        ("fastest", ["quick", "steady", "thrifty"]),
        ("cheapest", ["thrifty", "steady", "quick"]),
        ("preferred", ["steady", "thrifty", "quick"]),
        ("thrifty", ["thrifty"]),
    ],
)
def test_alices_suffix_decides_the_order(suffix: str, expected: list[str]) -> None:
    assert order_of(suffix, catalog(*ALL)) == expected


@pytest.mark.parametrize("suffix", ["nobody", "FASTEST", "fastest:cheapest", "x" * 500, "../quick"])
def test_a_suffix_that_means_nothing_is_refused_with_those_that_do(suffix: str) -> None:
    with pytest.raises(Refusal, match="fastest, cheapest, preferred, quick, steady, thrifty") as refused:
        order_of(suffix, catalog(*ALL))
    assert (refused.value.status, refused.value.param) == (400, "model")
    assert len(refused.value.message) < 200


def test_alices_own_upstream_comes_first_however_slow_and_is_nobody_elses() -> None:
    found = catalog(
        *ALL, way("own", ALICE), prices={name: p for name, (_, p, _) in WAYS.items()} | {"own": "99"}
    )
    for suffix in ("", "fastest", "cheapest", "preferred"):
        assert order_of(suffix, found)[0] == "own"
    assert "own" not in order_of("", found, account=DAVE)
    with pytest.raises(Refusal) as refused:
        order_of("own", found, account=DAVE)
    assert refused.value.status in (400, 404)


def test_a_way_for_another_task_is_not_taken() -> None:
    found = catalog(way("quick", task="feature-extraction"), way("steady", task=CHAT), way("thrifty"))
    assert order_of("", found) == ["steady", "thrifty"]
    assert order_of("", found, task="responses") == ["steady", "thrifty"]
    assert order_of("", found, task="feature-extraction") == ["quick", "thrifty"]


def test_a_way_without_a_price_is_not_taken_and_a_model_without_any_is_not_found() -> None:
    assert order_of("", catalog(*ALL, prices={"steady": "1"})) == ["steady"]
    with pytest.raises(Refusal) as refused:
        order_of("", catalog(*ALL, prices={}))
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_bobs_price_ceiling_leaves_him_the_ways_that_he_may_afford() -> None:
    body = b'{"model":"org/model","messages":[{"role":"user","content":"hi"}]}'

    def names(ceiling: int | None) -> list[str]:
        endpoint = find_endpoint("/v1/chat/completions")
        order = read_order(endpoint, body, "application/json", caller(ceiling), catalog(*ALL))
        return [one.way.name for one in order.candidates]

    assert names(None) == ["quick", "steady", "thrifty"]
    assert names(1_000_000_000) == ["steady", "thrifty"]
    with pytest.raises(Refusal, match="Upgrade") as refused:
        names(100_000_000)
    assert refused.value.status == 403


# --- Who rests -----------------------------------------------------------------------------------


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(routing, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


QUICK, STEADY = (Candidate(way(name), PricePin(1, {}, {})) for name in ("quick", "steady"))


def fail(breakers: Breakers, candidate: Candidate, times: int = FEWEST_CALLS) -> None:
    for _ in range(times):
        breakers.begin(candidate.way)
        breakers.note(candidate.way, failed=True)


def awake(breakers: Breakers) -> list[str]:
    return [one.way.name for one in breakers.awake([QUICK, STEADY])]


def test_a_way_that_keeps_failing_rests_and_is_probed_by_one_call_at_a_time(clock: Clock) -> None:
    breakers = Breakers()
    fail(breakers, QUICK, FEWEST_CALLS - 1)
    assert awake(breakers) == ["quick", "steady"]
    fail(breakers, QUICK, 1)
    assert awake(breakers) == ["steady"]
    clock.now += REST_SECONDS
    assert awake(breakers) == ["quick", "steady"]
    breakers.begin(QUICK.way)
    assert awake(breakers) == ["steady"]  # while it is being probed
    breakers.note(QUICK.way, failed=False)
    assert awake(breakers) == ["quick", "steady"]


def test_a_probe_that_fails_is_followed_by_another_rest(clock: Clock) -> None:
    breakers = Breakers()
    fail(breakers, QUICK)
    clock.now += REST_SECONDS
    breakers.begin(QUICK.way)
    breakers.note(QUICK.way, failed=True)
    clock.now += REST_SECONDS - 1
    assert awake(breakers) == ["steady"]
    clock.now += 1
    assert awake(breakers) == ["quick", "steady"]


def test_a_way_that_was_listed_but_not_tried_can_still_be_probed(clock: Clock) -> None:
    breakers = Breakers()
    fail(breakers, STEADY)
    clock.now += REST_SECONDS
    for _ in range(3):  # quick comes first and answers, so nobody gets to steady
        assert awake(breakers) == ["quick", "steady"]
        breakers.begin(QUICK.way)
        breakers.note(QUICK.way, failed=False)


def test_a_probe_whose_client_left_does_not_keep_the_way_resting_for_ever(clock: Clock) -> None:
    breakers = Breakers()
    fail(breakers, QUICK)
    clock.now += REST_SECONDS
    breakers.begin(QUICK.way)  # and nothing is noted: the call was cancelled
    clock.now += REST_SECONDS
    assert awake(breakers) == ["quick", "steady"]


def test_all_are_tried_when_all_rest() -> None:
    breakers = Breakers()
    fail(breakers, QUICK)
    fail(breakers, STEADY)
    assert awake(breakers) == ["quick", "steady"]


def test_failures_that_are_few_among_many_or_long_ago_let_nobody_rest(clock: Clock) -> None:
    breakers = Breakers()
    for number in range(100):
        breakers.note(QUICK.way, failed=number % 3 == 0)
    assert awake(breakers) == ["quick", "steady"]
    fail(breakers, STEADY, FEWEST_CALLS - 1)
    clock.now += 31
    fail(breakers, STEADY, 1)
    assert awake(breakers) == ["quick", "steady"]


def test_a_customers_own_token_that_fails_says_nothing_about_ours() -> None:
    ours = Candidate(Way("together", server("router", 1), "together", "", "", 0.0, None), PricePin(1, {}, {}))
    own = server("daves-router", 1, DAVE)
    theirs = Candidate(Way("together", own, "together", "", "", 0.0, None), PricePin(1, {}, {}))
    breakers = Breakers()
    fail(breakers, theirs)
    assert breakers.awake([theirs, ours]) == [ours]


def test_the_retry_budget_runs_out_and_calls_earn_it_back(clock: Clock) -> None:
    budget = RetryBudget()
    assert sum(budget.take() for _ in range(50)) == 10
    for _ in range(5):
        budget.note_call()
    assert (budget.take(), budget.take()) == (True, False)
    clock.now += 1
    assert sum(budget.take() for _ in range(50)) == 10


def test_a_long_calm_saves_up_a_hundred_retries_and_no_more(clock: Clock) -> None:
    budget = RetryBudget()
    clock.now += 86_400
    assert sum(budget.take() for _ in range(500)) == 100
