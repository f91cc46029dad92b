"""`make run STRIPE=fake`: Stripe's place is taken by the fake of tests/fakes/stripe, on this machine.

It is part of a checkout and of nothing that is installed, so it is started by its name and never imported.
"""

import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from gateway.runner.lock import ROOT
from gateway.runner.processes import Program

MODULE = "tests.fakes.stripe"
_SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_fake",
    "STRIPE_WEBHOOK_SECRET": "whsec_fake",
}  # they protect nothing


def is_wanted(env: Mapping[str, str]) -> bool:
    """Tell whether this run was asked for the fake."""
    return env.get("STRIPE") == "fake"


def problem(env: Mapping[str, str]) -> str | None:
    """Return the line that says why the fake cannot be had; None if it can, or is not asked for."""
    wanted = env.get("STRIPE")
    if not wanted:
        return None
    if wanted != "fake":
        return f"STRIPE={wanted} means nothing. Leave it away, or try the fake Stripe: make run STRIPE=fake"
    if not (ROOT.joinpath(*MODULE.split(".")) / "__main__.py").is_file():
        return (
            "The fake Stripe is in tests/, which is not here. Start from a checkout, or without STRIPE=fake."
        )
    return None


def variables(port: int) -> dict[str, str]:
    """Return what every process of this run is told, so that it speaks to the fake."""
    return {**_SECRETS, "STRIPE_API_BASE": f"http://127.0.0.1:{port}"}


def program(env: Mapping[str, str], url: str, var: Path) -> Program:
    """Return the fake as a program: it sends its webhooks to `url` and keeps its state in `var`."""
    port = env["STRIPE_API_BASE"].rpartition(":")[2]
    webhook = ("--webhook", f"{url}/webhooks/stripe", "--webhook-secret", env["STRIPE_WEBHOOK_SECRET"])
    argv = ("python", "-m", MODULE, "--port", port, *webhook, "--state", str(var / "fake-stripe.json"))
    return Program("stripe", argv)


def answers(env: Mapping[str, str]) -> bool:
    """Tell whether it is up."""
    try:
        with urllib.request.urlopen(f"{env['STRIPE_API_BASE']}/_fake/state", timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


SUMMARY = """
Stripe is a FAKE, on this machine: no card is charged. See it at {api}/_fake/
  Cards: 4242 4242 4242 4242 pays, 4000 0000 0000 0341 is accepted and declines later
  A month later:  curl -d '{{"days": 31}}' {api}/_fake/advance
"""


def summary(env: Mapping[str, str]) -> str:
    """Return what a person should know; nothing without the fake."""
    return SUMMARY.format(api=env["STRIPE_API_BASE"]) if is_wanted(env) else ""
