"""langchain-openai: ChatOpenAI and OpenAIEmbeddings."""

from importlib import import_module
from typing import Any

from tests.clients.drivers.common import Wish, run

langchain: Any = import_module("langchain_openai")
MODEL = "tests/any-openai"


def _chat_model(wish: Wish) -> Any:
    return langchain.ChatOpenAI(model=MODEL, base_url=f"{wish.url}/v1", api_key=wish.key, max_retries=0)


def chat(wish: Wish) -> str:
    return str(_chat_model(wish).invoke(wish.words).content)


def stream(wish: Wish) -> str:
    return "".join(str(chunk.content) for chunk in _chat_model(wish).stream(wish.words))


def embeddings(wish: Wish) -> str:
    # Without this it sends token ids of OpenAI's own tokenizer, which no other model understands.
    options = {"check_embedding_ctx_length": False, "max_retries": 0}
    model = langchain.OpenAIEmbeddings(model=MODEL, base_url=f"{wish.url}/v1", api_key=wish.key, **options)
    return str(model.embed_query("toll"))


if __name__ == "__main__":
    run({"chat": chat, "stream": stream, "embeddings": embeddings})
