"""Where settlements wait while the meter is away: one file per process, one checksummed line each, synced.

The web process that wrote a file, or the next one to start, enters its lines into the meter when it is back.
Settling is safe to repeat, so a line may be entered twice; it is removed only after it was entered.
"""

import fcntl
import os
import socket
import zlib
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.counters import Settlement
from gateway.errors import limiter_unavailable

Enter = Callable[[list[Settlement]], Awaitable[object]]
MOST_BYTES = 256 * 1024 * 1024
_log = structlog.get_logger(__name__)


class Spool:
    """The spool of this process, and the ones that dead processes left in the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self._names = count(1)  # of the files that we begin where ours is being replayed
        self._file: int | None = None

    def write(self, settlement: Settlement) -> None:
        """Append one settlement and sync it to disk before returning. Refusal if the spool is full."""
        body = orjson.dumps(settlement._asdict())
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        file = self._open()
        if os.fstat(file).st_size + len(line) > MOST_BYTES:
            raise limiter_unavailable()
        os.write(file, line)
        os.fsync(file)

    @property
    def is_empty(self) -> bool:
        """Nothing waits, of this process or of another one that used the folder."""
        return not self._folder.is_dir() or not any(self._folder.glob("*.jsonl"))

    async def replay(self, enter: Enter) -> int:
        """Enter every waiting line, file by file; return how many. A file stays as it is when `enter` raises."""
        entered = 0
        for path in sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []:
            if path == self._path:
                self._close()
            entered += await _replay_file(path, enter)
        return entered

    def _open(self) -> int:
        """Open a file that no replay has in hand. Never waits for a lock: who holds it may be waiting for us."""
        while self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                self._path = self._folder / f"{socket.gethostname()}-{os.getpid()}-{next(self._names)}.jsonl"
                continue
            if os.fstat(file).st_nlink:
                self._file = file
            else:  # replayed and removed before we had the lock: what is written there is lost
                os.close(file)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


async def _replay_file(path: Path, enter: Enter) -> int:
    """Enter one file's lines and remove it, unless its process still has it open."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0  # another process was faster
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return 0
    try:
        settlements = list(read_lines(path))
        await enter(settlements)
        # If we die here the lines are entered again, which changes nothing.
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one small file, off the path of a call
        return len(settlements)
    finally:
        os.close(file)


def read_lines(path: Path) -> list[Settlement]:
    """Return the sound lines of a spool file. A torn last line was never acknowledged to anybody."""
    settlements = []
    for number, line in enumerate(path.read_bytes().splitlines()):
        checksum, _, body = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(body):
            settlements.append(_settlement(orjson.loads(body)))
        else:
            _log.error("spool line is torn", path=str(path), line=number)
    return settlements


def _settlement(fields: dict[str, Any]) -> Settlement:
    """Read a line's object. One that an older version wrote knows of no budgets."""
    return Settlement(**fields | {"budgets": tuple(fields.get("budgets", ()))})
