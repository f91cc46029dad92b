"""A Valkey Cluster of three nodes, for tests and fault runs: the embedded engine, three times.

It has no replicas: a node that dies takes its slots with it until it is back, and the others serve on.
"""

import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from gateway.runner import valkey
from gateway.runner.environment import is_free
from gateway.runner.processes import Program, spawn
from tests.processes import own_ports

NODES = 3
_SLOTS = 16_384
_SETTINGS = """
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 2000
cluster-require-full-coverage no
"""


class MeterCluster:
    """Three nodes in one folder. `with MeterCluster(folder) as cluster:` starts and ends them."""

    def __init__(self, folder: Path) -> None:
        self._password = secrets.token_hex(8)
        self.ports = _free_ports()
        self._folders = [folder / f"node-{number}" for number in range(NODES)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * NODES
        self.url = f"redis+cluster://:{self._password}@" + ",".join(f"127.0.0.1:{p}" for p in self.ports)

    def __enter__(self) -> "MeterCluster":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the nodes and make one cluster of them; returns when each knows all slots."""
        for number in range(NODES):
            self.start_node(number)
        clients = [self.client_of(number) for number in range(NODES)]
        share = _SLOTS // NODES + 1
        for number, client in enumerate(clients):
            last = min((number + 1) * share, _SLOTS) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for port in self.ports[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", port)
        _wait(lambda: all(_knows_all(client) for client in clients), "the nodes know each other")
        for client in clients:
            client.close()

    def start_node(self, number: int) -> None:
        """Start one node (again), with the data that it left."""
        url = f"redis://:{self._password}@127.0.0.1:{self.ports[number]}/0"
        argv = valkey.prepare("meter", url, self._folders[number])
        config = Path(argv[1])
        login = f"primaryauth {self._password}\n"
        config.write_text(config.read_text() + _SETTINGS + login)
        program = Program(f"node {number}", argv)
        with (self._folders[number] / "log").open("ab") as log:
            self._processes[number] = spawn(program, os.environ, self._folders[number], stdout=log.fileno())
        _wait(lambda: valkey.is_ready(url), f"node {number} answers")

    def signal_node(self, number: int, what: signal.Signals) -> None:
        """Send a signal to one node: SIGSTOP, SIGCONT, SIGKILL, SIGTERM."""
        process = self._processes[number]
        assert process is not None
        process.send_signal(what)
        if what in (signal.SIGKILL, signal.SIGTERM):
            process.wait(timeout=15)

    def client_of(self, number: int) -> Any:
        """Return a `redis.Redis` of one node alone."""
        return redis.Redis(port=self.ports[number], password=self._password, socket_timeout=5)

    def folder_of(self, number: int) -> Path:
        """Where the data of one node lies."""
        return self._folders[number]

    def stop(self) -> None:
        """End all nodes, also paused ones."""
        for process in self._processes:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(timeout=15)


def _knows_all(client: Any) -> bool:
    info = client.execute_command("CLUSTER INFO")
    text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return (text["cluster_state"], text["cluster_slots_ok"], text["cluster_known_nodes"]) == (
        "ok",
        str(_SLOTS),
        str(NODES),
    )


def _free_ports() -> list[int]:
    """Draw ports whose bus ports, 10,000 above, are free too."""
    found: list[int] = []
    while len(found) < NODES:
        port = random.choice(own_ports())
        if port not in found and is_free(port) and is_free(port + 10_000):
            found.append(port)
    return found


def _wait(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
