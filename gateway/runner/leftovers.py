"""What a killed run left behind. `var/run/children.json` lists the children; the next start ends them.

Called only by whoever holds the run lock, so everything on the list is an orphan. A process id that now
belongs to somebody else is told apart by its start time, a reboot by the kernel's boot id.
"""

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gateway.runner.processes import signal_group, wait_for

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Stat(NamedTuple):
    """What we need of /proc/<pid>/stat, proc_pid_stat(5)."""

    state: str  # Z: ended, but nobody has asked for its exit code
    group: int
    started: str  # clock ticks since boot


def note(file: Path, children: Iterable[int]) -> None:
    """Write down the process groups that run now, by their leaders' ids."""
    file.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"pid": pid, "started": _started(pid)} for pid in children]
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"boot": _boot(), "children": listed}))
    fresh.replace(file)


def end(file: Path, seconds: float = 2.0) -> int:
    """End what the last run left, first politely for at most `seconds`, then by force; returns how many."""
    groups = [child["pid"] for child in _listed(file) if _is_ours(child)]
    alive = [group for group in groups if _is_alive(group)]
    # Everybody understands SIGINT; PostgreSQL's SIGTERM would wait for clients.
    for number in (signal.SIGINT, signal.SIGKILL):
        for group in alive:
            signal_group(group, number)
        if wait_for(lambda: not any(_is_alive(group) for group in alive), seconds):
            break
    file.unlink(missing_ok=True)
    return len(alive)


def _listed(file: Path) -> list[dict[str, Any]]:
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError):
        return []
    return list(data["children"]) if data["boot"] == _boot() else []


def _is_ours(child: dict[str, Any]) -> bool:
    """Its leader is the process we started, or is gone while its group lives on."""
    return _started(child["pid"]) in (child["started"], None)


def _is_alive(group: int) -> bool:
    if not _BOOT_ID.exists():  # no /proc: not Linux
        return signal_group(group, 0)
    stats = (_stat(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - names will do
    return any(stat is not None and stat.group == group and stat.state != "Z" for stat in stats)


def _started(pid: int) -> str | None:
    stat = _stat(str(pid))
    return stat.started if stat and stat.state != "Z" else None


def _stat(pid: str) -> _Stat | None:
    try:
        # The second field is the program's name in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Stat(state=fields[0], group=int(fields[2]), started=fields[19])


def _boot() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
