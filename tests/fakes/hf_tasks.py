"""A stand-in for Hugging Face's router: every hf-inference task, in the shape that the real one answers.

    POST /hf-inference/models/{org}/any-{task}[/pipeline/{task}]   that task's canned answer
    POST /v1/…, /{provider}/v1/…                                   OpenAI's other forms: images, speech, …
    POST …/chat/completions                                        as tests/fakes/upstream.py, words and all
    GET  /seen                                                     what came in, headers and all

Binary tasks take raw bytes or {"inputs": base64}; what is neither sound nor a picture gets the real one's 400.
A streamed text-generation whose inputs say `drop 2` breaks off after two tokens.
"""

import argparse
import base64
import binascii
import json
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from tests.fakes import upstream
from tests.fakes.media import picture as picture
from tests.fakes.media import sound as sound

Json = dict[str, Any] | list[Any]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_LABELS: Json = [{"label": "toll booth", "score": 0.9}, {"label": "bridge", "score": 0.1}]
_BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
# What each task answers; the shapes are those of hub-docs and of huggingface_hub's own recordings.
ANSWERS: Mapping[str, Json] = {
    "audio-classification": _LABELS,
    "audio-to-audio": [{"blob": _b64(sound(10)), "content-type": "audio/wav", "label": "toll"}],
    "automatic-speech-recognition": {"text": "pay the toll"},
    "document-question-answering": [{"answer": "toll", "score": 0.9, "start": 0, "end": 1}],
    "feature-extraction": [[0.25, 0.5, 0.75]],
    "fill-mask": [{"score": 0.9, "token": 7, "token_str": "toll", "sequence": "pay the toll"}],
    "image-classification": _LABELS,
    "image-segmentation": [{"label": "toll booth", "score": 0.9, "mask": _b64(picture())}],
    "image-to-text": [{"generated_text": "a toll booth"}],
    "object-detection": [{"label": "toll booth", "score": 0.9, "box": _BOX}],
    "question-answering": {"answer": "toll", "score": 0.9, "start": 0, "end": 4},
    "sentence-similarity": [0.5, 0.25],
    "summarization": [{"summary_text": "toll"}],
    "table-question-answering": {"answer": "toll", "coordinates": [[0, 0]], "cells": ["toll"], "aggregator": "NONE"},
    "tabular-classification": [7, 5],
    "text-classification": [_LABELS],
    "text-generation": [{"generated_text": "toll toll"}],
    "token-classification": [
        {"entity_group": "toll", "score": 0.9, "word": "toll", "start": 0, "end": 4}
    ],
    "translation": [{"translation_text": "toll"}],
    "visual-question-answering": [{"answer": "toll", "score": 0.9}],
    "zero-shot-classification": [{"label": "toll", "score": 0.9}, {"label": "free", "score": 0.1}],
    "zero-shot-image-classification": _LABELS,
}  # fmt: skip
BINARY_OUT: Mapping[str, Callable[[], tuple[bytes, str]]] = {
    "text-to-image": lambda: (picture(), "image/png"),
    "image-to-image": lambda: (picture(), "image/png"),
    "text-to-speech": lambda: (sound(100), "audio/wav"),
}
TASKS = frozenset(ANSWERS) | frozenset(BINARY_OUT)
BINARY_IN = frozenset(
    {"audio-classification", "audio-to-audio", "automatic-speech-recognition", "image-classification",
     "image-segmentation", "image-to-image", "image-to-text", "object-detection", "visual-question-answering",
     "zero-shot-image-classification"}
)  # fmt: skip
COMPUTE = {"x-compute-type": "cpu", "x-compute-time": "0.125"}
SEEN = web.AppKey("calls_seen", list[dict[str, Any]])


