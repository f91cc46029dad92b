"""Where the engines are: in wheels that pip has installed."""

from importlib.util import find_spec
from pathlib import Path


class EngineError(Exception):
    """An engine cannot start; the text says why and what to do next."""


def wheel_folder(module: str) -> Path:
    """The folder of an installed wheel, without importing it. Raises EngineError when it is missing."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EngineError(f"The Python package {module} is not installed. Start Turnpike with: make run")
    return Path(spec.origin).parent
