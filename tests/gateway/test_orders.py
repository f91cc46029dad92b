"""What is read out of a call, and how little of its body changes."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.entitlements import Entitlements
from billing.pricebook import PricePin, price_book_of
from billing.pricing import Unit
from gateway.authentication import Caller
from gateway.catalog import Catalog, Listed, Server, Way, catalog_of
from gateway.endpoints import find_endpoint
from gateway.errors import Refusal, Words
from gateway.models import Dialect
from gateway.order_reading import read_order
from gateway.orders import Order

CHEAP, DEAR = "small/one", "large/one"


def caller(ceiling: int | None = None) -> Caller:
    rights = Entitlements(
        plan="free",
        plan_version_id=1,
        currency="USD",
        requests_per_minute=20,
        tokens_per_minute=20_000,
        concurrency=2,
        calls_per_period=1000,
        spend_limit_nano=10**8,
        price_ceiling_nano=ceiling,
        max_body_bytes=1_000_000,
        max_output_tokens=100,
        fails_closed=True,
        drains=False,
        suspended=False,
        payment_overdue=False,
    )
    return Caller("account", "key", None, rights)


def catalog() -> Catalog:
    tasks = ("text-generation", "conversational")
    server = Server("local", Dialect.LOCAL, "http://x", "", "", None, 1, 60, 600)
    way = Way("local", server, "", "", "", 0.0, None)
    models = {name: Listed(name, tasks, 2048, "", "", timezone.now(), (way,)) for name in (CHEAP, DEAR)}
    rates = {CHEAP: Decimal("0.0000001"), DEAR: Decimal("0.00001")}
    pins = {
        (name, "*", "USD"): PricePin(number, {Unit.OUTPUT_TOKEN: rate}, {})
        for number, (name, rate) in enumerate(rates.items())
    }
    return catalog_of(models, price_book_of(pins))


def order(path: str, body: Any, ceiling: int | None = None) -> Order:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_order(find_endpoint(path), raw, "application/json", caller(ceiling), catalog())


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": CHEAP, "messages": [{"role": "user", "content": "hi"}]} | fields


@pytest.mark.parametrize(
    ("path", "words", "task", "model"),
    [
        ("/v1/chat/completions", Words.OPENAI, "conversational", None),
        ("/v1/completions", Words.OPENAI, "text-generation", None),
        ("/v1/embeddings", Words.OPENAI, "feature-extraction", None),
        ("/hf-inference/models/a/b", Words.HUGGING_FACE, None, "a/b"),
        ("/hf-inference/models/gpt2", Words.HUGGING_FACE, None, "gpt2"),
        ("/hf-inference/models/a/b/pipeline/fill-mask", Words.HUGGING_FACE, "fill-mask", "a/b"),
        ("/hf-inference/pipeline/fill-mask/a/b", Words.HUGGING_FACE, "fill-mask", "a/b"),
        ("/hf-inference/models/a/b/v1/chat/completions", Words.HUGGING_FACE, "conversational", "a/b"),
    ],
)
def test_every_path_says_what_it_means(path: str, words: Words, task: str | None, model: str | None) -> None:
    endpoint = find_endpoint(path)
    assert (endpoint.words, endpoint.task, endpoint.model_id) == (words, task, model)


def test_a_body_within_the_limits_is_the_same_bytes() -> None:
    raw = b' {"messages":[{"role":"user","content":"\\u00e9"}],"max_tokens": 5 ,"model":"small/one"} \n'
    assert order("/v1/chat/completions", raw).body == raw


def test_missing_fields_are_spliced_in_at_the_end() -> None:
    raw = b'{"model":"small/one","messages":[{"role":"user","content":"x"}],"seed":1.50}  '
    body = order("/v1/chat/completions", raw).body
    assert body == raw.rstrip()[:-1] + b',"max_tokens":100}'


def test_both_names_of_the_limit_are_honoured() -> None:
    made = order("/v1/chat/completions", chat(max_completion_tokens=7))
    assert made.max_output_tokens == 7
    made = order("/v1/chat/completions", chat(max_completion_tokens=700))
    assert json.loads(made.body)["max_completion_tokens"] == 100
    assert "max_tokens" not in json.loads(made.body)


def test_several_answers_are_held_for_several_times() -> None:
    assert order("/v1/chat/completions", chat(max_tokens=10, n=3)).max_output_tokens == 30


def test_a_streamed_call_is_made_to_report_its_usage() -> None:
    made = order("/v1/chat/completions", chat(stream=True))
    assert json.loads(made.body)["stream_options"] == {"include_usage": True}
    assert (made.stream, made.wants_usage) == (True, False)
    made = order(
        "/v1/chat/completions", chat(stream=True, stream_options={"include_usage": True}, max_tokens=5)
    )
    assert made.wants_usage


def test_a_hugging_face_generation_is_limited_in_its_own_words() -> None:
    made = order(f"/hf-inference/models/{CHEAP}", {"inputs": "x", "parameters": {"top_k": 3}})
    assert json.loads(made.body)["parameters"] == {"top_k": 3, "max_new_tokens": 100}
    made = order(f"/hf-inference/models/{CHEAP}", {"inputs": "x"})
    assert json.loads(made.body) == {"inputs": "x", "parameters": {"max_new_tokens": 100}}


def test_a_plans_price_ceiling_keeps_large_models_out() -> None:
    ceiling = 1_000_000_000  # one dollar per million tokens
    assert order("/v1/chat/completions", chat(), ceiling)
    with pytest.raises(Refusal, match="Upgrade") as refused:
        order("/v1/chat/completions", chat(model=DEAR), ceiling)
    assert (refused.value.status, refused.value.code) == (403, "permission_denied")


@pytest.mark.parametrize("path", ["/v1/", "/v1/images", "/hf-inference/", "/hf-inference/x/y"])
def test_unknown_paths_are_404(path: str) -> None:
    with pytest.raises(Refusal) as refused:
        find_endpoint(path)
    assert refused.value.status == 404


def test_a_compressed_body_is_told_so() -> None:
    with pytest.raises(Refusal, match="compressed") as refused:
        order("/v1/chat/completions", gzip.compress(json.dumps(chat()).encode()))
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
