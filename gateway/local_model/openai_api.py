"""The OpenAI forms: /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings."""

import base64
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from gateway.local_model.embeddings import check_texts
from gateway.local_model.engines import ENGINES, STARTED
from gateway.local_model.errors import ApiError
from gateway.local_model.fields import Json, read_object
from gateway.local_model.headers import meter_headers
from gateway.local_model.models import CHAT_MODEL, EMBEDDING_MODEL, SERVED_MODELS
from gateway.local_model.openai_fields import chat_body, completion_body, embedding_options
from gateway.local_model.sse import DONE, event, read_events, stream_answer

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"


def check_model(body: Json, served: str) -> None:
    """Raise ApiError 404 unless `model` is the one id that this path serves."""
    if body.get("model") != served:
        raise ApiError(
            404, "model_not_found", f"This path serves only the model '{served}'. Set `model` to it.", "model"
        )


async def list_models(request: web.Request) -> web.Response:
    """GET /v1/models: OpenAI's list, with each model's context (tokens of one call) and tasks."""
    rows = [
        {
            "id": model.id,
            "object": "model",
            "created": request.app[STARTED],
            "owned_by": model.id.split("/")[0],
            "context_length": model.context_length,
            "task": model.tasks[0],
            "tasks": model.tasks,
        }
        for model in SERVED_MODELS
    ]
    return web.json_response({"object": "list", "data": rows})


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    body = await read_object(request)
    check_model(body, CHAT_MODEL)
    return await answer_chat(request, body)


async def answer_chat(request: web.Request, body: Json) -> web.StreamResponse:
    """Check a chat body and answer it; the Hugging Face chat path comes in here, too."""
    engine_body = chat_body(body)
    characters = sum(len(message["content"]) for message in engine_body["messages"])
    return await _answer(request, CHAT_PATH, engine_body, characters)


async def completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/completions: one prompt, one answer."""
    body = await read_object(request)
    check_model(body, CHAT_MODEL)
    engine_body = completion_body(body)
    return await _answer(request, COMPLETION_PATH, engine_body, len(engine_body["prompt"]))


async def _answer(request: web.Request, path: str, body: Json, characters: int) -> web.StreamResponse:
    engine = request.app[ENGINES].chat
    async with engine.call(path, body) as response:
        if body.get("stream"):
            # Chat events go through byte for byte; completion events need one change, see below.
            chunks = response.content.iter_any() if path == CHAT_PATH else _completion_events(response, body)
            return await stream_answer(request, aiter(chunks), meter_headers(characters=characters))
        start = time.perf_counter()
        raw = await response.read()
    return _whole_answer(raw, characters, time.perf_counter() - start)


def _whole_answer(raw: bytes, characters: int, waited: float) -> web.Response:
    answer = json.loads(raw)
    usage, timings = answer["usage"], answer.get("timings", {})
    headers = meter_headers(
        characters=characters,
        seconds=compute_seconds(timings, waited),
        prompt_tokens=usage["prompt_tokens"],
        generated_tokens=usage["completion_tokens"],
    )
    return web.Response(body=raw, content_type="application/json", headers=headers)


def compute_seconds(timings: Json, otherwise: float) -> float:
    """Seconds that the engine worked on the prompt and the answer, from its own `timings` (milliseconds)."""
    if "prompt_ms" not in timings:
        return otherwise
    return float(timings["prompt_ms"] + timings["predicted_ms"]) / 1000


async def _completion_events(response: aiohttp.ClientResponse, body: Json) -> AsyncGenerator[bytes, None]:
    """The engine puts usage on the last text chunk, asked or not; OpenAI sends it in a chunk of its own, if
    asked.
    """
    asked = body.get("stream_options", {}).get("include_usage") is True
    async for payload in read_events(response.content):
        usage = payload.pop("usage", None)
        yield event(payload)
        if usage and asked:
            yield event({**payload, "choices": [], "usage": usage})
    yield DONE


async def embeddings(request: web.Request) -> web.Response:
    """POST /v1/embeddings. `input_type` (query, passage) picks E5's prefix; OpenAI has no such field, so
    query is the default.
    """
    body = await read_object(request)
    check_model(body, EMBEDDING_MODEL)
    texts, options = check_texts("input", body.get("input")), embedding_options(body)
    result = await request.app[ENGINES].embedder.embed(texts, is_query=options.is_query)
    vectors: list[Any] = [
        base64.b64encode(row.astype("<f4").tobytes()).decode() if options.base64 else row
        for row in result.vectors
    ]
    answer = {
        "object": "list",
        "model": EMBEDDING_MODEL,
        "data": [
            {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
    }
    headers = meter_headers(
        characters=sum(map(len, texts)),
        seconds=result.seconds,
        prompt_tokens=result.tokens,
        generated_tokens=0,
    )
    return json_answer(answer, headers)


def json_answer(answer: object, headers: dict[str, str]) -> web.Response:
    """JSON with numpy rows written as they are: a float32 keeps its own shortest digits."""
    raw = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=raw, content_type="application/json", headers=headers)
