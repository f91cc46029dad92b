"""How to call a model for what it does: chat and embeddings in OpenAI's form, the rest in Hugging Face's."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.conf import settings

from gateway.dialects import CHAT, COMPLETION, EMBEDDING
from gateway.snippets import VARIABLE, Snippet, first_call

_TEXT = "Turnpike counts every call and charges what it used."
_QUESTION = {"question": "What is counted?", "context": _TEXT}
_LABELS = ["billing", "weather", "sport"]
_TABLE = {"query": "How many calls?", "table": {"Day": ["Mon", "Tue"], "Calls": ["12", "30"]}}


class _Task(NamedTuple):
    """How a task is asked: what stands in the call of huggingface_hub, and the body (a file's name: its bytes)."""

    arguments: str
    body: dict[str, Any] | str


# By the task's name at the Hub; huggingface_hub's method has the same name with underscores.
_TASKS: dict[str, _Task] = {
    "audio-classification": _Task('"speech.flac"', "speech.flac"),
    "automatic-speech-recognition": _Task('"speech.flac"', "speech.flac"),
    "fill-mask": _Task('"Every call is <mask>."', {"inputs": "Every call is <mask>."}),
    "image-classification": _Task('"photo.jpg"', "photo.jpg"),
    "image-segmentation": _Task('"photo.jpg"', "photo.jpg"),
    "image-to-text": _Task('"photo.jpg"', "photo.jpg"),
    "object-detection": _Task('"photo.jpg"', "photo.jpg"),
    "question-answering": _Task(
        f'question="{_QUESTION["question"]}", context="{_TEXT}"', {"inputs": _QUESTION}
    ),
    "sentence-similarity": _Task(
        f'"{_TEXT}", other_sentences=["Calls are counted."]',
        {"inputs": {"source_sentence": _TEXT, "sentences": ["Calls are counted."]}},
    ),
    "summarization": _Task(f'"{_TEXT}"', {"inputs": _TEXT}),
    "table-question-answering": _Task(
        f'query="{_TABLE["query"]}", table={_TABLE["table"]}', {"inputs": _TABLE}
    ),
    "text-classification": _Task(f'"{_TEXT}"', {"inputs": _TEXT}),
    "text-to-image": _Task('"A toll road at night"', {"inputs": "A toll road at night"}),
    "text-to-speech": _Task(f'"{_TEXT}"', {"inputs": _TEXT}),
    "token-classification": _Task(f'"{_TEXT}"', {"inputs": _TEXT}),
    "translation": _Task(f'"{_TEXT}"', {"inputs": _TEXT}),
    "zero-shot-classification": _Task(
        f'"{_TEXT}", candidate_labels={json.dumps(_LABELS)}',
        {"inputs": _TEXT, "parameters": {"candidate_labels": _LABELS}},
    ),
}
_WRITES = {"text-to-image": "picture.png", "text-to-speech": "speech.flac"}


def snippets_for(model_id: str, tasks: Iterable[str]) -> list[Snippet]:
    """Return the tabs for the first task that has an example; none where no task has one."""
    for task in tasks:
        if task in (CHAT, COMPLETION):
            return first_call(model_id)
        if task == EMBEDDING:
            return _embeddings(model_id)
        if task in _TASKS:
            return _hugging_face(model_id, task, _TASKS[task])
    return []


def _embeddings(model_id: str) -> list[Snippet]:
    base = settings.SITE_URL
    curl = f"""\
curl {base}/v1/embeddings \\
  -H "Authorization: Bearer ${VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model_id}", "input": "{_TEXT}"}}'"""
    python = f"""\
import os

from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key=os.environ["{VARIABLE}"])
answer = client.embeddings.create(model="{model_id}", input="{_TEXT}")
print(answer.data[0].embedding[:5])"""
    javascript = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base}/v1", apiKey: process.env.{VARIABLE} }});
const answer = await client.embeddings.create({{
  model: "{model_id}",
  input: "{_TEXT}",
}});
console.log(answer.data[0].embedding.slice(0, 5));"""
    return [
        {"label": "curl", "text": curl},
        {"label": "Python · openai", "text": python},
        {"label": "JavaScript · openai", "text": javascript},
        {"label": "Python · huggingface_hub", "text": _hub(model_id, EMBEDDING, f'"{_TEXT}"')},
    ]


def _hugging_face(model_id: str, task: str, how: _Task) -> list[Snippet]:
    return [
        {"label": "curl", "text": _curl(model_id, task, how.body)},
        {"label": "Python · huggingface_hub", "text": _hub(model_id, task, how.arguments)},
    ]


def _curl(model_id: str, task: str, body: dict[str, Any] | str) -> str:
    lines = [f"curl {_address(model_id)}", f'-H "Authorization: Bearer ${VARIABLE}"']
    if isinstance(body, str):
        lines.append(f"--data-binary @{body}")
    else:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body)}'"]
    if task in _WRITES:
        lines.append(f"-o {_WRITES[task]}")
    return " \\\n  ".join(lines)


def _hub(model_id: str, task: str, arguments: str) -> str:
    """The model's own address in place of its name: so the call comes here, whatever else is configured."""
    method = task.replace("-", "_")
    result = {"text-to-image": 'answer.save("picture.png")'}.get(task, "print(answer)")
    if task == "text-to-speech":
        result = 'open("speech.flac", "wb").write(answer)'
    return f"""\
import os

from huggingface_hub import InferenceClient

client = InferenceClient(
    model="{_address(model_id)}",
    api_key=os.environ["{VARIABLE}"],
)
answer = client.{method}({arguments})
{result}"""


def _address(model_id: str) -> str:
    return f"{settings.SITE_URL}/hf-inference/models/{model_id}"
