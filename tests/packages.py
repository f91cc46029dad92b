"""Brings other people's programs into a folder of their own, as pinned in a lock file, once.

Clients, servers and peers that tests run beside ours: their versions must not bind our own environment.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 1200


class NotInstalled(Exception):
    """A program cannot be brought here. The message is one line that says what to do next."""


def python_packages(folder: Path, requirements: Path) -> Path:
    """Return the programs' folder of the virtual environment `folder`, made by a requirements file with hashes."""
    programs = folder / "bin"
    if _is_new(folder, requirements):
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # pip asks for every package's hash as soon as the file names one. The file names all there is: nothing is
        # looked for beside it, where a newer release of a part would have no hash here.
        run([*pip, "--no-deps", "-r", str(requirements)])
        _note(folder, requirements)
    return programs


def node_packages(folder: Path, source: Path) -> Path:
    """Return `folder` with the packages of `source`'s package.json and package-lock.json in node_modules."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise NotInstalled(f"{program} not found. Install Node 20 or newer, or leave it out with --only.")
    lock = source / "package-lock.json"
    if _is_new(folder, lock):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        run(["npm", "ci", "--no-fund", "--no-audit", "--prefix", str(folder)])
        _note(folder, lock)
    return folder


def run(command: Sequence[str]) -> None:
    """Run one step of an installation. NotInstalled with the last words of what failed."""
    print(f"installing: {' '.join(command[:4])} …", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"`{' '.join(command)}` took over {INSTALL_SECONDS} s. Run this again.") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise NotInstalled(f"`{' '.join(command[:4])} …` failed: {said[-400:]}")


def _is_new(folder: Path, lock: Path) -> bool:
    stamp = folder / "installed"
    return not stamp.is_file() or stamp.read_text() != _digest(lock)


def _note(folder: Path, lock: Path) -> None:
    (folder / "installed").write_text(_digest(lock))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
