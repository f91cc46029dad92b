"""text-generation on SmolLM2, in the form of Text Generation Inference (what huggingface_hub reads).

Parameter meanings and ranges follow TGI 3.3 (router/src/validation.rs, lib.rs): greedy unless a sampling
parameter is set, `return_full_text` true by default, one event per token when streamed, the last one with the
whole text. Two differences: a stop string is left out of the text, and the last event always carries
`details`, asked for or not.
"""

import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from gateway.local_model.engines import ENGINES
from gateway.local_model.errors import InvalidRequestError
from gateway.local_model.fields import Field, Json, check_filled_text, check_stops, pick_fields, refuse_fields
from gateway.local_model.headers import meter_headers
from gateway.local_model.models import CHAT_CONTEXT, DEFAULT_NEW_TOKENS
from gateway.local_model.openai_api import compute_seconds
from gateway.local_model.schema import check_schema
from gateway.local_model.sse import event, read_events, stream_answer

PARAMETERS = {
    "max_new_tokens": Field(int, low=1, high=CHAT_CONTEXT),
    "temperature": Field(float, above=0, high=100),
    "top_p": Field(float, above=0, high=1),
    "top_k": Field(int, low=1, high=100_000),
    "typical_p": Field(float, above=0, high=1),
    "repetition_penalty": Field(float, above=0, high=100),
    "frequency_penalty": Field(float, low=-2, high=2),
    "seed": Field(int, low=0, high=2**64 - 1),
    "do_sample": Field(bool),
    "return_full_text": Field(bool),
    "details": Field(bool),
    "grammar": Field(dict),
}
SAMPLING = ("temperature", "top_p", "top_k", "typical_p")
NOT_DONE = {
    "adapter_id": "Remove it; there are no adapters.",
    "decoder_input_details": "Remove it; only the tokens of the answer have details.",
    "top_n_tokens": "Remove it; use logprobs of a chat call instead.",
    "truncate": "Remove it, and send a shorter prompt.",
    "watermark": "Remove it.",
}
FINISH_REASONS = {"eos": "eos_token", "word": "stop_sequence"}
END_OF_TEXT = 2
SPECIAL_TOKENS = range(17)
"""SmolLM2's control tokens have the ids 0 (<|endoftext|>) to 16; 2 (<|im_end|>) ends an answer."""


@dataclass(frozen=True)
class Generation:
    """One checked call. `seed` is set when the call samples; `body` is what the engine gets."""

    prompt: str
    seed: int | None
    return_full_text: bool
    details: bool
    body: Json

    @property
    def prefix(self) -> str:
        return self.prompt if self.return_full_text else ""


def read_generation(body: Json) -> Generation:
    """Check a text-generation body and make the engine's from it. Raises InvalidRequestError."""
    prompt = check_filled_text("inputs", body.get("inputs"))
    given = body.get("parameters") or {}
    if not isinstance(given, dict):
        raise InvalidRequestError("`parameters` must be an object.", "parameters")
    refuse_fields(given, NOT_DONE)
    if given.get("best_of") not in (None, 1):
        raise InvalidRequestError("`best_of` must be 1. Call again for another answer.", "best_of")
    params = pick_fields(given, PARAMETERS)
    samples = params.get("do_sample", False) or any(name in params for name in SAMPLING)
    seed = params.get("seed", secrets.randbits(32)) if samples else None
    stream = pick_fields(body, {"stream": Field(bool)}).get("stream", False)
    engine_body = _engine_body(params, seed) | {
        "prompt": prompt,
        "stream": stream,
        "stop": check_stops(given.get("stop") or []),
    }
    return Generation(
        prompt, seed, params.get("return_full_text", True), params.get("details", False), engine_body
    )


def _engine_body(params: Json, seed: int | None) -> Json:
    """TGI's names as the engine's. Every default of the engine that TGI does not have is switched off."""
    body: Json = {
        "n_predict": params.get("max_new_tokens", DEFAULT_NEW_TOKENS),
        "temperature": 0.0 if seed is None else params.get("temperature", 1.0),
        "top_k": params.get("top_k", 0),
        "top_p": params.get("top_p", 1.0),
        "typical_p": params.get("typical_p", 1.0),
        "min_p": 0.0,
        "repeat_penalty": params.get("repetition_penalty", 1.0),
        "repeat_last_n": CHAT_CONTEXT,
        "frequency_penalty": params.get("frequency_penalty", 0.0),
        "return_tokens": True,
        "n_probs": 1,  # gives each token its id and logprob, and one event of its own
    }
    if seed is not None:
        body["seed"] = seed % (2**32 - 1)  # the engine's seed has 32 bits, and its highest value means "any"
    if "grammar" in params:
        body["json_schema"] = _schema(params["grammar"])
    return body


def _schema(grammar: Json) -> Json:
    if grammar.get("type") not in ("json", "json_schema"):
        raise InvalidRequestError("`grammar.type` must be json, with a JSON schema in `value`.", "grammar")
    return check_schema("grammar", grammar.get("value"))


async def generate_text(request: web.Request, body: Json) -> web.StreamResponse:
    """Answer one text-generation call, whole or as a stream."""
    call = read_generation(body)
    async with request.app[ENGINES].chat.call("/completion", call.body) as response:
        if call.body["stream"]:
            return await stream_answer(
                request, _events(response, call), meter_headers(characters=len(call.prompt))
            )
        answer = await response.json()
    headers = meter_headers(
        characters=len(call.prompt),
        seconds=compute_seconds(answer["timings"], 0.0),
        prompt_tokens=answer["tokens_evaluated"],
        generated_tokens=answer["tokens_predicted"],
    )
    return web.json_response([_whole_answer(answer, call)], headers=headers)


def _whole_answer(answer: Json, call: Generation) -> Json:
    result: Json = {"generated_text": call.prefix + answer["content"]}
    if call.details:
        tokens = [_token(token, token["token"]) for token in answer.get("completion_probabilities", [])]
        result["details"] = _finish(answer, call) | {"prefill": [], "tokens": tokens}
    return result


def _finish(answer: Json, call: Generation) -> Json:
    return {
        "finish_reason": FINISH_REASONS.get(answer["stop_type"], "length"),
        "generated_tokens": answer["tokens_predicted"],
        "seed": call.seed,
    }


def _token(probability: Json, text: str) -> Json:
    token_id = probability["id"]
    special = token_id in SPECIAL_TOKENS
    return {"id": token_id, "text": text, "logprob": probability["logprob"], "special": special}


async def _events(response: aiohttp.ClientResponse, call: Generation) -> AsyncGenerator[bytes, None]:
    """One event per token. Each is held until the next comes, because the last one carries the whole text."""
    held: Json = {"index": 0, "token": {"id": END_OF_TEXT, "text": "", "logprob": 0.0, "special": True}}
    text = ""
    async for chunk in read_events(response.content):
        text += chunk["content"]
        if chunk["stop"]:
            details = _finish(chunk, call) | {"input_length": chunk["tokens_evaluated"]}
            yield event(held | {"generated_text": call.prefix + text, "details": details})
            return
        for probability in chunk.get("completion_probabilities", []):
            if held["index"]:
                yield event(held | {"generated_text": None, "details": None})
            held = {"index": chunk["tokens_predicted"], "token": _token(probability, chunk["content"])}
