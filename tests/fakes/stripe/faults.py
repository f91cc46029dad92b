"""Faults on purpose: drawn with a seed, or asked for one by one; each is counted when it fires.

cut_before      the connection is closed, and nothing was done
cut_after       it was done, and the connection is closed before the answer
reset_before, reset_after   the same, with a TCP reset
error_before    500, nothing was done; stored under the idempotency key
error_after     500, it was done; stored
rate_limit      429, not stored
slow            the answer comes `slow_seconds` late
webhook_drop, webhook_duplicate, webhook_reorder, webhook_late   for deliveries; see `webhooks.py`
"""

import random
import re
from collections import Counter
from typing import Any

NAMES = (
    "cut_before", "cut_after", "reset_before", "reset_after", "error_before", "error_after", "rate_limit", "slow",
)  # fmt: skip
WEBHOOK_NAMES = ("webhook_drop", "webhook_duplicate", "webhook_reorder", "webhook_late")


class Faults:
    """The plan: a share of requests for each fault, or a list of what happens to the next ones."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self.outage_until = 0  # on the fake's clock; until then no connection is answered
        self.clear()

    def clear(self) -> None:
        """No more faults; what has fired stays counted."""
        self._random = random.Random(0)
        self.rates: dict[str, float] = {}
        self.queue: list[dict[str, Any]] = []
        self.only = ""
        self.slow_seconds = 1.0
        self.reads = 1.0

    def plan(self, given: dict[str, Any]) -> None:
        """Read a plan: {"seed", "rates": {name: share}, "next": [{"fault", "path", "method"}], "only": a pattern,
        "reads": 0.2 for a fifth of the rates on GET}."""
        unknown = {*given.get("rates", {}), *(one["fault"] for one in given.get("next", []))}
        unknown -= {*NAMES, *WEBHOOK_NAMES}
        if unknown:
            raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
        if "seed" in given:
            self._random = random.Random(given["seed"])
        self.rates = given.get("rates", self.rates)
        self.queue += given.get("next", [])
        self.only = given.get("only", self.only)
        self.slow_seconds = given.get("slow_seconds", self.slow_seconds)
        self.reads = given.get("reads", self.reads)

    def for_request(self, method: str, path: str) -> str:
        """Draw what happens to a request; "" for nothing. It counts as fired."""
        for one in self.queue:
            if one.get("method", method) == method and re.search(one.get("path", ""), path):
                self.queue.remove(one)
                return self.fire(one["fault"])
        if self.only and not re.search(self.only, f"{method} {path}"):
            return ""
        drawn = self._random.random()
        if method == "GET":  # what only looks can be left alone more often
            drawn = drawn / self.reads if self.reads else 1.0
        for name in NAMES:
            drawn -= self.rates.get(name, 0)
            if drawn < 0:
                return self.fire(name)
        return ""

    def happens(self, name: str) -> bool:
        """Draw whether a webhook fault happens now."""
        if self._random.random() >= self.rates.get(name, 0):
            return False
        self.fire(name)
        return True

    def fire(self, name: str) -> str:
        """Count a fault; return its name."""
        self.fired[name] += 1
        return name

    def shuffle(self, items: list[Any]) -> None:
        """Shuffle with the plan's seed."""
        self._random.shuffle(items)

    def as_dict(self) -> dict[str, Any]:
        """What is planned and what has fired."""
        return {
            "rates": self.rates, "next": self.queue, "only": self.only, "fired": dict(self.fired),
            "outage_until": self.outage_until,
        }  # fmt: skip