def make_app() -> web.Application:
    """Return the server."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SEEN] = []
    app[upstream.SEEN] = upstream.Seen()
    app.add_routes([web.get("/health", _health), web.get("/seen", _seen), web.post("/{path:.*}", _call)])
    return app


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _seen(request: web.Request) -> web.Response:
    return web.json_response(request.app[SEEN])


async def _call(request: web.Request) -> web.StreamResponse:
    body, path = await request.read(), request.path
    headers = {name.lower(): value for name, value in request.headers.items()}
    request.app[SEEN].append({"path": path, "headers": headers, "bytes": len(body)})
    if path.endswith("/chat/completions"):
        return await upstream.answer(request)
    for form, answer in OPENAI_FORMS.items():
        if path.endswith(form):
            return await answer(request, _json(body))
    task = path.rpartition("/pipeline/")[2] if "/pipeline/" in path else path.rpartition("/any-")[2]
    if task not in TASKS:
        return web.json_response({"error": f"Model {path} does not exist"}, status=404)
    if task in BINARY_IN and not _is_media(body):
        kind = "audio" if "audio" in task or "speech" in task else "image"
        return web.json_response({"error": f"cannot identify {kind} file"}, status=400)
    if task == "text-generation" and _json(body).get("stream"):
        return await _stream(request, str(_json(body).get("inputs")))
    if task in BINARY_OUT:
        data, kind = BINARY_OUT[task]()
        return web.Response(body=data, content_type=kind, headers=COMPUTE)
    return web.json_response(ANSWERS[task], headers=COMPUTE)


def _is_media(body: bytes) -> bool:
    """Raw bytes, or base64 in a JSON body's `inputs`, which may also be {"image": base64, …}."""
    if body[:1] == b"{":
        inputs = _json(body).get("inputs")
        try:
            body = base64.b64decode(
                str(inputs.get("image") if isinstance(inputs, dict) else inputs), validate=True
            )
        except (ValueError, binascii.Error):
            return False
    return body.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF", b"fLaC"))


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _stream(request: web.Request, inputs: str) -> web.StreamResponse:
    """Text Generation Inference's own stream: tokens, the last with the details."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "x-compute-type": "cpu"})
    await response.prepare(request)
    for number in range(2):
        token = {"id": number, "text": "toll ", "logprob": -0.1, "special": False}
        await _send(response, {"index": number, "token": token, "generated_text": None, "details": None})
    if inputs.startswith("drop"):
        assert request.transport is not None
        request.transport.abort()
        return response
    token = {"id": 3, "text": "end", "logprob": -0.1, "special": True}
    details = {"finish_reason": "length", "generated_tokens": 3, "input_length": 5, "seed": None}
    await _send(response, {"index": 2, "token": token, "generated_text": "toll toll end", "details": details})
    await response.write_eof()
    return response


async def _send(response: web.StreamResponse, document: dict[str, Any]) -> None:
    await response.write(b"data:" + json.dumps(document).encode() + b"\n\n")


async def _images(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    return web.json_response({"created": 1, "data": [{"b64_json": _b64(picture())}]})


async def _speech(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    return web.Response(body=sound(100), content_type="audio/wav")


async def _transcription(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    return web.json_response({"text": "pay the toll"})


async def _embeddings(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    """In base64 where it is asked for, as OpenAI's own clients do."""
    wanted = document.get("encoding_format") == "base64"
    vector = _b64(struct.pack("<3f", 0.25, 0.5, 0.75)) if wanted else [0.25, 0.5, 0.75]
    texts = document["input"] if isinstance(document["input"], list) else [document["input"]]
    rows = [{"object": "embedding", "index": number, "embedding": vector} for number in range(len(texts))]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return web.json_response({"object": "list", "model": document["model"], "data": rows, "usage": usage})


async def _completions(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"index": 0, "text": "toll toll", "finish_reason": "stop", "logprobs": None}
    whole = {
        "id": "c",
        "object": "text_completion",
        "created": 1,
        "model": document["model"],
        "choices": [choice],
    }
    if not document.get("stream"):
        return web.json_response(whole | {"usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await _send(response, whole)
    if "drop" in str(document["prompt"]):
        assert request.transport is not None
        request.transport.abort()
        return response
    await _send(response, whole | {"choices": [], "usage": usage})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _responses(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    text = {"type": "output_text", "text": "toll toll", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    whole = {
        "id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "x", "usage": usage,
        "output": [message], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    if not document.get("stream"):
        return web.json_response(whole)
    return await _stream_response(request, whole, drops="drop" in str(document.get("input")))


async def _stream_response(request: web.Request, whole: dict[str, Any], *, drops: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    delta = {"type": "response.output_text.delta", "delta": "toll ", "sequence_number": 1}
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
    await response.write(b"event: response.output_text.delta\n")
    await _send(response, delta | place)
    if drops:
        assert request.transport is not None
        request.transport.abort()
        return response
    await response.write(b"event: response.completed\n")
    await _send(response, {"type": "response.completed", "response": whole, "sequence_number": 2})
    await response.write_eof()
    return response


OPENAI_FORMS: Mapping[str, Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]] = {
    "/completions": _completions,
    "/embeddings": _embeddings,
    "/images/generations": _images,
    "/audio/speech": _speech,
    "/audio/transcriptions": _transcription,
    "/responses": _responses,
}


def main() -> None:
    """Run it: `python -m tests.fakes.hf_tasks --port 18030`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web.run_app(make_app(), host="127.0.0.1", port=parser.parse_args().port, print=None)


if __name__ == "__main__":
    main()
