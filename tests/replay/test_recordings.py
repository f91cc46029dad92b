"""Real exchanges with Hugging Face, replayed through the gateway: forwarded, returned and metered as recorded.

`fixtures.jsonl` beside this file has a few of each kind in the same form. The large collection is not part of
the project: TURNPIKE_RECORDINGS names it, or it lies in ../shared/recordings; without it the test is skipped.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from billing.models import PriceVersion, UnitPrice, UsageEvent
from gateway.dialects import CHAT, COMPLETION, IMAGE
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from tests.factories import Person, make_person
from tests.fakes.replay import Exchange, Replay, read_exchanges, recordings_path, serve
from tests.live import Web, record_usage, start_web

OWN = Path(__file__).with_name("fixtures.jsonl")
TOKEN = "hf_the_operators_own"
PASSED_BACK = ("content-type", "x-compute-type", "x-compute-time", "x-compute-characters", "inference-id")
TOKENS = ("input_token", "output_token", "cached_input_token")


@dataclass(frozen=True)
class Route:
    """Where a recorded exchange goes in and comes out, and what it is."""

    path: str  # ours
    upstream_path: str
    provider: str
    model_id: str  # as the provider calls it
    task: str


def route_of(exchange: Exchange) -> Route:
    """Map a recorded address to ours: the router's paths are the same, the old host's lie below /hf-inference."""
    path = exchange.path
    if "api-inference." in exchange.url:
        path = "/hf-inference" + path
    provider, _, rest = path.removeprefix("/").partition("/")
    task = _task(exchange, path)
    if provider == "hf-inference":
        if found := re.fullmatch(r"pipeline/([\w-]+)/(.+)", rest):
            modern = f"/hf-inference/models/{found[2]}/pipeline/{found[1]}"
            return Route(path, modern, provider, found[2], found[1])
        model_id = rest.removeprefix("models/").removesuffix("/v1/chat/completions")
        return Route(path, path, provider, model_id, task)
    document = json.loads(exchange.request_body or b"{}")
    named = document.get("model") or document.get("version") or rest.removeprefix("v1/")
    return Route(path, path, provider, named, task)


def _task(exchange: Exchange, path: str) -> str:
    if path.endswith("/chat/completions"):
        return CHAT
    if found := re.search(r"\[[\w-]+,([\w-]+)\]", exchange.id):
        return found[1]
    return COMPLETION


def body_of(exchange: Exchange, route: Route) -> bytes:
    """The recorded body, or one of the same form where it was not recorded."""
    if exchange.request_body is not None:
        return exchange.request_body
    if route.task == CHAT:
        messages = [{"role": "user", "content": "What is deep learning?"}]
        fields = {
            "model": route.model_id,
            "messages": messages,
            "max_tokens": 1000,
            "stream": exchange.streams,
        }
    elif route.task == "sentence-similarity":
        fields = {"inputs": {"source_sentence": "a", "sentences": ["b", "c", "d"]}}
    else:
        fields = {"inputs": "test", "parameters": {"max_new_tokens": 1}, "stream": exchange.streams}
    return json.dumps(fields).encode()


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    """The upstream."""
    replay = Replay()
    server = serve(replay)
    yield replay
    server.shutdown()
    server.server_close()


def every_exchange() -> list[Exchange]:
    """Our own and, where it lies here, the large collection."""
    large = recordings_path()
    return read_exchanges(OWN) + (read_exchanges(large) if large.is_file() else [])


@pytest.fixture(scope="module")
def gateway(live_database: dict[str, str], replay: Replay) -> Iterator[Web]:
    """The gateway, which takes the replay for Hugging Face's router and lists every recorded model there."""
    router = Upstream(slug="replay", name="Replay", dialect=Dialect.HF_ROUTER, base_url=replay.url)
    router.set_secret(TOKEN)
    router.save()
    for route in map(route_of, every_exchange()):
        _list(route, router)
    yield from start_web(live_database, ready="/health/live")  # there is no local model
    router.enabled = False  # the next tests have a catalog of their own
    router.save()


