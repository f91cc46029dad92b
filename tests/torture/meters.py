"""A meter of a run's own, one server or a cluster of three, which the run may stop, kill, freeze, fill or empty."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from gateway.runner import valkey
from gateway.runner.processes import Program, spawn, wait_for
from tests.meter_cluster import NODES, MeterCluster
from tests.processes import any_port
from tests.torture.run import CannotRun

UP_SECONDS = 30


class OneServer:
    """One server with the settings that the product gives its meter, and the methods of a cluster's nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "node-0"
        self.url = f"redis://:{secrets.token_hex(8)}@127.0.0.1:{any_port()}/0"
        self._program = Program("meter", valkey.prepare("meter", self.url, self._folder))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it for the first time."""
        self.start_node(0)

    def start_node(self, number: int) -> None:
        """Start it (again), with the data that it left."""
        with (self._folder / "log").open("ab") as log:
            self._process = spawn(self._program, os.environ, self._folder, stdout=log.fileno())
        if not wait_for(lambda: valkey.is_ready(self.url), UP_SECONDS, interval=0.01):
            raise CannotRun(f"A Valkey did not come up: {(self._folder / 'log').read_text()[-500:]}")

    def signal_node(self, number: int, what: signal.Signals) -> None:
        """Send it a signal; wait for its end if the signal means one."""
        assert self._process is not None
        self._process.send_signal(what)
        if what in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait(timeout=15)

    def client_of(self, number: int) -> Any:
        """Return a client of it, which is not for its data but for commands of an operator."""
        return redis.Redis.from_url(self.url, socket_timeout=10)

    def folder_of(self, number: int) -> Path:
        """Where its data lies."""
        return self._folder


class Meter:
    """What can happen to a meter: always to all of its nodes at once."""

    def __init__(self, folder: Path, *, cluster: bool) -> None:
        self._nodes: OneServer | MeterCluster = MeterCluster(folder) if cluster else OneServer(folder)
        self._numbers = range(NODES if cluster else 1)
        self.is_cluster = cluster
        self._clients: dict[int, Any] = {}
        self.url = self._nodes.url
        self._nodes.start()

    def start(self) -> None:
        """Start it again and wait until it serves."""
        for number in self._numbers:
            self._nodes.start_node(number)
        if not wait_for(self._serves, UP_SECONDS):
            raise CannotRun("The cluster does not come together again. Run it again on a quieter machine.")

    def signal(self, what: signal.Signals) -> None:
        """Send a signal; wait for the end if the signal means one."""
        for number in self._numbers:
            self._nodes.signal_node(number, what)

    def empty(self) -> None:
        """Lose all data, as with a new disk. It must have ended; `start` brings it back."""
        for number in self._numbers:
            shutil.rmtree(self._nodes.folder_of(number) / "appendonlydir")

    def tell(self, *command: str | int) -> None:
        """Send an operator's command to every node."""
        for number in self._numbers:
            self._client_of(number).execute_command(*command)

    def _client_of(self, number: int) -> Any:
        if number not in self._clients:
            self._clients[number] = self._nodes.client_of(number)
        return self._clients[number]

    def restart(self) -> None:
        """Kill it and start it again, with the data that it had on disk."""
        self.signal(signal.SIGKILL)
        self.start()

    def client_for(self, key: str) -> Any:
        """Return a client of the node that has a key, to look at its data from outside."""
        for number in self._numbers:
            client = self._nodes.client_of(number)
            try:
                client.exists(key)
            except redis.exceptions.MovedError:
                client.close()
            else:
                return client
        raise CannotRun(f"No node has {key}.")

    def _serves(self) -> bool:
        return len(self._numbers) == 1 or all(self._knows_all(number) for number in self._numbers)

    def _knows_all(self, number: int) -> bool:
        with self._nodes.client_of(number) as client:
            info = client.execute_command("CLUSTER INFO")
        text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
        return bool(text["cluster_state"] == "ok" and text["cluster_slots_ok"] == "16384")


@contextmanager
def meter(folder: Path, *, cluster: bool) -> Iterator[Meter]:
    """Run one, in a folder of its own."""
    made = Meter(folder, cluster=cluster)
    try:
        yield made
    finally:
        made.signal(signal.SIGKILL)
