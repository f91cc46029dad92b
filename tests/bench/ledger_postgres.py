"""What PostgreSQL spends on a measurement: CPU of all its processes, and the memory of its hungriest backend."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.bench.processes import TICKS

_EVERY_SECONDS = 0.1


@dataclass
class Peak:
    """The most private memory that one backend had, in MB; complete when its `with` has ended."""

    mb: float = 0.0


class Postgres:
    """The server behind a `postgres://…?host=<folder>` on this machine."""

    def __init__(self, url: str) -> None:
        folder = parse_qs(urlsplit(url).query)["host"][0]
        self.pid = int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0])

    def cpu_seconds(self) -> float:
        """CPU of the postmaster, of its children and of those that have ended, proc_pid_stat(5) fields 14 to 17."""
        ticks = sum(int(field) for field in _stat(self.pid)[11:15])
        for child in self._children():
            ticks += sum(int(field) for field in _stat(child)[11:13])
        return ticks / TICKS

    @contextmanager
    def watched(self) -> Iterator[Peak]:
        """Look at every backend's private memory, ten times a second, while the block runs."""
        peak, done = Peak(), threading.Event()

        def look() -> None:
            while not done.wait(_EVERY_SECONDS):
                peak.mb = max([peak.mb, *(_private_mb(child) for child in self._children())])

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield peak
        finally:
            done.set()
            watcher.join()

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on; none of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _private_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024
