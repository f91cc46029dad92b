"""What each kind of upstream speaks: which path a task has there, and what its figures mean.

Facts per dialect, with where they were read, so that a new upstream is a row here and nowhere else:

    local       our own server: OpenAI's paths, and /models/{id}[/pipeline/{task}] as on hf-inference
    hf-router   /v1/chat/completions, /v1/responses; /{provider}/… ; hf-inference as documented for `hf-inference`
    tgi         OpenAI's paths for chat and completions; text-generation at `/`. Seconds in x-compute-time
    tei         /v1/embeddings; /embed, /similarity, /rerank, /predict. MILLISECONDS in x-compute-time
    openai      vLLM, transformers serve: OpenAI's paths only
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway import errors, provider_tasks
from gateway.models import Dialect

CHAT = "conversational"
COMPLETION = "text-generation"
EMBEDDING = "feature-extraction"
RESPONSES = "responses"
TRANSCRIPTION = "automatic-speech-recognition"
SPEECH = "text-to-speech"
IMAGE = "text-to-image"
HF_INFERENCE = "hf-inference"  # the provider that is Hugging Face itself

OPENAI_PATHS: Mapping[str, str] = {
    CHAT: "/v1/chat/completions",
    COMPLETION: "/v1/completions",
    EMBEDDING: "/v1/embeddings",
    RESPONSES: "/v1/responses",
    TRANSCRIPTION: "/v1/audio/transcriptions",
    SPEECH: "/v1/audio/speech",
    IMAGE: "/v1/images/generations",
}
_TEI_PATHS = {"feature-extraction": "/embed", "sentence-similarity": "/similarity", "text-ranking": "/rerank"}
_TEI_PATHS |= {"text-classification": "/predict"}
# OpenAI's forms that each dialect has.
_HAS: Mapping[Dialect, frozenset[str]] = {
    Dialect.LOCAL: frozenset({CHAT, COMPLETION, EMBEDDING}),
    Dialect.HF_ROUTER: frozenset({CHAT, RESPONSES}),
    Dialect.TGI: frozenset({CHAT, COMPLETION}),
    Dialect.TEI: frozenset({EMBEDDING}),
    Dialect.OPENAI: frozenset(OPENAI_PATHS),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a call wants of an upstream: a task, in OpenAI's form or in Hugging Face's."""

    task: str
    model_id: str
    openai_form: bool
    names_task: bool  # the caller's own path said /pipeline/{task}
    provider: str  # behind the router; empty where the router chooses
    names_model: bool = False  # the caller's own path said /hf-inference/models/{id}


def can(dialect: Dialect, target: Target) -> bool:
    """Tell whether the dialect has a path for this."""
    if target.openai_form:
        return target.task in _HAS[dialect] or (dialect is Dialect.HF_ROUTER and bool(target.provider))
    if dialect is Dialect.TEI:
        return target.task in _TEI_PATHS
    if dialect is Dialect.TGI:
        return target.task == COMPLETION
    # Behind the router only hf-inference takes Hugging Face's own form; for others it is translated.
    return dialect is Dialect.LOCAL or (
        dialect is Dialect.HF_ROUTER
        and (target.provider in ("", HF_INFERENCE) or provider_tasks.takes(target.provider, target.task))
    )


def in_own_form(dialect: Dialect, target: Target) -> bool:
    """Tell whether Hugging Face's form is translated into a provider's own, by provider_tasks."""
    others = dialect is Dialect.HF_ROUTER and target.provider not in ("", HF_INFERENCE)
    return others and not target.openai_form


def path_of(dialect: Dialect, target: Target) -> str:
    """Return the path at the upstream. Refusal `invalid_request` where there is none."""
    if not can(dialect, target):
        raise errors.invalid_request(
            f"{target.model_id}'s server does not take this form of {target.task}.", "model"
        )
    if target.openai_form:
        return _openai_path(dialect, target)
    if dialect is Dialect.TEI:
        return _TEI_PATHS[target.task]
    if dialect is Dialect.TGI:
        return "/"
    base = "/hf-inference/models/" if dialect is Dialect.HF_ROUTER else "/models/"
    path = base + target.model_id
    return f"{path}/pipeline/{target.task}" if target.names_task else path


def at_router_root(dialect: Dialect, target: Target) -> bool:
    """Tell whether the call goes to the router's root, where the model's name carries the provider."""
    has = dialect is Dialect.HF_ROUTER and target.openai_form and target.task in _HAS[dialect]
    return has and not stays_at_model(dialect, target)


def stays_at_model(dialect: Dialect, target: Target) -> bool:
    """Tell whether the call stays at hf-inference's own address of the model, as the caller wrote it."""
    return dialect is Dialect.HF_ROUTER and target.names_model and target.provider in ("", "hf-inference")


def _openai_path(dialect: Dialect, target: Target) -> str:
    path = OPENAI_PATHS[target.task]
    if stays_at_model(dialect, target):
        return f"/hf-inference/models/{target.model_id}{path}"
    if dialect is Dialect.HF_ROUTER and target.task not in _HAS[dialect]:
        # The router's root has chat only; a provider's own base has the rest.
        if target.provider == HF_INFERENCE:
            return f"/hf-inference/models/{target.model_id}{path}"
        return f"/{target.provider}{path}"
    return path


def health_path(dialect: Dialect) -> str:
    """Return a path that answers quickly and costs nothing; vLLM and the router have the list of models for it."""
    return "/v1/models" if dialect in (Dialect.HF_ROUTER, Dialect.OPENAI) else "/health"


def microseconds_per_unit(dialect: Dialect) -> int:
    """Return what 1 in the dialect's x-compute-time is, in microseconds: TEI counts milliseconds, others seconds."""
    return 1_000 if dialect is Dialect.TEI else 1_000_000
