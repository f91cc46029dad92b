"""All processes of one run: started in order, read, restarted when they die, stopped in reverse.

One thread and one loop (`turn`): whoever waits for something keeps turning it, so no line waits.
"""

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from gateway.runner import leftovers
from gateway.runner.console import Console, LogFile
from gateway.runner.processes import Program, spawn, stop

HEALTHY_SECONDS = 60.0  # who ran this long is forgiven its earlier failures
LONGEST_PAUSE = 30.0
_MOST_LAST_WORDS = 100  # pieces of 64 KiB


class StartError(Exception):
    """Something did not come up. The text is for the person at the terminal."""


class Stopped(Exception):
    """Somebody asked us to stop."""


class Child:
    """One supervised process: the program, its present incarnation and its log."""

    def __init__(self, program: Program, log: LogFile) -> None:
        self.program, self.log = program, log
        self.process: subprocess.Popen[bytes] | None = None
        self.next_start = 0.0  # while it is down: when to start it again, in time.monotonic() seconds
        self._pipe: IO[bytes] | None = None
        self._began = 0.0
        self._failures = 0
        self._rest = b""

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self.process.pid if self.process else 0

    @property
    def ended(self) -> bool:
        """Whether it was started and is not running now."""
        return self.process is not None and self.process.poll() is not None

    def launch(self, env: Mapping[str, str], cwd: Path, answer: IO[bytes] | None) -> IO[bytes]:
        """Start it; returns the pipe to read: all it says, or only its stderr if stdout goes to `answer`."""
        self._began, self.next_start = time.monotonic(), 0.0
        if answer is None:
            self.process = spawn(self.program, env, cwd, stdout=subprocess.PIPE)
            pipe = self.process.stdout
        else:
            self.process = spawn(self.program, env, cwd, stdout=answer.fileno(), stderr=subprocess.PIPE)
            pipe = self.process.stderr
        assert pipe is not None
        self._pipe = pipe
        return pipe

    def close_pipe(self) -> None:
        """Close our end of what it writes to; call at its end of file."""
        if self._pipe is not None:
            self._pipe.close()

    def take(self, data: bytes) -> list[str]:
        """Add what was read to the log; returns the lines that are whole now. No data means the end."""
        if data:
            *lines, self._rest = (self._rest + data).split(b"\n")
        else:
            lines, self._rest = [self._rest] if self._rest else [], b""
        for line in lines:
            self.log.write(line)
        return [line.decode(errors="replace").rstrip() for line in lines]

    def plan_restart(self) -> float:
        """Set `next_start`: after 1, 2, 4 … LONGEST_PAUSE seconds while it keeps dying young."""
        now = time.monotonic()
        self._failures = 1 if now - self._began > HEALTHY_SECONDS else self._failures + 1
        pause = min(2.0 ** (self._failures - 1), LONGEST_PAUSE)
        self.next_start = now + pause
        return pause


class Supervisor:
    """Owns the children. Use as: start, wait_until …, watch, and in the end stop_all."""

    def __init__(self, env: Mapping[str, str], cwd: Path, var: Path, console: Console) -> None:
        self._env, self._cwd, self._console = env, cwd, console
        self._logs, self._record = var / "log", var / "run" / "children.json"
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stop_asked = False

    def ask_to_stop(self, *_: object) -> None:
        """Signal handler: the loop ends at its next turn."""
        self._stop_asked = True

    def start(self, program: Program) -> Child:
        """Start a program that is to run until the end."""
        child = Child(program, LogFile(self._logs, program.name))
        self._children.append(child)
        self._launch(child)
        return child

    def wait_until(
        self, what: str, children: Sequence[Child], ready: Callable[[], bool], seconds: float
    ) -> None:
        """Turn the loop until `ready()`. Raises StartError when a child ends before, or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.turn(0.05)
            for child in children:
                if child.ended:
                    raise StartError(self._report(f"{what} ended while starting.", child))
            if time.monotonic() > deadline:
                raise StartError(self._report(f"{what} is not up after {seconds:.0f} s.", children[0]))

    def run_once(self, program: Program, seconds: float, answer: IO[bytes] | None = None) -> None:
        """Run a command to its end. Its stdout goes to the file `answer` if given, else to the log.

        Raises StartError when it fails or takes longer than `seconds`.
        """
        child = Child(program, LogFile(self._logs, program.name))
        self._children.append(child)
        self._launch(child, answer)
        deadline = time.monotonic() + seconds
        while not child.ended and time.monotonic() < deadline:
            self.turn(0.05)
        self._end([child])
        self._children.remove(child)
        child.log.close()
        code = child.process.returncode if child.process else 0
        if code:
            raise StartError(self._report(f"{program.name} failed ({_why(code)}).", child))

    def watch(self) -> None:
        """Turn until asked to stop; start again whoever ends. Raises Stopped."""
        while True:
            self.turn(0.2)
            for child in self._children:
                self._revive(child)

    def turn(self, seconds: float) -> None:
        """Pass on what the children say for at most `seconds`. Raises Stopped when asked to stop."""
        if self._stop_asked:
            raise Stopped
        self._read(seconds)

    def stop_all(self, stages: Sequence[Iterable[str]]) -> None:
        """Stop the children stage by stage, each stage together; then forget them."""
        for stage in stages:
            self._end([child for child in reversed(self._children) if child.program.name in stage])
        self._end(self._children)
        for child in self._children:
            child.log.close()
        self._children.clear()
        self._record.unlink(missing_ok=True)

    def _launch(self, child: Child, answer: IO[bytes] | None = None) -> None:
        try:
            pipe = child.launch(self._env, self._cwd, answer)
        except OSError as error:  # the program is not there, or must not be run
            raise StartError(f"{child.program.name} cannot be started: {error}. Run make again.") from error
        self._selector.register(pipe, selectors.EVENT_READ, child)
        running = (child.process.pid for child in self._children if child.process and not child.ended)
        leftovers.note(self._record, running)

    def _revive(self, child: Child) -> None:
        if not child.ended:
            return
        assert child.process is not None
        if not child.next_start:
            self._end([child])  # its own children must not meet their successors
            pause, code = child.plan_restart(), child.process.returncode
            self._console.progress(
                f"{child.program.name} ended ({_why(code)}); starting it again in {pause:.0f} s"
            )
        elif time.monotonic() >= child.next_start:
            self._launch(child)

    def _read(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            child: Child = key.data
            data = os.read(key.fd, 65_536)
            for line in child.take(data):
                self._console.line(child.program.name, line)
            if not data:
                self._selector.unregister(key.fileobj)
                child.close_pipe()

    def _end(self, children: Sequence[Child]) -> None:
        """Stop these children, pass on their last words and let go of their pipes."""
        ending = [(child.program, child.process) for child in children if child.process]
        stop(ending, meanwhile=lambda: self._read(0.02))
        for _ in range(_MOST_LAST_WORDS):
            if not any(key.data in children for key, _ in self._selector.select(0)):
                break
            self._read(0)
        for key in list(self._selector.get_map().values()):
            if key.data in children:  # somebody outside the group still holds its other end
                self._selector.unregister(key.fileobj)
                key.data.close_pipe()

    def _report(self, headline: str, child: Child) -> str:
        tail = "\n".join(f"  {line}" for line in child.log.tail())
        return f"{headline} The end of {child.log.path}:\n{tail}"


def _why(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
