"""The paths that take calls, and what each means. To add one: a row here, a class in gateway/api.py, a test."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from gateway import dialects, errors
from gateway.errors import Words

# OpenAI's paths: the task, the field that the body must have, and whether the body is a form.
_OPENAI: dict[str, tuple[str, str, bool]] = {
    "/v1/chat/completions": (dialects.CHAT, "messages", False),
    "/v1/completions": (dialects.COMPLETION, "prompt", False),
    "/v1/embeddings": (dialects.EMBEDDING, "input", False),
    "/v1/responses": (dialects.RESPONSES, "input", False),
    "/v1/images/generations": (dialects.IMAGE, "prompt", False),
    "/v1/audio/speech": (dialects.SPEECH, "input", False),
    "/v1/audio/transcriptions": (dialects.TRANSCRIPTION, "file", True),
}


_BELOW = re.compile(r"(/[\w.:@~+-]+)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that takes calls. `task`, `model_id` and `provider` are known where the path says them."""

    path: str  # as it is metered: without names of models
    words: Words  # whose errors it speaks
    task: str | None = None
    model_id: str | None = None
    needs: str | None = None  # the field that the body must have
    openai_form: bool = False
    multipart: bool = False
    provider: str = ""
    raw_path: str = ""  # below /{provider}: passed on as it is

    @property
    def form(self) -> tuple[bool, bool, bool, bool]:
        """What ways are chosen by, beside model and task."""
        return self.openai_form, self.task is not None, self.model_id is not None, bool(self.raw_path)


_AT_OUR_ROOT = {
    path: Endpoint(path, Words.OPENAI, task, None, needs, openai_form=True, multipart=multipart)
    for path, (task, needs, multipart) in _OPENAI.items()
}


def find_endpoint(path: str, providers: Collection[str] = ()) -> Endpoint:
    """Return what `path` means. Refusal `unknown_endpoint`."""
    if endpoint := _AT_OUR_ROOT.get(path):
        return endpoint
    if path.startswith("/hf-inference/"):
        return _hugging_face(path.removeprefix("/hf-inference/"))
    provider, _, rest = path.removeprefix("/").partition("/")
    if provider in providers and rest:
        return _provider(provider, "/" + rest)
    raise errors.unknown_endpoint(path)


def _hugging_face(path: str) -> Endpoint:
    if path.startswith("pipeline/"):  # the legacy form: pipeline/{task}/{model}
        task, _, model_id = path.removeprefix("pipeline/").partition("/")
        return _hf_task(model_id, task)
    if not path.startswith("models/"):
        raise errors.unknown_endpoint("/hf-inference/" + path)
    path = path.removeprefix("models/")
    for form, (task, needs, multipart) in _OPENAI.items():
        if path.endswith(form):
            model_id = path.removesuffix(form)
            where = "/hf-inference" + form
            return Endpoint(
                where, Words.HUGGING_FACE, task, model_id, needs, openai_form=True, multipart=multipart
            )
    model_id, _, task = path.partition("/pipeline/")
    return _hf_task(model_id, task or None)


def _hf_task(model_id: str, task: str | None) -> Endpoint:
    return Endpoint("/hf-inference/models", Words.HUGGING_FACE, task, model_id)


def _provider(provider: str, raw_path: str) -> Endpoint:
    """A provider's own paths, as behind the router. The ones that end like OpenAI's are read like OpenAI's.

    Refusal `unknown_endpoint` for a path that would lead out of the provider's own, with our token.
    """
    if not _BELOW.fullmatch(raw_path) or not {".", ".."}.isdisjoint(raw_path.split("/")):
        raise errors.unknown_endpoint(f"/{provider}{raw_path}")
    for form, (task, needs, multipart) in _OPENAI.items():
        if raw_path.endswith(form.removeprefix("/v1")):
            return Endpoint(
                f"/{provider}{form}", Words.OPENAI, task, None, needs,
                openai_form=True, multipart=multipart, provider=provider, raw_path=raw_path,
            )  # fmt: skip
    return Endpoint(f"/{provider}", Words.OPENAI, provider=provider, raw_path=raw_path)
