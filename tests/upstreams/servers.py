"""The servers as data: how each starts, how it is added to the gateway, and what it refuses."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.local_model.models import CHAT_MODEL
from tests.upstreams import install

TINY = "tests/tiny-llama"


@dataclass(frozen=True, slots=True)
class Started:
    """What to run, where, and with what around it."""

    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """An upstream written by others, or the local model, which comes with the gateway and is there already."""

    name: str
    model: str
    program: Callable[[int], Started] | None
    # A body that the server itself refuses, and how the gateway tells that on.
    refused: Mapping[str, Any]
    status: int
    words: str
    # Whether its streams end with `data: [DONE]`. The gateway relays what there is, and adds none.
    says_done: bool = True


def _aimock(port: int) -> Started:
    # A few characters every few hundredths of a second, as a model would.
    cli, script = install.aimock(), install.HERE / "fixtures" / "aimock.json"
    options = [
        "--port",
        str(port),
        "--fixtures",
        str(script),
        "--chunk-size",
        "6",
        "--latency",
        "30",
        "--strict",
    ]
    return Started(["node", str(cli), *options], install.FOLDER)


def _transformers(port: int) -> Started:
    programs = install.transformers()
    folder, home = install.tiny_model(programs, TINY), install.FOLDER / "huggingface"
    (home / "hub").mkdir(parents=True, exist_ok=True)  # without it, its GET /v1/models fails
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    # The model's name is its path from where the server starts.
    argv = [str(programs / "transformers"), "serve", TINY, "--host", "127.0.0.1", "--port", str(port)]
    return Started(argv, folder, env)


def chat(text: str = "What is the capital of France?") -> dict[str, Any]:
    """Return a chat that any of them answers the same way every time."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 40, "temperature": 0}


SERVERS = (
    Server(
        "local", CHAT_MODEL, None, chat() | {"response_format": {"type": "x"}}, 400, "`response_format.type`"
    ),
    Server("aimock", "tests/scripted", _aimock, chat("Please refuse."), 400, "takes no such question"),
    # What it cannot read makes it fail: 500, "Internal Server Error".
    Server(
        "transformers", TINY, _transformers, chat() | {"seed": "x"}, 502, "server failed", says_done=False
    ),
)


def selected() -> list[Server]:
    """The servers of this run: those named in TURNPIKE_UPSTREAMS, all, or without it the local model."""
    wanted = os.environ.get("TURNPIKE_UPSTREAMS", "local")
    return [server for server in SERVERS if wanted == "all" or server.name in wanted.split(",")]
