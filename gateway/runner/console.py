"""What `make run` shows: one prefixed line after another, and the same lines in `var/log/<name>.log`."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

LOG_LIMIT = 20_000_000  # bytes; a longer log becomes <name>.log.1 and a new one begins
_COLOURS = {
    "db": 34,
    "meter": 35,
    "cache": 36,
    "model": 33,
    "web": 32,
    "worker": 94,
    "beat": 95,
    "stripe": 31,
}
_WIDTH = 8
_BEGIN = "--- started"


class Console:
    """Writes to the terminal. Coloured only for a person: a terminal, and NO_COLOR is not set."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def line(self, name: str, text: str) -> None:
        """One line that the process `name` said."""
        self._write(f"{self._paint(f'{name:<{_WIDTH}}|', _COLOURS.get(name, 90))} {text}")

    def progress(self, text: str) -> None:
        """One line of our own, with the seconds since the start."""
        elapsed = f"[{time.monotonic() - self._began:5.1f} s]"
        self._write(f"{self._paint(elapsed, 1)} {text}")

    def plain(self, text: str) -> None:
        """Text without prefix: the closing summary."""
        self._write(text)

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except OSError:
            # The terminal is gone (closed window, `| head`). The log files still have everything.
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - stays open until the process ends


class LogFile:
    """`var/log/<name>.log`, added to; at most twice LOG_LIMIT bytes on disk."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.log"
        self._file = self.path.open("ab", buffering=0)
        self.write(f"{_BEGIN} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC".encode())

    def write(self, line: bytes) -> None:
        """Add one line. A full disk costs the line, never the process that said it."""
        try:
            if self._file.tell() > LOG_LIMIT:
                self._rotate()
            self._file.write(line + b"\n")
        except OSError:
            return

    def tail(self, lines: int = 10) -> list[str]:
        """The last lines of this run, newest last."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
        return text.rpartition(_BEGIN)[2].splitlines()[1:][-lines:]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_suffix(".log.1"))
        self._file = self.path.open("ab", buffering=0)
