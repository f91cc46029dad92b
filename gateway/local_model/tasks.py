"""The Hugging Face paths: which model, which task, then the task's own module."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.local_model.embedding_tasks import classify, compare_sentences, extract_features
from gateway.local_model.errors import ApiError
from gateway.local_model.fields import Json, read_object
from gateway.local_model.models import CHAT_MODEL, EMBEDDING_MODEL, SERVED_MODELS, ServedModel
from gateway.local_model.openai_api import answer_chat
from gateway.local_model.text_generation import generate_text

Task = Callable[[web.Request, Json], Awaitable[web.StreamResponse]]

TASKS: dict[str, Task] = {
    "text-generation": generate_text,
    "feature-extraction": extract_features,
    "sentence-similarity": compare_sentences,
    "zero-shot-classification": classify,
}


def _named_model(request: web.Request) -> ServedModel:
    name = f"{request.match_info['org']}/{request.match_info['name']}"
    for model in SERVED_MODELS:
        if model.id == name:
            return model
    served = " and ".join(model.id for model in SERVED_MODELS)
    raise ApiError(404, "model_not_found", f"Model {name} is not served here. Served are {served}.")


def _refuse_task(model: ServedModel, task: str) -> ApiError:
    return ApiError(
        400, "task_not_supported", f"{model.id} does not do {task}. It does {', '.join(model.tasks)}."
    )


def guess_task(model: ServedModel, body: Json) -> str:
    """The task of a body that came without `/pipeline/{task}`: told by its shape, or the model's first."""
    parameters = body.get("parameters")
    inputs = body.get("inputs")
    if model.id == EMBEDDING_MODEL:
        if isinstance(parameters, dict) and "candidate_labels" in parameters:
            return "zero-shot-classification"
        if isinstance(inputs, dict) or "source_sentence" in body:
            return "sentence-similarity"
    return model.tasks[0]


async def run_task(request: web.Request) -> web.StreamResponse:
    """POST /models/{org}/{name} and /models/{org}/{name}/pipeline/{task}."""
    model = _named_model(request)
    body = await read_object(request)
    task = request.match_info.get("task") or guess_task(model, body)
    if task not in model.tasks:
        raise _refuse_task(model, task)
    return await TASKS[task](request, body)


async def run_chat(request: web.Request) -> web.StreamResponse:
    """POST /models/{org}/{name}/v1/chat/completions. The path names the model: clients fill `model` with
    anything.
    """
    model = _named_model(request)
    if model.id != CHAT_MODEL:
        raise _refuse_task(model, "chat")
    return await answer_chat(request, await read_object(request))
