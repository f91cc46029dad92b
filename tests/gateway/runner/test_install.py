"""`.venv` is made with the Python that calls cost least with."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.runner import install


@pytest.fixture
def pretend(tmp_path: Path) -> "Pretend":
    return Pretend(tmp_path)


class Pretend:
    """Makes programs that answer the trial as a Python of some speed would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, says: str, code: int = 0) -> str:
        program = self._folder / name
        program.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)


def test_dana_has_a_python_that_is_built_to_be_fast_and_it_is_used(pretend: Pretend) -> None:
    slow = pretend("slow", "9.0 /opt/slow/python3")
    fast = pretend("fast", "0.000001 /opt/fast/python3")
    assert install.fastest([slow, fast]) == "/opt/fast/python3"


def test_danas_own_python_stays_where_the_others_are_no_better(pretend: Pretend) -> None:
    assert install.fastest([pretend("slow", "9.0 /opt/slow/python3")]) == sys.executable


@pytest.mark.parametrize(("says", "code"), [("", 0), ("AssertionError", 1), ("much faster", 0)])
def test_a_python_that_is_too_old_broken_or_no_python_is_passed_over(
    pretend: Pretend, says: str, code: int
) -> None:
    assert install.fastest([pretend("odd", says, code), "python-that-is-not-there"]) == sys.executable


def test_the_trial_runs_in_this_python_and_names_it() -> None:
    found = install._try(sys.executable)
    assert found is not None
    path, seconds = found
    assert path == sys.executable
    assert 0 < seconds < 20


@pytest.mark.parametrize(("given", "told"), [([], False), (["PYTHON=python3"], True)])
def test_the_python_that_dana_names_is_not_second_guessed(given: list[str], told: bool) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "run-packages", *given],
        capture_output=True,
        text=True,
        check=True,
        cwd=install.ROOT,
    )
    assert ("--this-python" in done.stdout) is told
