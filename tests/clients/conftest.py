"""The world that clients run in."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from gateway.runner.lock import ROOT
from tests.clients import install, world
from tests.clients.cells import Cell, Client, cells_of
from tests.clients.world import World
from tests.factories import make_person
from tests.live import Process, any_port, eventually, start_web

CLIENT_SECONDS = 300


@pytest.fixture(scope="module")
def clients_world(live_database: dict[str, str]) -> Iterator[World]:
    """The gateway before a router that does every task."""
    port = any_port()
    command = [sys.executable, "-m", "tests.fakes.hf_tasks", "--port", str(port)]
    fake, fake_url = Process(command, dict(os.environ)), f"http://127.0.0.1:{port}"
    eventually(lambda: _answers(fake_url + "/health"), "the fake router answers")
    world.list_models(fake_url)
    gateway = start_web(live_database | {"MODEL_URL": fake_url, "UPSTREAM_SILENCE_SECONDS": "20"})
    url = next(gateway).url  # first: a gateway that finds a new meter counts anew from the ledger
    keys = world.people_in_each_case(lambda name, plan="free": make_person(f"{name}-{port}", plan))
    yield World(url, fake_url, keys)
    next(gateway, None)
    world.unlist_models()
    fake.kill()


@pytest.fixture(scope="module")
def shown(clients_world: World) -> Callable[[Cell], str]:
    """What a client shows in a cell. A client's first cell runs all of them, in one process of its own."""
    known: dict[str, dict[tuple[str, str], str]] = {}

    def look(cell: Cell) -> str:
        if cell.client.name not in known:
            known[cell.client.name] = run_driver(cell.client, clients_world)
        return known[cell.client.name].get((cell.feature, cell.case), "nothing: its driver ended before")

    return look


def run_driver(client: Client, here: World) -> dict[tuple[str, str], str]:
    """Run a client through all its cells and return what it showed."""
    quick = not os.environ.get("TURNPIKE_CLIENTS")
    packages = "" if quick else client.packages
    folder = "node" if client.driver.endswith(".mjs") else "drivers"
    command = [*install.interpreter(packages), str(install.HERE / folder / client.driver)]
    cells = [(cell.feature, cell.case) for cell in cells_of(client)]
    wishes = {"url": here.url, "keys": here.keys, "cells": cells}
    done = subprocess.run(
        command, input=json.dumps(wishes), env=_environment(), capture_output=True, text=True,
        timeout=CLIENT_SECONDS, check=False,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"feature"')]
    if len(rows) < len(cells):
        print(f"{client.name} ended early ({done.returncode}): {done.stderr[-2000:]}")
    return {(row["feature"], row["case"]): row["shown"] for row in rows}


def _environment() -> dict[str, str]:
    """What any client may have around it: no token, no proxy, nothing of the gateway's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    # Neither may look anything up outside: litellm its price list, langchain its tracing.
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGCHAIN_TRACING_V2": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return kept | quiet | {"PYTHONPATH": str(ROOT), "CLIENTS_NODE": str(install.node_modules())}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
