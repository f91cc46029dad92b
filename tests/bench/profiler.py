"""Where a gateway's time goes, by py-spy when it is at hand. For tuning; the figures do not need it."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.processes import BENCH_DIR

_SHOWN = 30
_EVERYWHERE = 0.95  # a frame in so many samples only says that the server runs


def available() -> str | None:
    """The path of py-spy, beside this Python or on the PATH; None when there is none."""
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")


@contextmanager
def profiled(name: str, pid: int, *, core: int, seconds: float) -> Iterator[None]:
    """Sample `pid` and its children from `core` while the body runs, then print where it was.

    Leaves `var/bench/profile-<name>.txt` in py-spy's raw format, which speedscope and flame graphs read.
    """
    program, stacks = available(), BENCH_DIR / f"profile-{name}.txt"
    if program is None:
        print("--profile needs py-spy, which is not installed: pip install py-spy. Going on without.")
        yield
        return
    # --gil: only the thread that runs Python, not those that wait.
    options = ["--gil", "--function", "--rate", "500", "--format", "raw", "--output", str(stacks)]
    options += ["--duration", str(int(seconds))]
    command = ["taskset", "-c", str(core), program, "record", "--pid", str(pid), "--subprocesses", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampler:
        yield
        sampler.wait(timeout=seconds + 30)
    print(hottest(stacks.read_text()))
    print(f"all stacks: {stacks}")


def hottest(raw: str) -> str:
    """The functions with the largest share of samples, on top of the stack and anywhere on it."""
    own, anywhere = Counter[str](), Counter[str]()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            anywhere[frame] += int(count)
    total = own.total() or 1
    inner = Counter({frame: count for frame, count in anywhere.items() if count < _EVERYWHERE * total})
    return f"itself\n{_table(own, total)}\nwith what it calls\n{_table(inner, total)}"


def _table(counts: Counter[str], total: int) -> str:
    return "\n".join(f"{count / total:6.1%}  {frame}" for frame, count in counts.most_common(_SHOWN))
