"""curl, as model pages show it: JSON with -d, files with --data-binary, forms with -F."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.clients.drivers.common import Feature, Wish, run
from tests.fakes.media import picture, sound

MODEL = "tests/any-openai"
TABLE = {"road": ["toll", "free"]}
TEXT = "pay the toll"
_AS_BASE64 = base64.b64encode(picture()).decode()

TEXT_TASKS: Mapping[str, dict[str, Any]] = {
    "document-question-answering": {"inputs": {"question": "what?", "image": _AS_BASE64}},
    "feature-extraction": {"inputs": TEXT},
    "fill-mask": {"inputs": "pay the <mask>"},
    "image-to-image": {"inputs": _AS_BASE64, "parameters": {"prompt": TEXT}},
    "question-answering": {"inputs": {"question": "what?", "context": TEXT}},
    "sentence-similarity": {"inputs": {"source_sentence": TEXT, "sentences": ["a", "b"]}},
    "summarization": {"inputs": TEXT},
    "table-question-answering": {"inputs": {"query": "what?", "table": TABLE}},
    "tabular-classification": {"table": TABLE},
    "text-classification": {"inputs": TEXT},
    "text-generation": {"inputs": TEXT, "parameters": {"max_new_tokens": 3}},
    "text-to-image": {"inputs": TEXT},
    "text-to-speech": {"inputs": TEXT},
    "token-classification": {"inputs": TEXT},
    "translation": {"inputs": TEXT},
    "visual-question-answering": {"inputs": _AS_BASE64, "question": TEXT, "image": _AS_BASE64},
    "zero-shot-classification": {"inputs": TEXT, "parameters": {"candidate_labels": ["toll", "free"]}},
    "zero-shot-image-classification": {
        "inputs": _AS_BASE64,
        "parameters": {"candidate_labels": ["toll booth"]},
    },
}
FILE_TASKS: Mapping[str, Callable[[], bytes]] = {
    "audio-classification": sound,
    "audio-to-audio": sound,
    "automatic-speech-recognition": sound,
    "image-classification": picture,
    "image-segmentation": picture,
    "image-to-text": picture,
    "object-detection": picture,
}


class Refused(Exception):
    """curl ended with an error, or its stream told of one."""


def curl(wish: Wish, url: str, *options: str) -> str:
    """Run curl; raise what it prints where it ends with an exit code (22: the status was 400 or above)."""
    command = ["curl", "-sS", "-N", "--fail-with-body", "--max-time", "60"]
    command += ["-H", f"Authorization: Bearer {wish.key}", *options, url]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False)
    shown = done.stdout.decode("latin-1")
    if done.returncode or '"finish_reason":"error"' in shown or '"error_type"' in shown:
        raise Refused(f"exit code {done.returncode}, {shown} {done.stderr.decode()}")
    return shown


def post(wish: Wish, url: str, document: dict[str, Any]) -> str:
    """Send JSON."""
    return curl(wish, url, "-H", "Content-Type: application/json", "-d", json.dumps(document))


def chat(wish: Wish, *, stream: bool = False) -> str:
    messages = [{"role": "user", "content": wish.words}]
    shown = post(
        wish, f"{wish.url}/v1/chat/completions", {"model": MODEL, "messages": messages, "stream": stream}
    )
    if not stream:
        return shown
    events = [line.removeprefix("data: ") for line in shown.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in events)


def embeddings(wish: Wish) -> str:
    return post(wish, f"{wish.url}/v1/embeddings", {"model": MODEL, "input": ["toll"]})


def models(wish: Wish) -> str:
    return curl(wish, f"{wish.url}/v1/models")


def transcription(wish: Wish) -> str:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        Path(file.name).write_bytes(sound())
        return curl(
            wish, f"{wish.url}/v1/audio/transcriptions", "-F", f"model={MODEL}", "-F", f"file=@{file.name}"
        )


def text_generation_stream(wish: Wish) -> str:
    return post(wish, wish.task_url("text-generation"), {"inputs": wish.words, "stream": True})


def text_task(wish: Wish) -> str:
    return post(wish, wish.task_url(wish.feature), TEXT_TASKS[wish.feature])


def file_task(wish: Wish, task: str = "", content_type: str = "") -> str:
    """Send a file as it is. Without a Content-Type of its own, curl says that it is a form."""
    task = task or wish.feature
    kind = content_type or ("image/png" if task.startswith(("image", "object")) else "audio/wav")
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(FILE_TASKS[task]())
        options = [] if content_type == "none" else ["-H", f"Content-Type: {kind}"]
        return curl(wish, wish.task_url(task), *options, "--data-binary", f"@{file.name}")


if __name__ == "__main__":
    features: dict[str, Feature] = dict.fromkeys(TEXT_TASKS, text_task)
    features |= dict.fromkeys(FILE_TASKS, file_task)
    features |= {
        "chat": chat,
        "stream": partial(chat, stream=True),
        "embeddings": embeddings,
        "models": models,
        "transcription": transcription,
        "text-generation stream": text_generation_stream,
        "raw bytes": partial(file_task, task="image-classification", content_type="none"),
    }
    run(features)
