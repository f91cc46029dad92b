"""huggingface_hub as its model pages write it: `provider="hf-inference"`, and `provider="auto"` for chats.

Two lines before the first use send everything here. Model pages' snippets stay as they are.
"""

from typing import Any
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import (
    AsyncInferenceClient,
    InferenceClient,
    set_async_client_factory,
    set_client_factory,
)

from tests.clients.drivers.common import Wish, run
from tests.clients.drivers.hub_tasks import features

HUGGING_FACE = ("router.huggingface.co", "huggingface.co")


def send_everything_to(url: str, key: str) -> None:
    """What docs/clients.md tells a customer to write, once, at the start of the program."""
    here = urlsplit(url)

    def turn(request: httpx2.Request) -> None:
        if request.url.host in HUGGING_FACE:
            request.url = request.url.copy_with(scheme=here.scheme, host=here.hostname, port=here.port)
            request.headers["Host"] = here.netloc
            request.headers["Authorization"] = f"Bearer {key}"

    async def turn_async(request: httpx2.Request) -> None:
        turn(request)

    options: dict[str, Any] = {"follow_redirects": True, "timeout": None}
    set_client_factory(lambda: httpx2.Client(event_hooks={"request": [turn]}, **options))
    set_async_client_factory(lambda: httpx2.AsyncClient(event_hooks={"request": [turn_async]}, **options))


def client_for(wish: Wish, task: str) -> InferenceClient | AsyncInferenceClient:
    send_everything_to(wish.url, wish.key)
    provider: Any = "auto" if task == "conversational" else "hf-inference"
    return InferenceClient(f"tests/any-{task}", provider=provider, api_key="hf_anything")


if __name__ == "__main__":
    run(features(client_for, None))
