"""The `llm` command, told of the gateway in its extra-openai-models.yaml."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.drivers.common import Wish, run

MODEL = "tests/any-openai"
LLM = Path(sys.executable).with_name("llm")


class Refused(Exception):
    """The command ended with another exit code than 0."""


def _llm(wish: Wish, *options: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        here = {"model_id": "here", "model_name": MODEL, "api_base": f"{wish.url}/v1", "api_key_name": "here"}
        (Path(folder) / "extra-openai-models.yaml").write_text(json.dumps([here]))
        command = [str(LLM), "--model", "here", "--key", wish.key, "--no-log", *options, wish.words]
        env = os.environ | {"LLM_USER_PATH": folder}
        done = subprocess.run(
            command,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode:
        raise Refused(f"exit code {done.returncode}, {done.stdout}{done.stderr}")
    return done.stdout


def chat(wish: Wish) -> str:
    return _llm(wish, "--no-stream")


def stream(wish: Wish) -> str:
    return _llm(wish)


if __name__ == "__main__":
    run({"chat": chat, "stream": stream})
