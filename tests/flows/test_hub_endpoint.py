"""huggingface_hub as its users have it, with HF_ENDPOINT pointed here: what it asks first, and then its calls."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.live import Web

# HF_ENDPOINT is read at import and the base address is a constant, so each run is a process of its own.
HUB_SCRIPT = """
import json, sys
from huggingface_hub import constants
constants.INFERENCE_PROXY_TEMPLATE = constants.ENDPOINT + "/{provider}"
from huggingface_hub import HfApi, InferenceClient
from huggingface_hub.errors import RepositoryNotFoundError

chat, embedding, snapshot, key = sys.argv[1:]
api = HfApi(token=False)
said = {"tag": api.model_info(chat).pipeline_tag}
mapping = api.model_info(chat, expand=["inferenceProviderMapping"]).inference_provider_mapping
said["mapping"] = [(row.provider, row.provider_id, row.task, row.status) for row in mapping]
try:
    api.model_info("nobody/knows-it")
except RepositoryNotFoundError as missing:
    said["missing"] = str(missing)
said["listed"] = [info.id for info in api.list_models(inference_provider="hf-inference", search="SmolLM2")]
client = InferenceClient(provider="hf-inference", api_key=key)
said["vector"] = client.feature_extraction("Good morning.", model=embedding).shape[-1]
said["without a model"] = client.feature_extraction("Good morning.").shape[-1]
said["alike"] = client.sentence_similarity("A cat.", other_sentences=["A cat.", "Tax law."], model=embedding)
auto = InferenceClient(api_key=key)  # takes the first provider of the mapping
said["auto"] = auto.feature_extraction("Good morning.", model=embedding).shape[-1]
answer = client.chat_completion([{"role": "user", "content": "Hi"}], model=chat, max_tokens=4)
said["chat"] = answer.usage.completion_tokens
try:
    client.chat_completion([{"role": "user", "content": "Hi"}], model=snapshot, max_tokens=4)
except Exception as refused:
    said["refused"] = str(refused)
print(json.dumps(said))
"""


def test_huggingface_hub_finds_its_way_with_hf_endpoint_alone(
    model_web: Web, person: Callable[..., Person]
) -> None:
    alice = person("Alice", "pro")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    argv = [
        sys.executable,
        "-c",
        HUB_SCRIPT,
        CHAT_MODEL,
        EMBEDDING_MODEL,
        "HuggingFaceTB/SmolLM3-3B",
        alice.secret,
    ]
    run = subprocess.run(
        argv,
        env=env | {"HF_ENDPOINT": model_web.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout)
    assert said["tag"] == "text-generation"
    assert said["mapping"] == [["hf-inference", CHAT_MODEL, "conversational", "live"]]
    assert "There is no model" in said["missing"]
    assert said["listed"] == [CHAT_MODEL]
    assert said["vector"] == said["without a model"] == said["auto"] == 384
    assert said["alike"][0] > said["alike"][1]
    assert 0 < said["chat"] <= 4
    assert "no Hugging Face token" in said["refused"]
