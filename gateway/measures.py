"""What a request itself tells of its size, in other units than tokens: images asked for, characters, seconds of sound.

Three forms say it in their own places: OpenAI's (`n`, `input`, `file`), Hugging Face's (`inputs`, or the body itself),
and on a provider's own path the provider's (fal-ai at the root, replicate within `input`).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

from billing.pricing import Unit
from gateway import errors, media
from gateway.dialects import IMAGE, SPEECH, TRANSCRIPTION

Fields = Mapping[str, Any]
# The names by which providers know how many images a request makes, and where text and sound are.
_COUNTS = ("n", "num_images", "num_outputs", "number_of_images", "batch_size")
_TEXTS = ("input", "inputs", "text", "prompt")
_SOUNDS = ("inputs", "audio_url", "audio", "file")
_IMAGE_TASKS = (IMAGE, "image-to-image")
_MOST_IMAGES = 8
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def measure(task: str, fields: Fields, body: bytes) -> tuple[dict[Unit, int], bool]:
    """Return (quantities, whether they are estimates); nothing for tasks that are priced otherwise.

    Refusal `invalid_request` for what cannot be measured: more images than a call may ask for, or sound that is
    only an address, whose length nobody here knows.
    """
    if task in _IMAGE_TASKS:
        return {Unit.IMAGE: _images(fields)}, False
    if task == SPEECH:
        return {Unit.CHARACTER: max(map(len, _strings(fields, _TEXTS)), default=0)}, False
    if task == TRANSCRIPTION:
        length, estimated = media.audio_microseconds(_sound(fields, body))
        return {Unit.AUDIO_SECOND: length}, estimated
    return {}, False


def _places(fields: Fields) -> Iterable[Fields]:
    return [fields, *(fields[name] for name in ("input", "parameters") if isinstance(fields.get(name), dict))]


def _images(fields: Fields) -> int:
    """How many are asked for: 1 where nobody says."""
    count = 1
    for place in _places(fields):
        for name in _COUNTS:
            value = place.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_IMAGES:
                raise errors.invalid_request(
                    f"`{name}` must be a whole number from 1 to {_MOST_IMAGES}.", name
                )
            count = max(count, value)
    return count


def _strings(fields: Fields, names: Iterable[str]) -> list[str]:
    return [place[name] for place in _places(fields) for name in names if isinstance(place.get(name), str)]


def _sound(fields: Fields, body: bytes) -> bytes:
    """The sound itself: a form's file, the base64 in a JSON body, or else the body."""
    if isinstance(fields.get("file"), bytes):
        return bytes(fields["file"])
    for text in _strings(fields, _SOUNDS):
        data = text.partition(";base64,")[2] if text.startswith("data:") else text
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            if _ADDRESS.match(text):
                words = "Send the sound itself, as base64 or as the body. Addresses are not fetched here."
                raise errors.invalid_request(words) from None
    return body
