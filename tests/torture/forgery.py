"""Webhooks as nobody should send them, posted to a real web process: replayed, out of order, of another time, tampered
with, of the other mode, too large, not JSON. Each kind says which status it must get.
"""

import json
import random
import time
from collections import Counter
from typing import Any

import httpx2

from tests.fakes.stripe.process import WEBHOOK_SECRET
from tests.fakes.stripe.webhooks import signature

Object = dict[str, Any]
TOLERANCE = 300  # seconds, of docs/adr: what the product believes
GOOD = ("replayed", "out of order")
BAD = {
    "future": 400,
    "stale": 400,
    "tampered": 400,
    "wrong secret": 400,
    "no signature": 400,
    "other mode": 400,
    "not JSON": 400,
    "too large": 413,
}


class Forger:
    """Posts events, and counts what came back."""

    def __init__(self, url: str, events: list[Object], dice: random.Random) -> None:
        self._url, self._events, self._dice = f"{url}/webhooks/stripe", events, dice
        self.statuses: Counter[tuple[str, int]] = Counter()
        self._client = httpx2.Client(timeout=60)

    def post_all(self, count: int) -> None:
        """Post `count` webhooks, of every kind in turn."""
        kinds = [*GOOD, *BAD]
        backwards = list(reversed(self._events))
        for number in range(count):
            kind = kinds[number % len(kinds)]
            event = (
                backwards[number % len(backwards)]
                if kind == "out of order"
                else self._dice.choice(self._events)
            )
            self.statuses[kind, self._post(kind, event)] += 1
        self._client.close()

    def _post(self, kind: str, event: Object) -> int:
        body, when, secret = json.dumps(event).encode(), int(time.time()), WEBHOOK_SECRET
        match kind:
            case "future":
                when += TOLERANCE + self._dice.randint(30, 10**6)
            case "stale":
                when -= TOLERANCE + self._dice.randint(30, 10**6)
            case "wrong secret":
                secret = "whsec_mallory"
            case "other mode":
                body = json.dumps(event | {"livemode": True}).encode()
            case "not JSON":
                body = body[: len(body) // 2]
            case "too large":
                body = json.dumps(event | {"padding": "x" * 300_000}).encode()
        header = signature(body, [secret], when)
        if kind == "tampered":
            body = _tampered(body)
        headers = {"Content-Type": "application/json"}
        if kind != "no signature":
            headers["Stripe-Signature"] = header
        return int(self._client.post(self._url, content=body, headers=headers).status_code)

    def taken(self, kinds: Any) -> int:
        """How many of these kinds were answered with 2xx."""
        return sum(
            times for (kind, status), times in self.statuses.items() if kind in kinds and status // 100 == 2
        )

    def wrongly_answered(self) -> dict[str, int]:
        """What was answered otherwise than it should."""
        right = dict.fromkeys(GOOD, 200) | BAD
        return {f"{kind} {status}": n for (kind, status), n in self.statuses.items() if right[kind] != status}


def _tampered(body: bytes) -> bytes:
    """Mallory pays for something else: an id or an amount is changed after the signature was made."""
    event = json.loads(body)
    event["id"] = f"{event['id']}x"
    event["data"]["object"]["id"] = "in_mallory"
    return json.dumps(event).encode()
