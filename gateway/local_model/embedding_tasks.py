"""feature-extraction, sentence-similarity and zero-shot-classification on multilingual-e5-small."""

from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from gateway.local_model.embeddings import Embedded, Side, check_texts
from gateway.local_model.engines import ENGINES
from gateway.local_model.errors import InvalidRequestError
from gateway.local_model.fields import Field, Json, check_filled_text, pick_fields
from gateway.local_model.headers import meter_headers
from gateway.local_model.models import EMBEDDING_DIMENSIONS
from gateway.local_model.openai_api import json_answer

TEMPERATURE = 0.01
"""What a difference in cosine is divided by before the softmax: the temperature that E5 was trained with
(model card, FAQ 3, which is also why its cosines lie between 0.7 and 1.0).
"""

MAX_LABELS = 64
DEFAULT_TEMPLATE = "This example is {}."


def _answer(answer: object, texts: list[str], result: Embedded) -> web.Response:
    headers = meter_headers(
        characters=sum(map(len, texts)),
        seconds=result.seconds,
        prompt_tokens=result.tokens,
        generated_tokens=0,
    )
    return json_answer(answer, headers)


async def extract_features(request: web.Request, body: Json) -> web.Response:
    """A string gives one list of 384 numbers, a list of strings a list of such lists. Options stand beside
    `inputs`.
    """
    texts = check_texts("inputs", body.get("inputs"))
    is_query, truncate = _feature_options(body)
    result = await request.app[ENGINES].embedder.embed(texts, is_query=is_query, truncate=truncate)
    rows: Any = result.vectors[0] if isinstance(body["inputs"], str) else result.vectors
    return _answer(rows, texts, result)


def _feature_options(body: Json) -> tuple[bool, Side | None]:
    options = pick_fields(body, {"normalize": Field(bool), "truncate": Field(bool)})
    if not options.get("normalize", True):
        raise InvalidRequestError(
            "This model gives vectors of length 1 only. Remove `normalize`.", "normalize"
        )
    if body.get("prompt_name") not in (None, "query", "passage"):
        raise InvalidRequestError("`prompt_name` must be query or passage.", "prompt_name")
    if body.get("dimensions") not in (None, EMBEDDING_DIMENSIONS):
        raise InvalidRequestError(
            f"This model has {EMBEDDING_DIMENSIONS} dimensions. Remove `dimensions`.", "dimensions"
        )
    if body.get("encoding_format") not in (None, "float"):
        raise InvalidRequestError(
            "`encoding_format` must be float here; /v1/embeddings has base64.", "encoding_format"
        )
    side = body.get("truncation_direction") or "right"
    if not isinstance(side, str) or side.lower() not in ("left", "right"):
        raise InvalidRequestError("`truncation_direction` must be left or right.", "truncation_direction")
    cut: Side = "left" if side.lower() == "left" else "right"
    return body.get("prompt_name") != "passage", cut if options.get("truncate") else None


async def compare_sentences(request: web.Request, body: Json) -> web.Response:
    """One cosine per sentence. Older clients put the two fields beside `inputs` instead of into it."""
    inputs = body.get("inputs") or body
    if not isinstance(inputs, dict):
        raise InvalidRequestError(
            "`inputs` must be an object with `source_sentence` and `sentences`.", "inputs"
        )
    source = check_filled_text("source_sentence", inputs.get("source_sentence"))
    if isinstance(inputs.get("sentences"), str):
        raise InvalidRequestError("`sentences` must be a list of strings.", "sentences")
    texts = [source, *check_texts("sentences", inputs.get("sentences"))]
    result = await request.app[ENGINES].embedder.embed(texts)
    return _answer(result.vectors[1:] @ result.vectors[0], texts, result)


async def classify(request: web.Request, body: Json) -> web.Response:
    """Score each candidate label by how near its sentence lies to the text; highest first."""
    text = check_filled_text("inputs", body.get("inputs"))
    labels, template, multi_label = _read_labels(body.get("parameters"))
    neutral = template.replace("{}", "")
    texts = [text, neutral, *(template.replace("{}", label) for label in labels)]
    result = await request.app[ENGINES].embedder.embed(texts)
    cosines = result.vectors[1:] @ result.vectors[0]
    scores = independent_scores(cosines[1:], cosines[0]) if multi_label else shared_scores(cosines[1:])
    order = np.argsort(-scores, kind="stable")
    return _answer(
        [{"label": labels[index], "score": float(scores[index])} for index in order], texts, result
    )


def _read_labels(parameters: Any) -> tuple[list[str], str, bool]:
    if not isinstance(parameters, dict):
        raise InvalidRequestError("`parameters` must be an object with `candidate_labels`.", "parameters")
    options = pick_fields(parameters, {"multi_label": Field(bool), "hypothesis_template": Field(str)})
    labels = parameters.get("candidate_labels")
    if isinstance(labels, str):
        labels = [label.strip() for label in labels.split(",")]
    labels = check_texts("candidate_labels", labels)
    if len(labels) > MAX_LABELS or len(set(labels)) < len(labels):
        raise InvalidRequestError(
            f"`candidate_labels` must be at most {MAX_LABELS} different labels.", "candidate_labels"
        )
    template = options.get("hypothesis_template", DEFAULT_TEMPLATE)
    if "{}" not in template:
        raise InvalidRequestError(
            "`hypothesis_template` must hold {} where the label goes.", "hypothesis_template"
        )
    return labels, template, options.get("multi_label", False)


def shared_scores(cosines: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax: the labels share one. `cosines` is (labels,)."""
    weights = np.exp((cosines.astype(np.float64) - cosines.max()) / TEMPERATURE)
    scores: NDArray[np.float64] = weights / weights.sum()
    return scores


def independent_scores(cosines: NDArray[np.float32], neutral: float) -> NDArray[np.float64]:
    """Each label alone, 0 to 1: is it nearer than the template without a label, and than the average label?

    There is no entailment model behind it as there is on Hugging Face. The average label is in it because any
    label in the text's own language lies nearer than a template in another one.
    """
    midpoint = max(float(neutral), float(cosines.mean())) if len(cosines) > 1 else float(neutral)
    scores: NDArray[np.float64] = 1 / (1 + np.exp((midpoint - cosines.astype(np.float64)) / TEMPERATURE))
    return scores
