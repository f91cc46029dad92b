"""Reads the environment once, loudly. Every setting that an operator can change comes from here.

Order, first wins: the process environment, `.env`, `var/run.env` (what `make run` wrote about the
engines it started, so that `manage.py` in a second terminal talks to the same ones).
"""

import os
from pathlib import Path

import environ

ROOT = Path(__file__).resolve().parents[2]
VAR = Path(os.environ.get("TURNPIKE_VAR", ROOT / "var"))

env = environ.FileAwareEnv()
for file in (ROOT / ".env", VAR / "run.env"):
    if file.is_file() and not os.environ.get("TURNPIKE_IGNORE_ENV_FILES"):
        environ.Env.read_env(file)


def versioned(name: str, text: str) -> dict[int, bytes]:
    """Parse `1:secret,2:secret` into {version: secret}. The highest version is used for what is new."""
    parsed: dict[int, bytes] = {}
    for part in filter(None, text.split(",")):
        version, separator, secret = part.partition(":")
        if not separator or not version.isdigit() or not 0 < int(version) < 256 or len(secret) < 16:
            raise environ.ImproperlyConfigured(
                f"{name} must look like '1:<at least 16 characters>[,2:<…>]', with versions from 1 to 255."
            )
        parsed[int(version)] = secret.encode()
    return parsed
