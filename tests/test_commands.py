"""`python -m tests.clients` and `python -m tests.upstreams` start, run one of theirs, and say how it went."""

import re
import subprocess
import sys

import pytest

from gateway.runner.lock import ROOT
from tests.processes import plain_shell

pytestmark = pytest.mark.timeout(300)


def run(command: str, *arguments: str) -> tuple[int, str]:
    """Run a command as somebody at a terminal does; return its exit code and what it said."""
    argv = [sys.executable, "-m", command, *arguments]
    done = subprocess.run(argv, cwd=ROOT, env=plain_shell(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["tests.clients", "tests.upstreams"])
def test_it_says_how_it_is_used_and_refuses_a_name_that_nobody_has(command: str) -> None:
    code, said = run(command, "--help")
    assert code == 0
    assert f"usage: python -m {command}" in said
    code, said = run(command, "--only", "carrier-pigeon")
    assert code == 2
    assert "there is no" in said


@pytest.mark.parametrize(
    ("command", "one"),
    [("tests.clients", "openai (Python)"), pytest.param("tests.upstreams", "local", marks=pytest.mark.model)],
)
def test_one_of_them_passes_and_the_last_line_counts(command: str, one: str) -> None:
    code, said = run(command, "--only", one)
    last = said.strip().splitlines()[-1]
    assert code == 0, said
    assert re.fullmatch(r"[1-9]\d* passed, 0 failed", last), said
