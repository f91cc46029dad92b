"""One child process: start it, read its lines, stop it, and make sure that it never outlives us."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Program:
    """What to run, and how to end it."""

    name: str
    argv: Sequence[str]
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM  # what it gets when we are killed
    stop_seconds: float = 8.0


def die_with_parent(death_signal: signal.Signals) -> None:
    """Ask Linux to send `death_signal` to this process when its parent ends, also by kill -9.

    A change of user forgets the wish (prctl(2)), so repeat it after one. Elsewhere than on Linux this does
    nothing: the next start ends what is left (`leftovers.py`).
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def spawn(
    program: Program, env: Mapping[str, str], cwd: Path, *, stdout: int, stderr: int = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """Start `program` as leader of a session of its own: Ctrl-C in the terminal reaches only us."""
    return subprocess.Popen(
        program.argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        # Safe here: the runner has no threads.
        preexec_fn=_before_exec(program.death_signal, os.getpid()),
    )


def _before_exec(death_signal: signal.Signals, parent: int) -> Callable[[], None]:
    def run_in_child() -> None:
        die_with_parent(death_signal)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return run_in_child


def signal_group(leader: int, number: int) -> bool:
    """Send a signal to a process group. False when nothing of it is left."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says PermissionError for a zombie
        return False
    return True


def stop(
    processes: Sequence[tuple[Program, subprocess.Popen[bytes]]],
    meanwhile: Callable[[], None] = lambda: time.sleep(0.02),
) -> None:
    """End these processes together, politely first; then whatever is left of their groups, by force.

    Takes as long as the slowest, at most the largest `stop_seconds` and a moment. `meanwhile` is called
    over and over while they end: whoever reads their lines goes on reading.
    """
    for program, process in processes:
        if process.poll() is None:
            process.send_signal(program.stop_signal)
    began = time.monotonic()
    for program, process in processes:
        while process.poll() is None and time.monotonic() < began + program.stop_seconds:
            meanwhile()
    for _, process in processes:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], bool], seconds: float, interval: float = 0.05) -> bool:
    """Ask until it is true. False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
