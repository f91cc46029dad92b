"""What the tests of the fake start from: customers with cards, a price, an endpoint that listens."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

from tests.fakes.stripe.process import FakeStripe

NOW = 1_767_225_600  # 2026-01-01
DAY, HOUR = 86_400, 3600


def customer(fake: FakeStripe, card: str = "pm_card_visa", **fields: Any) -> stripe.Customer:
    """Make a customer who pays with a card, if one is named."""
    v1 = fake.client().v1
    made = v1.customers.create({"email": "alice@example.com", **fields})  # type: ignore[arg-type]
    if card:
        method = v1.payment_methods.attach(card, {"customer": made.id})
        v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": method.id}})
    return made


def price(fake: FakeStripe, amount: int = 900, currency: str = "usd", name: str = "Pro") -> stripe.Price:
    """Make a monthly price."""
    return fake.client().v1.prices.create(
        {
            "currency": currency,
            "unit_amount": amount,
            "recurring": {"interval": "month"},
            "product_data": {"name": name},
        }
    )


def subscribe(fake: FakeStripe, who: stripe.Customer, what: stripe.Price) -> stripe.Subscription:
    """Put a customer on a price."""
    return fake.client().v1.subscriptions.create({"customer": who.id, "items": [{"price": what.id}]})


def draft(fake: FakeStripe, who: stripe.Customer, *amounts: int, currency: str = "usd") -> stripe.Invoice:
    """Make a standalone draft with lines."""
    v1 = fake.client().v1
    made = v1.invoices.create({"customer": who.id, "currency": currency, "auto_advance": False})
    return v1.invoices.add_lines(
        made.id, {"lines": [{"amount": one, "description": "Usage"} for one in amounts]}
    )


class Listener:
    """An endpoint that remembers what it got and answers as it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[tuple[bytes, str]] = []  # body and Stripe-Signature
        self.answer: Callable[[dict[str, Any]], int] = lambda event: 200

    def types(self) -> list[str]:
        """Return the types of the events, as they came."""
        return [json.loads(body)["type"] for body, _ in self.got]


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.got.append((body, self.headers["Stripe-Signature"]))
            self.send_response(listener.answer(json.loads(body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_port}/webhooks")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield listener
    server.shutdown()
    server.server_close()
    thread.join()
