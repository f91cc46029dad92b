"""The frame of a fault run: what it takes from the command line, what it checks, how it ends.

A run prints its seed first, a line for each check, then one JSON line and `N passed, N failed`. It returns 0 if
every check passed, 1 if one failed, 2 if it could not run (one line says what to do). A check whose name
begins with "vacuous" failing means that the run has shown nothing, which counts as a failure.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

Arguments = argparse.Namespace


class CannotRun(Exception):
    """The run cannot begin or go on. The message is one line that says what to do."""


@dataclass
class Checks:
    """What has been checked so far."""

    passed: int = 0
    failed: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def that(self, held: bool, sentence: str) -> bool:
        """Count a check and print it with its figures. Returns whether it held."""
        self.passed += held
        self.failed += not held
        print(f"{'pass' if held else 'FAIL'}  {sentence}", flush=True)
        return held

    def not_vacuous(self, held: bool, sentence: str) -> bool:
        """The same for what must have happened, so that the other checks mean something."""
        return self.that(held, f"not vacuous: {sentence}")


@dataclass(frozen=True)
class Run:
    """One fault run: `story` does it and returns the figure, and more for the JSON line."""

    name: str
    about: str
    target: Any
    arguments: Callable[[argparse.ArgumentParser], None]
    story: Callable[[Arguments, Checks], tuple[Any, dict[str, Any]]]

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Do it; the module's docstring has the exit codes."""
        options = self._parser().parse_args(argv)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends everything, as Ctrl-C does
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        print(f"{self.name} --seed {options.seed}", flush=True)
        checks = Checks(dice=random.Random(options.seed))
        began = time.monotonic()
        try:
            figure, more = self.story(options, checks)
        except (CannotRun, pytest.UsageError, subprocess.CalledProcessError) as problem:
            print(f"{self.name} could not run. {problem}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
            return 2
        line = {"bar": self.name, "figure": figure, "target": self.target, "seed": options.seed}
        line |= {"seconds": round(time.monotonic() - began, 1), "cluster": options.cluster} | more
        print(json.dumps(line))
        print(f"{checks.passed} passed, {checks.failed} failed")
        return int(checks.failed > 0)

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m tests.torture.{self.name}",
            description=self.about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.arguments(parser)
        parser.add_argument(
            "--seed", type=int, default=random.randrange(10**6), help="repeats a run's choices (drawn)"
        )
        parser.add_argument("--cluster", action="store_true", help="the meter is a cluster of three nodes")
        return parser


def at_least_one(text: str) -> int:
    """Read a number of 1 or more, for an argument."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("give a whole number of 1 or more")
    return number
