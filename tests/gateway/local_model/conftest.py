"""One real model server for all tests of this folder, on a port of its own."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "gateway.local_model"]


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The JSON of each server-sent event, `[DONE]` as that string."""
        lines = [line.removeprefix("data: ") for line in self.body.decode().split("\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


@dataclass(frozen=True)
class ModelServer:
    """A running server, as its clients see it."""

    url: str

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def get(self, path: str) -> Reply:
        return self._send(urllib.request.Request(self.url + path))

    def post(self, path: str, body: object) -> Reply:
        """POST bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self._send(urllib.request.Request(self.url + path, data, headers))

    def _send(self, request: urllib.request.Request) -> Reply:
        try:
            with urllib.request.urlopen(request, timeout=100) as response:
                return Reply(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())


def start(*arguments: str) -> tuple[subprocess.Popen[str], ModelServer]:
    """Start a server on a free port and wait for the line that says it is ready."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()  # ends at the latest when the process does; pytest-timeout bounds it
    assert line.startswith("local model ready on http://"), line
    return process, ModelServer(line.split()[4])


def stop(process: subprocess.Popen[str]) -> int:
    """Send SIGTERM; returns the exit code, or fails after 10 seconds."""
    process.terminate()
    try:
        return process.wait(10)
    finally:
        process.kill()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="session")
def server() -> Iterator[ModelServer]:
    process, running = start()
    yield running
    assert stop(process) == 0
