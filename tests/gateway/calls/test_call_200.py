"""Calls that are answered: what goes up, what comes back, what they cost."""

import json
from collections.abc import Callable

import pytest
from django.utils import timezone

from billing.models import UsageEvent
from billing.period import BillingPeriod
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.live import FakeUpstream, Web, chat_body, eventually, record_usage, used, with_meter

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def test_alice_gets_the_upstreams_bytes_and_is_told_the_price(web: Web, person: People) -> None:
    answer = web.chat(person("Alice", "pro"), "say 6")
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 6
    prompt = answer.json()["usage"]["prompt_tokens"]
    # 0.02 and 0.04 USD per million tokens are 20 and 40 nano a token.
    assert answer.headers["x-turnpike-cost"] == f"0.{prompt * 20 + 6 * 40:09d} USD"
    assert int(answer.headers["x-turnpike-price-version"]) > 0
    assert answer.headers["x-inference-provider"] == "local"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_the_body_goes_up_untouched(web: Web, upstream: FakeUpstream, person: People) -> None:
    body = b'{ "model":"%s",  "messages":[{"role":"user","content":"\\u00e9 say"}],"max_tokens" : 7, "x": 1.0e-3}'
    body = body % CHAT_MODEL.encode()
    assert web.post("/v1/chat/completions", person("Alice", "pro").secret, body).status_code == 200
    assert upstream.seen()["body"].encode() == body


def test_the_customers_key_and_cookies_stay_here(web: Web, upstream: FakeUpstream, person: People) -> None:
    alice = person("Alice", "pro")
    web.post("/v1/chat/completions", alice.secret, chat_body(), headers={"Cookie": "a=b", "X-Secret": "s"})
    sent = json.dumps(upstream.seen()["headers"])
    assert alice.secret not in sent
    assert "Cookie" not in sent
    assert "X-Secret" not in sent


def test_without_max_tokens_the_plans_own_limit_is_spliced_in(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    body = json.dumps({"model": CHAT_MODEL, "messages": [{"role": "user", "content": "say 2"}]}).encode()
    web.post("/v1/chat/completions", person("Bob").secret, body)
    seen = upstream.seen()["body"].encode()
    assert seen.startswith(body[:-1])
    assert json.loads(seen)["max_tokens"] == 1024


def test_more_than_the_plan_allows_is_clamped(web: Web, upstream: FakeUpstream, person: People) -> None:
    web.chat(person("Bob"), "say 2", max_tokens=100_000)
    assert json.loads(upstream.seen()["body"])["max_tokens"] == 1024


def test_one_call_is_one_row_with_its_parts(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    answer = web.chat(alice, "say 9")
    record_usage()
    event = UsageEvent.objects.get(account=alice.account)
    assert str(event.request_id) == answer.headers["x-request-id"]
    assert event.kind == UsageEvent.Kind.FINAL
    assert event.units["output_token"] == [9, 360]
    assert event.nano_cost == sum(nano for _, nano in event.units.values())
    assert event.upstream_nano_cost > 0
    assert event.price_version_id == int(answer.headers["x-turnpike-price-version"])
    assert not event.estimated


def test_usage_that_is_not_reported_is_estimated_and_says_so(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    assert web.chat(alice, "no-usage 4").status_code == 200
    record_usage()
    event = UsageEvent.objects.get(account=alice.account)
    assert event.estimated
    assert event.nano_cost > 0


def test_counters_and_ledger_say_the_same(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    for tokens in (1, 2, 3):
        web.chat(alice, f"say {tokens}")
    record_usage()
    period = BillingPeriod.containing(timezone.now()).key
    counted = used(alice, period)
    events = UsageEvent.objects.filter(account=alice.account)
    assert counted["calls"] == events.count() == 3
    assert counted["nano"] == sum(event.nano_cost for event in events)
    assert counted["held_calls"] == counted["held_nano"] == 0


def test_the_list_of_models_carries_prices(web: Web, person: People) -> None:
    import httpx2

    alice = person("Alice", "pro")
    headers = {"Authorization": f"Bearer {alice.secret}"}

    def listed() -> set[str]:
        answer = httpx2.get(f"{web.url}/v1/models", headers=headers)
        return {model["id"] for model in answer.json()["data"]}

    # At once, or once the web process has heard that another file's upstreams are switched off.
    eventually(lambda: listed() == {CHAT_MODEL, EMBEDDING_MODEL}, "what the local model serves is listed")
    encoded = CHAT_MODEL.replace("/", "%2F")
    for name in (CHAT_MODEL, encoded):
        one = httpx2.get(f"{web.url}/v1/models/{name}", headers=headers).json()
        assert one["providers"][0]["pricing"] == {"input": 0.02, "output": 0.04}


def test_the_hugging_face_paths_reach_the_task(web: Web, upstream: FakeUpstream, person: People) -> None:
    alice = person("Alice", "pro")
    for path in (
        f"/hf-inference/models/{EMBEDDING_MODEL}",
        f"/hf-inference/models/{EMBEDDING_MODEL}/pipeline/feature-extraction",
        f"/hf-inference/pipeline/feature-extraction/{EMBEDDING_MODEL}",
    ):
        before = upstream.seen()["calls"]
        assert web.post(path, alice.secret, {"inputs": "say 1"}).status_code == 200, path
        assert upstream.seen()["calls"] == before + 1


def test_both_families_of_rate_limit_headers_are_there(web: Web, person: People) -> None:
    answer = web.chat(person("Bob"), "say 1")
    assert answer.headers["x-ratelimit-limit-requests"] == "20"
    assert answer.headers["x-ratelimit-remaining-requests"] == "19"
    assert '"requests";q=20;w=60' in answer.headers["ratelimit-policy"]
    assert '"requests";r=19' in answer.headers["ratelimit"]


def test_nothing_is_open_afterwards(web: Web, person: People) -> None:
    web.chat(person("Bob"), "say 1")
    assert with_meter(lambda meter, stream: meter.open_holds()) == 0


def test_cached_input_without_a_price_of_its_own_costs_what_input_costs(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    prompt = web.chat(alice, "cached 2").json()["usage"]["prompt_tokens"]
    assert prompt > 1
    record_usage()
    event = UsageEvent.objects.get(account=alice.account)
    assert event.units["input_token"] == [prompt, prompt * 20]
    assert "cached_input_token" not in event.units
