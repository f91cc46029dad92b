"""Which provider does which task by its own payload, and what is special about each. To add one: a row, a test.

The payloads are huggingface_hub's (`inference/_providers`, read at 2.4.0). What is written here is what its
helpers do on the network, which we do ourselves: where a job is asked after, where its result lies, on which hosts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

Place = tuple[str | int, ...]  # keys and indexes, from the outside in


class Kind(Enum):
    """What a task takes."""

    TEXT = "text"
    IMAGE = "image"
    SOUND = "audio"


@dataclass(frozen=True, slots=True)
class Poll:
    """How a job is asked after."""

    ask: Callable[[dict[str, Any]], str]  # path, from the first answer
    status: Place
    pending: frozenset[str]
    done: str
    then: Callable[[dict[str, Any]], str] | None = None  # path of the result, where the status is not it


@dataclass(frozen=True, slots=True)
class Row:
    """One task at one provider."""

    takes: Kind = Kind.TEXT
    file: Place = ()  # where the answer names the result's file. Empty: the helper reads the answer
    poll: Poll | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """What is the same for all tasks of a provider."""

    tasks: Mapping[str, Row]
    # Where result files are, and everything below: as seen in public examples of its answers.
    hosts: tuple[str, ...] = ()
    seconds: Place = ()  # where an answer says how long it was computed
    per_second: int = 1  # 1000 where that is in milliseconds


def _path(url: Any) -> str:
    return urlsplit(str(url)).path


_FAL = Poll(
    ask=lambda first: f"{_path(first['response_url'])}/status?_subdomain=queue",
    status=("status",),
    pending=frozenset({"IN_QUEUE", "IN_PROGRESS"}),
    done="COMPLETED",
    then=lambda first: f"{_path(first['response_url'])}?_subdomain=queue",
)
_WAVESPEED = Poll(
    ask=lambda first: _path(first["data"]["urls"]["get"]),
    status=("data", "status"),
    pending=frozenset({"created", "processing"}),
    done="completed",
)
_ZAI = Poll(
    ask=lambda first: f"/api/paas/v4/async-result/{first['id']}",
    status=("task_status",),
    pending=frozenset({"PROCESSING"}),
    done="SUCCESS",
)
_OUTPUTS: Place = ("data", "outputs", 0)

PROVIDERS: Mapping[str, Provider] = {
    "deepinfra": Provider(
        {
            "automatic-speech-recognition": Row(Kind.SOUND),
            "feature-extraction": Row(),
            "text-to-speech": Row(),
        }
    ),
    "fal-ai": Provider(
        {
            "automatic-speech-recognition": Row(Kind.SOUND),
            "image-segmentation": Row(Kind.IMAGE, ("image", "url"), _FAL),
            "image-to-image": Row(Kind.IMAGE, ("images", 0, "url"), _FAL),
            "image-to-video": Row(Kind.IMAGE, ("video", "url"), _FAL),
            "text-to-image": Row(file=("images", 0, "url")),
            "text-to-speech": Row(file=("audio", "url")),
            "text-to-video": Row(file=("video", "url"), poll=_FAL),
        },
        hosts=("fal.media",),
        seconds=("timings", "inference"),
    ),
    "novita": Provider(
        {"text-to-video": Row(file=("video", "video_url"))},
        hosts=("novita.ai", "faas-output-video.s3.ap-southeast-1.amazonaws.com"),
    ),
    "nscale": Provider({"text-to-image": Row()}),
    # `Prefer: wait` holds the answer for up to a minute; a job that takes longer has timed out, as in the client.
    "replicate": Provider(
        {
            "automatic-speech-recognition": Row(Kind.SOUND),
            "image-to-image": Row(Kind.IMAGE, ("output",)),
            "text-to-image": Row(file=("output",)),
            "text-to-speech": Row(file=("output",)),
            "text-to-video": Row(file=("output",)),
        },
        hosts=("replicate.delivery",),
        seconds=("metrics", "predict_time"),
    ),
    "scaleway": Provider({"feature-extraction": Row()}),
    # Not its videos: on which hosts they lie is documented nowhere.
    "together": Provider(
        {
            "feature-extraction": Row(),
            "image-to-image": Row(Kind.IMAGE),
            "text-to-image": Row(),
            "text-to-speech": Row(),
        }
    ),
    "wavespeed": Provider(
        {
            "image-to-image": Row(Kind.IMAGE, _OUTPUTS, _WAVESPEED),
            "image-to-video": Row(Kind.IMAGE, _OUTPUTS, _WAVESPEED),
            "text-to-image": Row(file=_OUTPUTS, poll=_WAVESPEED),
            "text-to-video": Row(file=_OUTPUTS, poll=_WAVESPEED),
        },
        hosts=("wavespeed.ai", "d1q70pf5vjeyhc.cloudfront.net"),
        seconds=("data", "timings", "inference"),
        per_second=1000,
    ),
    "zai-org": Provider(
        {"text-to-image": Row(file=("image_result", 0, "url"), poll=_ZAI)}, hosts=("z.ai", "bigmodel.cn")
    ),
}


def takes(provider: str, task: str) -> bool:
    """Tell whether a provider's own form of a task is known here."""
    return provider in PROVIDERS and task in PROVIDERS[provider].tasks


def providers_of(task: str) -> list[str]:
    """Return the providers that `takes` is true of, by name."""
    return [name for name in PROVIDERS if takes(name, task)]


def found_at(document: Any, place: Place) -> Any:
    """Return what lies at `place` in a provider's answer, or None."""
    for step in place:
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and len(document) > step else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document
