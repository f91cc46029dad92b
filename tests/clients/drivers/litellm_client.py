"""litellm as a client: `openai/<model>` with `api_base`."""

from importlib import import_module
from typing import Any

from tests.clients.drivers.common import Wish, run

litellm: Any = import_module("litellm")
litellm.suppress_debug_info = True
MODEL = "openai/tests/any-openai"


def _options(wish: Wish) -> dict[str, Any]:
    return {
        "model": MODEL,
        "api_base": f"{wish.url}/v1",
        "api_key": wish.key,
        "num_retries": 0,
        "max_retries": 0,
    }


def _messages(wish: Wish) -> list[dict[str, str]]:
    return [{"role": "user", "content": wish.words}]


def chat(wish: Wish) -> str:
    return str(litellm.completion(messages=_messages(wish), **_options(wish)).choices[0].message.content)


def stream(wish: Wish) -> str:
    chunks = litellm.completion(messages=_messages(wish), stream=True, **_options(wish))
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def completions(wish: Wish) -> str:
    options = _options(wish) | {"model": "text-completion-" + MODEL}
    return str(litellm.text_completion(prompt=wish.words, **options).choices[0].text)


def embeddings(wish: Wish) -> str:
    return str(
        litellm.embedding(input=["toll"], encoding_format="float", **_options(wish)).data[0]["embedding"]
    )


if __name__ == "__main__":
    run({"chat": chat, "stream": stream, "completions": completions, "embeddings": embeddings})