def _list(route: Route, router: Upstream) -> None:
    is_hugging_face = route.provider == "hf-inference"
    listed_as = (
        route.model_id if is_hugging_face else f"replay/{re.sub(r'[^A-Za-z0-9.-]', '-', route.model_id)}"
    )
    model, _ = CatalogModel.objects.get_or_create(model_id=listed_as, defaults={"tasks": [route.task]})
    if route.task not in model.tasks:
        model.tasks.append(route.task)
        model.save()
    Serving.objects.get_or_create(
        model=model, upstream=router, provider=route.provider, task="",
        defaults={"provider_id": "" if is_hugging_face else route.model_id},
    )  # fmt: skip
    version, is_new = PriceVersion.objects.get_or_create(
        model=listed_as,
        upstream=route.provider,
        defaults={"source": "a test", "effective_from": timezone.now()},
    )
    for unit in _priced_in(route) if is_new else ():
        UnitPrice.objects.create(
            version=version, unit=unit, price=Decimal("0.000001"), upstream_cost=Decimal(0)
        )


@pytest.fixture(scope="module")
def erin(gateway: Web) -> Person:
    """Erin is on Enterprise, so that no limit of a plan stands between her and the recording."""
    return make_person(f"Erin-{gateway.url[-5:]}", "enterprise")


# --- What must hold for each ---------------------------------------------------------------------


def call(gateway: Web, erin: Person, exchange: Exchange, route: Route) -> httpx2.Response:
    """Make the recorded call with Erin's key."""
    headers = {"Authorization": f"Bearer {erin.secret}", "X-Amzn-Trace-Id": "1", "Cookie": "session=erins"}
    if kind := exchange.request_headers.get("content-type"):
        headers["Content-Type"] = kind
    body = body_of(exchange, route)
    return httpx2.post(gateway.url + route.path, content=body, headers=headers, timeout=30)


def check(gateway: Web, erin: Person, replay: Replay, exchange: Exchange) -> str:
    """Replay one exchange and assert all; return what it was: "answered", "failed" or "refused"."""
    route = route_of(exchange)
    replay.exchange, before = exchange, len(replay.asked)
    answer = call(gateway, erin, exchange, route)
    if len(replay.asked) == before:
        check_refusal(answer, exchange, route)
        return "refused"
    check_forwarded(replay, before, exchange, route, erin)
    if exchange.status >= 300:
        check_failure(answer, exchange)
        return "failed"
    check_returned(answer, exchange)
    check_metered(answer.headers["x-request-id"], exchange)
    return "answered"


def check_forwarded(replay: Replay, before: int, exchange: Exchange, route: Route, erin: Person) -> None:
    """The same path and bytes, our token and none of Erin's headers."""
    assert len(replay.asked) == before + 1, "an attempt too many"
    asked, sent = replay.asked[-1], body_of(exchange, route)
    assert asked.path == route.upstream_path
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    known = {"host", "authorization", "content-type", "content-length", "accept", "accept-encoding",
             "user-agent", "x-request-id"}  # fmt: skip
    assert asked.headers.keys() <= known
    assert erin.secret not in str(asked)
    if exchange.request_headers.get("content-type") or sent[:1] != b"{":
        assert asked.headers.get("content-type") == exchange.request_headers.get("content-type")
    if asked.body != sent:
        check_splice(asked.body, sent)


def check_splice(forwarded: bytes, sent: bytes) -> None:
    """What the gateway adds: a limit where none was asked for, usage where it streams. All else stays."""
    ours, theirs = json.loads(forwarded), json.loads(sent)
    added = {name: value for name, value in ours.items() if theirs.get(name) != value}
    if set(added) == {"parameters"}:
        assert (
            theirs.get("parameters", {})
            == {name: value for name, value in added["parameters"].items() if name != "max_new_tokens"}
            or theirs["parameters"].keys() == added["parameters"].keys()
        )
        return
    assert added.keys() <= {"max_tokens", "stream_options"}
    assert forwarded.startswith(sent.rstrip()[:-1].rstrip()), "the customer's own bytes changed"


def check_returned(answer: httpx2.Response, exchange: Exchange) -> None:
    """The same status and bytes, and of the headers those that are the customer's business."""
    assert answer.status_code == exchange.status, answer.text[:500]
    assert answer.content == exchange.response_body
    for name in PASSED_BACK:
        assert answer.headers.get(name) == exchange.response_headers.get(name), name
    assert "set-cookie" not in answer.headers
    assert "x-powered-by" not in answer.headers
    assert answer.headers["x-request-id"] != "the-upstreams"


