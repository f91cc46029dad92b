"""Starts the programs under test pinned to a core each, measures their CPU time, stops every one of them."""

import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gateway.runner.processes import Program, spawn, stop, wait_for

ROOT = Path(__file__).resolve().parents[2]
BENCH_DIR = ROOT / ".bench"  # git-ignored: the peers, and the folder of one run, removed afterwards
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The bench cannot go on. The message is one line that says what to do next."""


def cores() -> tuple[int, int]:
    """Two cores of this process's affinity: (the gateway's, everybody else's). Raises BenchError."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError(
            "Two cores are needed, one for the gateway and one for the load. Use a larger machine."
        )
    return usable[-1], usable[0]


def need(*programs: str) -> None:
    """Raise BenchError when one of these programs is not on the PATH."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise BenchError(f"{', '.join(missing)} not found. Run: apt-get install nginx-light wrk")


def bare_environment() -> dict[str, str]:
    """What any program needs and nothing that would change one: no DATABASE_URL, no proxy, no token."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def free_port() -> int:
    """A loopback TCP port that nobody listens on now. Another process may take it before you do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, *, whatever: bool = False) -> Callable[[], bool]:
    """A question for `serving`: does a GET of `url` give 2xx, or `whatever` answer?"""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError:
            return whatever
        except (urllib.error.URLError, OSError):
            return False

    return ask


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 300) -> str:
    """Run to the end and give its stdout. Raises BenchError with its last lines when it fails or hangs."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, timeout=timeout, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise BenchError(f"`{_shown(command)}` took longer than {timeout:.0f} s.") from late
    if done.returncode:
        raise BenchError(
            f"`{_shown(command)}` failed ({done.returncode}): {_tail(done.stderr or done.stdout)}"
        )
    return done.stdout


@contextmanager
def serving(
    program: Program,
    *,
    core: int | str,
    ready: Callable[[], bool],
    folder: Path,
    env: Mapping[str, str],
) -> Iterator[int]:
    """Run a server pinned to `core`, give its process id once `ready()`, stop it at the end.

    Its output goes to `folder`/<name>.log. Raises BenchError when it ends, or is not ready within 90 s.
    """
    log = folder / f"{program.name}.log"
    pinned = replace(program, argv=["taskset", "-c", str(core), *program.argv], stop_seconds=15)
    with log.open("w") as out:
        child = spawn(pinned, env, ROOT, stdout=out.fileno())
    try:
        up = wait_for(lambda: child.poll() is not None or ready(), 90, interval=0.2)
        if not up or child.poll() is not None:
            raise BenchError(f"{program.name} did not come up: {_tail(log.read_text())}")
        yield child.pid
    finally:
        stop([(pinned, child)])


def cpu_seconds(leader: int) -> float:
    """CPU time that `leader` and the rest of its session have used, proc_pid_stat(5) fields 6, 14 and 15."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        if int(fields[3]) == leader:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(leader: int) -> float:
    """Memory of `leader` and its session in MB: what is shared is counted once (proc_pid_smaps(5), Pss)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                lines = (stat.parent / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ProcessLookupError):
            continue
    return total / 1024


def _shown(command: Sequence[str]) -> str:
    return " ".join(Path(part).name for part in command[:4])


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-4:]) or "it printed nothing"
