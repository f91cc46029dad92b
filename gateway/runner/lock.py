"""One running installation per `var` folder. Standard library only: `make clean` asks without a .venv.

The kernel drops an flock when its process ends, however it ends: there is no stale lock to clean up.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def var_folder(env: Mapping[str, str]) -> Path:
    """`var/` of this checkout, or TURNPIKE_VAR (from the process environment, not from `.env`); absolute."""
    return Path(env.get("TURNPIKE_VAR") or ROOT / "var").resolve()


class RunLock:
    """`var/run.lock`: held while Turnpike runs; its text says who holds it."""

    def __init__(self, var: Path) -> None:
        self.path = var / "run.lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock for as long as this process lives. False when another one has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def describe(self, url: str) -> None:
        """Write this process's id and the address it serves into the lock, for whoever is refused."""
        assert self._file is not None, "describe() needs acquire() first"
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def holder(self) -> dict[str, Any] | None:
        """Who runs Turnpike here: {"pid", "url"}, {} while it is only just starting, None for nobody."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 1000, 0)
            return dict(json.loads(text)) if text else {}
        finally:
            os.close(descriptor)
        return None


def already_running(holder: Mapping[str, object]) -> str:
    """The line for whoever comes second."""
    where = holder.get("url", "an address that is not known yet")
    return f"Turnpike is already running at {where} (pid {holder.get('pid', '?')}). Stop it with make stop."
