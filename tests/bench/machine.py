"""What a reader needs to run the same again: the machine and how it was set up."""

import argparse
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.load import CONNECTIONS


def facts(core: int, others: int, options: argparse.Namespace) -> dict[str, object]:
    """The machine, its load when the run began, and the options."""
    return here() | {
        "nginx_version": _version(["nginx", "-v"]),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "gateway_core": core,
        "load_core": others,
    }


def here() -> dict[str, object]:
    """The machine and its load now."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr or done.stdout).strip().rpartition("/")[2]
