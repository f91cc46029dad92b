"""Every hf-inference task as huggingface_hub calls it, for the plain and the async client alike."""

import asyncio
import inspect
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

from tests.clients.drivers.common import Feature, Wish, plain
from tests.fakes.media import picture, sound

TABLE = {"road": ["toll", "free"]}
TEXT = "pay the toll"
Call = Callable[[Any], Any]

TASKS: Mapping[str, Call] = {
    "audio-classification": lambda client: client.audio_classification(sound()),
    "audio-to-audio": lambda client: client.audio_to_audio(sound()),
    "automatic-speech-recognition": lambda client: client.automatic_speech_recognition(sound()),
    "document-question-answering": lambda client: client.document_question_answering(picture(), TEXT),
    "feature-extraction": lambda client: client.feature_extraction(TEXT),
    "fill-mask": lambda client: client.fill_mask("pay the <mask>"),
    "image-classification": lambda client: client.image_classification(picture()),
    "image-segmentation": lambda client: client.image_segmentation(picture()),
    "image-to-image": lambda client: client.image_to_image(picture(), prompt=TEXT),
    "image-to-text": lambda client: client.image_to_text(picture()),
    "object-detection": lambda client: client.object_detection(picture()),
    "question-answering": lambda client: client.question_answering(question="what?", context=TEXT),
    "sentence-similarity": lambda client: client.sentence_similarity(TEXT, other_sentences=["a", "b"]),
    "summarization": lambda client: client.summarization(TEXT),
    "table-question-answering": lambda client: client.table_question_answering(TABLE, "what?"),
    "tabular-classification": lambda client: client.tabular_classification(TABLE),
    "text-classification": lambda client: client.text_classification(TEXT),
    "text-generation": lambda client: client.text_generation(TEXT, max_new_tokens=3),
    "text-to-image": lambda client: client.text_to_image(TEXT),
    "text-to-speech": lambda client: client.text_to_speech(TEXT),
    "token-classification": lambda client: client.token_classification(TEXT),
    "translation": lambda client: client.translation(TEXT),
    "visual-question-answering": lambda client: client.visual_question_answering(picture(), TEXT),
    "zero-shot-classification": lambda client: client.zero_shot_classification(TEXT, ["toll", "free"]),
    "zero-shot-image-classification": lambda client: client.zero_shot_image_classification(
        picture(), ["toll booth", "bridge"]
    ),
}


def features(client_for: Callable[[Wish, str], Any], chat_model: str | None) -> dict[str, Feature]:
    """Return every feature. `client_for(wish, task)` makes the client, plain or async."""
    made: dict[str, Feature] = {
        "chat": _chat(client_for, chat_model),
        "stream": _stream(client_for, chat_model),
        "text-generation stream": _text_stream(client_for),
    }
    return made | {task: _task(client_for, task, call) for task, call in TASKS.items()}


def _task(client_for: Callable[[Wish, str], Any], task: str, call: Call) -> Feature:
    def feature(wish: Wish) -> str:
        async def work() -> Any:
            return await _value(call(client_for(wish, task)))

        return _shown(asyncio.run(work()))

    return feature


def _chat(client_for: Callable[[Wish, str], Any], model: str | None) -> Feature:
    def feature(wish: Wish) -> str:
        async def work() -> Any:
            client = client_for(wish, "conversational")
            return await _value(client.chat_completion(_messages(wish), model=model, max_tokens=9))

        return str(asyncio.run(work()).choices[0].message.content)

    return feature


def _stream(client_for: Callable[[Wish, str], Any], model: str | None) -> Feature:
    def feature(wish: Wish) -> str:
        async def work() -> str:
            client = client_for(wish, "conversational")  # kept: its stream ends when it is collected
            chunks = await _value(client.chat_completion(_messages(wish), model=model, stream=True))
            return "".join([str(chunk.choices[0].delta.content) for chunk in await _all(chunks)])

        return asyncio.run(work())

    return feature


def _text_stream(client_for: Callable[[Wish, str], Any]) -> Feature:
    def feature(wish: Wish) -> str:
        async def work() -> str:
            client = client_for(wish, "text-generation")
            tokens = client.text_generation(wish.words, stream=True, details=True, max_new_tokens=3)
            return "".join([str(piece.token.text) for piece in await _all(await _value(tokens))])

        return asyncio.run(work())

    return feature


def _messages(wish: Wish) -> list[dict[str, str]]:
    return [{"role": "user", "content": wish.words}]


async def _value(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


async def _all(pieces: Any) -> list[Any]:
    if isinstance(pieces, AsyncIterable):
        return [piece async for piece in pieces]
    return list(pieces)


def _shown(answer: Any) -> str:
    """Pictures (of Pillow) by their format, files by their first bytes, all else as it prints."""
    if isinstance(answer, bytes):
        return plain(answer)
    return f"a picture: {answer.format}" if hasattr(answer, "getpixel") else str(answer)
