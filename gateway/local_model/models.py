"""What is served: the two model ids, their limits, and the tasks that each truly does."""

from dataclasses import dataclass

CHAT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDING_MODEL = "intfloat/multilingual-e5-small"

CHAT_CONTEXT = 4096
"""Prompt and answer together, in tokens, for one call. SmolLM2 was trained to 8192; four slots of 4096 cost
380 MB.
"""

EMBEDDING_CONTEXT = 512
"""The longest text that multilingual-e5-small reads, in its own tokens, prefix and both special tokens
included.
"""

EMBEDDING_DIMENSIONS = 384

DEFAULT_MAX_TOKENS = 1024
"""Answer length, in tokens, of an OpenAI call that names none: it bounds what a model that never stops may
use.
"""

DEFAULT_NEW_TOKENS = 100
"""`max_new_tokens` of a text-generation call that names none: the default of Text Generation Inference before
3.0.
"""


@dataclass(frozen=True)
class ServedModel:
    """One row of `GET /v1/models`. The first task is what `POST /models/{id}` means without `/pipeline`."""

    id: str
    context_length: int
    tasks: tuple[str, ...]


SERVED_MODELS = (
    ServedModel(CHAT_MODEL, CHAT_CONTEXT, ("text-generation",)),
    ServedModel(
        EMBEDDING_MODEL,
        EMBEDDING_CONTEXT,
        ("feature-extraction", "sentence-similarity", "zero-shot-classification"),
    ),
)
