"""What every Python driver does: read the wishes, try each, print what the client showed.

In, on standard input: {"url", "keys": {case: key}, "cells": [[feature, case], …]}. Out: one JSON object a
line, {"feature", "case", "shown"}; `shown` begins with `raised <Exception>: ` where the client raised.
Needs nothing but the standard library, for it runs in every client's own venv.
"""

import base64
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """One cell to try."""

    url: str
    key: str
    feature: str
    case: str

    @property
    def words(self) -> str:
        """What to say to the model: it breaks off after three tokens where that is the case."""
        return "drop 3" if self.case == "mid-stream" else "say 5"

    def task_url(self, task: str) -> str:
        """Return the address of a task, as huggingface_hub wants it: whole."""
        whole = f"{self.url}/hf-inference/models/tests/any-{task}"
        return f"{whole}/pipeline/{task}" if task in ("feature-extraction", "sentence-similarity") else whole


Feature = Callable[[Wish], str]


def run(features: Mapping[str, Feature]) -> None:
    """Try every wished cell and print what came of it."""
    wishes = json.load(sys.stdin)
    for feature, case in wishes["cells"]:
        shown = attempt(features[feature], Wish(wishes["url"], wishes["keys"][case], feature, case))
        print(json.dumps({"feature": feature, "case": case, "shown": shown}), flush=True)


def attempt(feature: Feature, wish: Wish) -> str:
    """Return what the client shows: its answer, or its exception."""
    try:
        return feature(wish)
    except Exception as failure:
        return f"raised {type(failure).__name__}: {failure}"


def plain(data: bytes) -> str:
    """Return the first bytes of a file as text that can be searched."""
    return data[:12].decode("latin-1")


def from_base64(text: str) -> str:
    """Return the first bytes of a file in base64 as text that can be searched."""
    return plain(base64.b64decode(text))
