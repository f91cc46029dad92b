"""What the tests of quotes say to the gateway, and what they look at afterwards."""

from typing import Any

import httpx2
from django.utils import timezone

from billing.period import BillingPeriod
from tests.factories import Person
from tests.live import Web, chat_body, used

PERIOD = BillingPeriod.containing(timezone.now()).key
PATH = "/api/v1/quotes"


def quote(web: Web, person: Person, text: str = "say 5", **fields: Any) -> httpx2.Response:
    """Ask for a quote for a chat of one message. `expires_in`, `path` and `body` go into the request itself."""
    own = {name: fields.pop(name) for name in ("path", "body", "expires_in") if name in fields}
    return web.post(PATH, person.secret, {"body": chat_body(text, **fields)} | own)


def taken(web: Web, person: Person, text: str = "say 5", **fields: Any) -> dict[str, Any]:
    """Take a quote and return it."""
    answer = quote(web, person, text, **fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def redeem(web: Web, person: Person, quote_id: str, text: str = "say 5", **fields: Any) -> httpx2.Response:
    """Have the chat that was quoted. `headers` are sent beside the quote's."""
    headers = {"X-Turnpike-Quote": quote_id} | fields.pop("headers", {})
    return web.post("/v1/chat/completions", person.secret, chat_body(text, **fields), headers=headers)


def one(web: Web, person: Person, quote_id: str, method: str = "GET") -> httpx2.Response:
    """Look at a quote, or give it back."""
    headers = {"Authorization": f"Bearer {person.secret}"}
    return httpx2.request(method, f"{web.url}{PATH}/{quote_id}", headers=headers, timeout=30)


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Return (status, error code)."""
    return answer.status_code, answer.json()["error"]["code"]


def counted(person: Person) -> tuple[int, int, int, int]:
    """Return (calls, nano, held calls, held nano) of a person's account."""
    found = used(person, PERIOD)
    return found["calls"], found["nano"], found["held_calls"], found["held_nano"]
