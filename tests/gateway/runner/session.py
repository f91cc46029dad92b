"""Starts `python -m gateway.runner` for real, in a folder of its own, and looks at what is left of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gateway.runner.lock import ROOT
from gateway.runner.processes import wait_for

READY = "Ctrl-C stops everything."


class Session:
    """One `make run` in the folder `var`."""

    def __init__(self, var: Path, port: int, **extra: str) -> None:
        self.var, self.url = var, f"http://127.0.0.1:{port}"
        kept = ("PATH", "HOME", "LANG")
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {"TURNPIKE_VAR": str(var), "PORT": str(port), "TURNPIKE_IGNORE_ENV_FILES": "1", **extra}
        self.output = var.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and wait until it is ready; returns the seconds that took."""
        began = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(), env=self.env, cwd=ROOT, stdout=output, stderr=output
            )
        assert wait_for(lambda: READY in self.said() or self.ended(), 100), self.said()
        assert not self.ended(), self.said()
        return time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal and wait for its end; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def once(self, command: str = "run") -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            self.command(command),
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def ended(self) -> bool:
        """Whether it is over."""
        return self.process is None or self.process.poll() is not None

    def processes(self) -> dict[int, str]:
        """Every process that works for this folder, as {id: command line}, without this one's own command."""
        return {
            pid: command
            for pid, command in _processes_about(str(self.var)).items()
            if "pytest" not in command
        }

    @staticmethod
    def command(command: str = "run") -> list[str]:
        """The argv of the runner."""
        return [sys.executable, "-m", "gateway.runner", command]


def _processes_about(text: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has just ended
            if command and text in command + environment:
                found[int(folder.name)] = command
    return found
