"""huggingface_hub's AsyncInferenceClient, pointed here with `model=` as an address."""

from huggingface_hub import AsyncInferenceClient

from tests.clients.drivers.common import Wish, run
from tests.clients.drivers.hub_tasks import features


def client_for(wish: Wish, task: str) -> AsyncInferenceClient:
    where = (
        f"{wish.url}/hf-inference/models/tests/any-{task}"
        if task == "conversational"
        else wish.task_url(task)
    )
    return AsyncInferenceClient(model=where, token=wish.key, timeout=60)


if __name__ == "__main__":
    run(features(client_for, None))
