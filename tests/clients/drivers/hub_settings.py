"""huggingface_hub with `provider="hf-inference"`, told of the gateway by its two settings before its first import."""

import os
from importlib import import_module
from typing import Any

from tests.clients.drivers.common import Wish, run
from tests.clients.drivers.hub_tasks import features


def client_for(wish: Wish, task: str) -> Any:
    os.environ["HF_ENDPOINT"] = wish.url
    constants: Any = import_module("huggingface_hub.constants")
    constants.INFERENCE_PROXY_TEMPLATE = wish.url + "/{provider}"
    client: Any = import_module("huggingface_hub").InferenceClient
    return client(f"tests/any-{task}", provider="hf-inference", api_key=wish.key)


if __name__ == "__main__":
    run(features(client_for, None))
