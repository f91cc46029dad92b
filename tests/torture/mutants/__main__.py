"""Each seeded fault must be caught by one of the runs: `python -m tests.torture.mutants [--only NAME]`.

The source is copied into a temporary folder, changed there, and the run is started in it. A mutant is caught if the run
says so by a check of its own (exit code 1), not because it was vacuous or could not run. Vacuous unless the same runs
pass on a copy that is not changed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.runner.lock import ROOT
from tests.torture.mutants.table import MUTANTS, Mutant
from tests.torture.run import Arguments, CannotRun, Checks, Run

_LEFT_OUT = (
    ".git",
    ".venv",
    ".bench",
    ".hypothesis",
    "node_modules",
    "var",
    "staticfiles",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
)
_LONGEST_SECONDS = 900


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=[mutant.name for mutant in MUTANTS], help="one mutant")
    parser.add_argument("--no-control", action="store_true", help="do not try the copy that is not changed")


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    mutants = [mutant for mutant in MUTANTS if options.only in (None, mutant.name)]
    caught = {}
    for mutant in mutants:
        said = caught[mutant.name] = _try(mutant, mutant.caught_by, options)
        checks.that(
            bool(said), f"{mutant.name} ({mutant.breaks}) is caught by {mutant.caught_by[0]}: {said or 'no'}"
        )
    if not options.no_control:
        for command in dict.fromkeys(mutant.caught_by for mutant in mutants):
            said = _try(None, command, options)
            checks.not_vacuous(not said, f"without a mutant {' '.join(command)} passes {said}".strip())
    more = {mutant.name: mutant.caught_by[0] for mutant in mutants if caught[mutant.name]}
    return f"{len(more)}/{len(mutants)}", {"caught_by": more}


def _try(mutant: Mutant | None, command: Sequence[str], options: Arguments) -> str:
    """Run it on a copy. Returns the first check that failed, "" if none did. CannotRun if the run could not."""
    with tempfile.TemporaryDirectory(prefix="turnpike-mutant-") as name:
        folder = Path(name) / "source"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        Path(name).chmod(0o755)  # PostgreSQL runs as a user of its own
        if mutant:
            _change(folder, mutant)
        argv = [
            sys.executable,
            "-m",
            f"tests.torture.{command[0]}",
            *command[1:],
            "--seed",
            str(options.seed),
        ]
        argv += ["--cluster"] * options.cluster
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False
        )
    if done.returncode == 2:
        raise CannotRun(f"{' '.join(command)} could not run: {done.stderr.strip()[-500:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    own = [line.removeprefix("FAIL").strip() for line in failed if "not vacuous" not in line]
    if bool(own) != bool(done.returncode):
        raise CannotRun(f"{' '.join(command)} ended with {done.returncode} for another reason: {failed}")
    return own[0] if own else ""


def _change(folder: Path, mutant: Mutant) -> None:
    for file, (old, new) in mutant.edits.items():
        text = (folder / file).read_text()
        if text.count(old) != 1:
            raise CannotRun(
                f"{mutant.name} no longer fits {file}: mend it in tests/torture/mutants/table.py."
            )
        (folder / file).write_text(text.replace(old, new))
    for file, text in mutant.added.items():
        with (folder / file).open("a") as opened:
            opened.write(text)


RUN = Run("mutants", __doc__, "each caught", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
