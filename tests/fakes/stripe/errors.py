"""How the fake says no, in Stripe's form."""

from typing import Any


class Refusal(Exception):
    """An answer of 4xx or 5xx. `code`, `param` and `decline_code` mean what Stripe's documentation says."""

    def __init__(
        self, message: str, status: int = 400, kind: str = "invalid_request_error", **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {
            "type": kind,
            "message": message,
            **{key: value for key, value in more.items() if value},
        }

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the body of the answer."""
        log = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": {**self.error, "request_log_url": log}}


def missing(name: str, given: str, param: str | None = None) -> Refusal:
    """`No such customer: 'cus_1'`: 404 for the object of the address, 400 for one that a parameter names."""
    return Refusal(
        f"No such {name.replace('.', ' ')}: '{given}'",
        status=400 if param else 404,
        code="resource_missing",
        param=param or "id",
    )


def declined(message: str, decline_code: str, code: str = "card_declined", **more: Any) -> Refusal:
    """A card that says no: 402."""
    return Refusal(message, 402, "card_error", code=code, decline_code=decline_code, **more)
