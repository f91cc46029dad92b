"""huggingface_hub's InferenceClient with `base_url`: /v1 for chats, the whole address for any other task."""

from huggingface_hub import InferenceClient

from tests.clients.drivers.common import Wish, run
from tests.clients.drivers.hub_tasks import features


def client_for(wish: Wish, task: str) -> InferenceClient:
    where = f"{wish.url}/v1" if task == "conversational" else wish.task_url(task)
    return InferenceClient(base_url=where, api_key=wish.key, timeout=60)


if __name__ == "__main__":
    run(features(client_for, "tests/any-conversational"))
