"""Brings each client's packages into var/clients/, as pinned in requirements-*.txt and node/package-lock.json."""

import sys
from pathlib import Path

from gateway.runner.lock import ROOT
from tests.packages import NotInstalled, node_packages, python_packages

__all__ = ["NotInstalled", "interpreter", "node_modules"]

HERE = Path(__file__).parent
FOLDER = ROOT / "var" / "clients"


def interpreter(packages: str) -> list[str]:
    """Return the command that runs a driver with `packages`, installing them first where they are not there."""
    if not packages:
        return [sys.executable]
    if packages == "node":
        node_packages(node_modules(), HERE / "node")
        return ["node"]
    programs = python_packages(FOLDER / packages, HERE / f"requirements-{packages}.txt")
    return [str(programs / "python")]


def node_modules() -> Path:
    """The folder in which Node's drivers find their packages."""
    return FOLDER / "node"
