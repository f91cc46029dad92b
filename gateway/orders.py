"""What a call asks for, once it was read (order_reading.py): what admission, the upstream and the bill need of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.pricing import Unit
from gateway import sizing
from gateway.catalog import Listed
from gateway.endpoints import Endpoint
from gateway.quote_terms import Quote
from gateway.routing import Candidate


@dataclass(frozen=True, slots=True)
class Mark:
    """An Idempotency-Key that a call has claimed: gateway/idempotency.py."""

    account_id: str
    name: str  # digest of the key: the key itself is the customer's
    request_id: str


@dataclass(slots=True)
class Order:
    """A call that makes sense, ready to be admitted and sent on."""

    endpoint: Endpoint
    listed: Listed
    task: str
    candidates: Sequence[Candidate]
    body: bytes
    content_type: str
    input_bytes: int
    asked_model: str = ""  # the model as the body names it; empty where the path does
    stream: bool = False
    wants_usage: bool = False  # the client itself asked for the usage chunk
    max_output_tokens: int = 0  # over all choices; 0 for tasks that write no text
    # What the request itself tells of its size: images asked for, characters to speak, seconds to hear.
    asked: dict[Unit, int] = field(default_factory=dict)
    asked_is_estimate: bool = False
    mark: Mark | None = None
    quote: Quote | None = None  # X-Turnpike-Quote
    max_cost: int | None = None  # X-Max-Cost or the quote's hold, nano-units
    choices: int = 1  # answers asked for at once
    limited_by: str = ""  # what made the answer shorter than was asked for: "plan" or "x-max-cost"

    @property
    def most_nano(self) -> int:
        """The most that this call may cost, in nano-units: what its hold is."""
        return sizing.most_nano(
            self.candidates, self.input_bytes, self.max_output_tokens, self.asked, self.asked_is_estimate
        )
