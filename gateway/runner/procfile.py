"""The Procfile is the one list of processes: `make run` starts what it says."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def read(file: Path, env: Mapping[str, str]) -> dict[str, list[str]]:
    """Return {process: argv} in the file's order; `${NAME:-default}` is filled in from `env`."""
    lines = (line.strip() for line in file.read_text().splitlines())
    entries = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: expand(command, env) for name, _, command in entries}


def expand(command: str, env: Mapping[str, str]) -> list[str]:
    """Split a command as a shell does, after filling in its variables (an empty one counts as unset)."""

    def value(match: re.Match[str]) -> str:
        return env.get(match[1]) or match[2]

    return [_VARIABLE.sub(value, word) for word in shlex.split(command)]
