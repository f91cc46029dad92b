"""The two loaded engines, as the handlers find them."""

import asyncio
from pathlib import Path

from aiohttp import web

from gateway.local_model.embeddings import Embedder
from gateway.local_model.errors import ApiError
from gateway.local_model.llama import LlamaEngine


class Engines:
    """Empty while loading: whoever asks for an engine then gets 503."""

    def __init__(self) -> None:
        self._chat: LlamaEngine | None = None
        self._embedder: Embedder | None = None

    async def load(self, weights: Path, threads: int) -> None:
        """Load both models. `threads` is for one call of either. Raises RuntimeError if the weights are
        broken.
        """
        embedder = await asyncio.to_thread(Embedder, threads)
        chat = await asyncio.to_thread(LlamaEngine, weights, threads)
        await chat.open()
        self._chat, self._embedder = chat, embedder

    async def close(self) -> None:
        """Cancel what runs."""
        if self._chat and self._embedder:
            self._embedder.close()
            await self._chat.close()

    @property
    def ready(self) -> bool:
        """Whether both models are loaded."""
        return self._chat is not None and self._embedder is not None

    @property
    def chat(self) -> LlamaEngine:
        """SmolLM2; raises ApiError 503 while it loads."""
        if self._chat is None:
            raise ApiError(503, "model_loading", "The local model is loading. Try again in a second.")
        return self._chat

    @property
    def embedder(self) -> Embedder:
        """multilingual-e5-small; raises ApiError 503 while it loads."""
        if self._embedder is None:
            raise ApiError(503, "model_loading", "The local model is loading. Try again in a second.")
        return self._embedder


ENGINES = web.AppKey("ENGINES", Engines)
STARTED = web.AppKey("STARTED", int)
"""Unix seconds."""
