"""The fault runs work: a small part of each passes. What they prove is proved by the full ones, see README.md."""

import json
import subprocess
import sys

import pytest

from gateway.runner.lock import ROOT
from tests.processes import plain_shell
from tests.torture.mutants.table import MUTANTS, Mutant

RUNS = {
    "quota_race": "--rounds 1 --clients 32 --attempts 200 --quota 100 --share 1",  # other tests keep the machine busy
    "quota_model": "--examples 20 --steps 40 --processes 1 --at-least 0",
    "redis_outage": "--rounds 1 --only wipe --untimed",
    "late_settle": "--rounds 1 --calls 4",
    "stripe_faults": "--windows 6 --accounts 2 --webhooks 20 --least 0",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUNS)
def test_a_small_part_of_each_fault_run_passes(name: str) -> None:
    """With engines of its own, as somebody would start it: what other tests left in theirs cannot mix in."""
    argv = [sys.executable, "-m", f"tests.torture.{name}", "--seed", "7", *RUNS[name].split()]
    done = subprocess.run(argv, cwd=ROOT, env=plain_shell(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, figure, counted = done.stdout.splitlines()
    assert first == f"{name} --seed 7"
    assert {"bar", "figure", "target", "seed", "seconds"} <= json.loads(figure).keys()
    assert counted.endswith(" passed, 0 failed")


@pytest.mark.parametrize("name", [*RUNS, "mutants"])
def test_each_run_says_what_it_does(name: str) -> None:
    argv = [sys.executable, "-m", f"tests.torture.{name}", "--help"]
    done = subprocess.run(argv, cwd=ROOT, env=plain_shell(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "--seed" in said
    assert "acuous" in said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_still_fits_the_source(mutant: Mutant) -> None:
    for file, (old, _) in mutant.edits.items():
        assert (ROOT / file).read_text().count(old) == 1
    for file in mutant.added:
        assert (ROOT / file).exists()
