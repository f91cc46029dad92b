"""The fake as a process of its own, and what a test says to it. The fixture is `fake_stripe` in `fixtures.py`."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stripe

from gateway.runner.lock import ROOT
from gateway.runner.processes import Program, spawn, stop

SECRET_KEY = "sk_test_fake"
WEBHOOK_SECRET = "whsec_fake"


@dataclass
class FakeStripe:
    """A running fake, seen from outside."""

    url: str
    process: subprocess.Popen[bytes]
    last_state: dict[str, Any] | None = None  # what it said when it was stopped

    @classmethod
    def start(cls, port: int, *arguments: str, log: Path | None = None) -> "FakeStripe":
        """Start one on a port and wait until it answers. It ends with this process."""
        argv = (sys.executable, "-m", "tests.fakes.stripe", "--port", str(port), *arguments)
        with (log or Path(os.devnull)).open("ab") as out:
            process = spawn(Program("stripe", argv), dict(os.environ), ROOT, stdout=out.fileno())
        made = cls(f"http://127.0.0.1:{port}", process)
        deadline = time.monotonic() + 20
        while not made.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the fake Stripe did not come up on port {port}")
            time.sleep(0.05)
        return made

    def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            return bool(self.state())
        except OSError:
            return False

    def stop(self) -> None:
        """End it; what it had judged stays in `last_state`."""
        if self.last_state is None:
            self.last_state = self.state()
            stop([(Program("stripe", ()), self.process)])

    def client(self, retries: int = 0) -> stripe.StripeClient:
        """Return Stripe's own client, speaking to the fake."""
        stripe.enable_telemetry = False
        return stripe.StripeClient(SECRET_KEY, base_addresses={"api": self.url}, max_network_retries=retries)

    def state(self) -> dict[str, Any]:
        """Return clock, counts, faults and violations."""
        found: dict[str, Any] = self._ask("state")
        return found

    def control(self, path: str, **given: Any) -> dict[str, Any]:
        """POST to the control API (`control.py` lists it); a refusal comes back as its body."""
        found: dict[str, Any] = self._ask(path, json.dumps(given).encode())
        return found

    def advance(self, **how: float) -> int:
        """Move the clock: `seconds=`, `days=` or `to=`. Return the time then."""
        return int(self.control("advance", **how)["now"])

    def now(self) -> int:
        """Return its time in Unix seconds."""
        return int(self.state()["now"])

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return every object of a name, oldest first, invoices with all their lines."""
        found: list[dict[str, Any]] = self._ask(f"objects/{name}")
        return found

    def complete_checkout(
        self, session: str, number: str = "4242424242424242", **card: Any
    ) -> dict[str, Any]:
        """The customer pays on the hosted page."""
        return self.control(f"checkout/{session}/complete", number=number, **card)

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_fake/{path}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.load(refused)
