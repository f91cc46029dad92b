"""Brings the servers' packages into var/upstreams/, as pinned here; they are other people's, and stay out of ours."""

from pathlib import Path

from gateway.runner.lock import ROOT
from tests.packages import NotInstalled, node_packages, python_packages, run

__all__ = ["NotInstalled", "aimock", "tiny_model", "transformers"]

HERE = Path(__file__).parent
FOLDER = ROOT / "var" / "upstreams"


def aimock() -> Path:
    """Return aimock's program, a JavaScript file for node, installing it first where it is not there."""
    folder = node_packages(FOLDER / "node", HERE / "node")
    return folder / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"


def transformers() -> Path:
    """Return the folder of the programs of an environment with transformers, installing it first."""
    return python_packages(FOLDER / "transformers", HERE / "requirements-transformers.txt")


def tiny_model(programs: Path, name: str) -> Path:
    """Return the folder in which the tiny model `name` lies, made on the spot."""
    folder = FOLDER / "models"
    if not (folder / name / "config.json").is_file():
        (folder / name).mkdir(parents=True, exist_ok=True)
        run([str(programs / "python"), str(HERE / "tiny_model.py"), str(folder / name)])
    return folder