def check_failure(answer: httpx2.Response, exchange: Exchange) -> None:
    """A 4xx keeps its status and its words, in the dialect's own form."""
    assert answer.status_code == exchange.status
    said = json.loads(exchange.response_body)["error"]
    words = said[0] if isinstance(said, list) else said
    assert words[:400] in answer.json()["error"]
    assert answer.json()["code"] == "invalid_request"


def check_refusal(answer: httpx2.Response, exchange: Exchange, route: Route) -> None:
    """Only what could never work is refused before it is sent, and it did not work then either."""
    assert answer.status_code == 400, (exchange.id, answer.text)
    assert exchange.status >= 400, (
        f"{exchange.id} {route.path} was refused here, and worked there: {answer.text}"
    )


def check_metered(request_id: str, exchange: Exchange) -> None:
    """Every figure that the upstream gave is in the row, as it gave it."""
    record_usage()
    row = UsageEvent.objects.get(request_id=request_id)
    found = {unit: quantity for unit, (quantity, _) in row.units.items()}
    reported = reported_by(exchange)
    assert {unit: found.get(unit) for unit in reported} == reported, exchange.id
    assert found["request"] == 1
    # Images are counted by the request; what else is not reported is estimated, and says so.
    assert row.estimated == (_priced_in(route_of(exchange))[0] not in {*reported, "image"})


def _priced_in(route: Route) -> Sequence[str]:
    """The units that these tests price a task in."""
    return {CHAT: TOKENS, IMAGE: ("image",)}.get(route.task, ("compute_second",))


def reported_by(exchange: Exchange) -> dict[str, int]:
    """Read the units out of a recorded answer, by the documented rules and by other code than the gateway's."""
    headers, units = exchange.response_headers, {}
    if "x-compute-time" in headers:
        units["compute_second"] = int(Decimal(headers["x-compute-time"]) * 1_000_000)  # whole ones
    for name, unit in (
        ("x-compute-characters", "character"),
        ("x-prompt-tokens", "input_token"),
        ("x-generated-tokens", "output_token"),
    ):
        if headers.get(name, "-").isdigit():
            units[unit] = int(headers[name])
    if route_of(exchange).task == "text-to-speech":
        units.pop("character", None)  # counted from the request, which says it before it is sent
    for usage in _usages(exchange):
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        units |= {"input_token": usage["prompt_tokens"] - cached, "output_token": usage["completion_tokens"]}
    return units


def _usages(exchange: Exchange) -> list[dict[str, Any]]:
    text = exchange.response_body.decode("latin-1")
    lines = re.findall(r"^data: ?(\{.*\})$", text, re.MULTILINE) if exchange.streams else [text]
    if exchange.path.endswith(("/completions", "/generations")):
        return [usage for line in lines if (usage := json.loads(line).get("usage"))]
    details = [json.loads(line).get("details") for line in lines] if exchange.streams else []
    return [
        {"prompt_tokens": found["input_length"], "completion_tokens": found["generated_tokens"]}
        for found in details
        if found and found.get("input_length") is not None
    ]


# --- The tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", read_exchanges(OWN), ids=lambda exchange: exchange.id)
def test_an_exchange_of_our_own_passes_unchanged(
    gateway: Web, erin: Person, replay: Replay, exchange: Exchange
) -> None:
    check(gateway, erin, replay, exchange)


def test_every_recorded_exchange_passes_unchanged(gateway: Web, erin: Person, replay: Replay) -> None:
    path = recordings_path()
    if not path.is_file():
        pytest.skip(
            f"NOT REPLAYED: there are no recordings at {path}. Set TURNPIKE_RECORDINGS to their file."
        )
    exchanges = read_exchanges(path)
    came: dict[str, int] = {}
    faults = []
    for exchange in exchanges:
        try:
            what = check(gateway, erin, replay, exchange)
            came[what] = came.get(what, 0) + 1
        except AssertionError as fault:
            faults.append(f"{exchange.id}: {str(fault)[:600]}")
    print(f"\nreplayed {len(exchanges)} recordings: {came}")
    assert not faults, "\n".join(faults)
    assert sum(came.values()) == len(exchanges)
