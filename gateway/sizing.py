"""How much a call may cost at most: what its hold is made of, and how `X-Max-Cost` bounds it.

The size is an upper bound: a byte-level tokenizer makes at most one token of each byte, and the answer is clamped
to `max_tokens`. Settlement replaces it by the real amount.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from billing.money import to_nano
from billing.pricing import Unit
from gateway import errors, media
from gateway.routing import Candidate

# What a chat template adds around each message, and around the whole, at most.
_TEMPLATE_TOKENS = 64
# For the rate per minute the hold is a likely size, not an upper bound; settlement corrects it either way.
_LIKELY_BYTES_PER_TOKEN = 4
_COMPUTE_SECONDS_HELD = 60
MAX_COST = b"x-max-cost"
_MOST_COST = Decimal(1_000_000)


def most_nano(
    candidates: Iterable[Candidate],
    input_bytes: int,
    output_tokens: int,
    asked: Mapping[Unit, int],
    asked_is_estimate: bool,
) -> int:
    """Return the most that a call may cost, in nano-units, by the dearest way that it may take."""
    most = most_used(input_bytes, output_tokens, asked, asked_is_estimate)
    return max([candidate.pin.cost_of(most) for candidate in candidates])


def most_used(
    input_bytes: int, output_tokens: int, asked: Mapping[Unit, int], asked_is_estimate: bool
) -> dict[Unit, int]:
    """Return the most that a call may use of each unit, in the steps of `billing.pricing.SCALE`."""
    most = {
        Unit.INPUT_TOKEN: input_bytes + _TEMPLATE_TOKENS,
        Unit.OUTPUT_TOKEN: output_tokens,
        Unit.REQUEST: 1,
        Unit.CHARACTER: input_bytes,
        Unit.COMPUTE_SECOND: _COMPUTE_SECONDS_HELD * 1_000_000,
    }
    most.update(asked)
    if asked_is_estimate:  # sound whose length nobody said: as long as its bytes could possibly be
        most[Unit.AUDIO_SECOND] = input_bytes * media.MICRO // media.FEWEST_BYTES_PER_SECOND
    return most


def likely_tokens(input_bytes: int, output_tokens: int, tokens_per_minute: int | None) -> int:
    """Return the tokens to hold. One call may be as large as the whole minute, no larger."""
    tokens = input_bytes // _LIKELY_BYTES_PER_TOKEN + output_tokens
    return tokens if tokens_per_minute is None else min(tokens, tokens_per_minute)


def read_max_cost(header: bytes | None, currency: str) -> int | None:
    """Read X-Max-Cost, a decimal in the account's currency, into nano-units. Refusal `invalid_request`."""
    if header is None:
        return None
    try:
        cost = Decimal(header.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        cost = Decimal(-1)
    if not cost.is_finite() or not 0 < cost <= _MOST_COST:
        message = f"X-Max-Cost must be an amount in {currency} above 0, such as 0.01."
        raise errors.invalid_request(message, "X-Max-Cost")
    return to_nano(cost)


def most_output_within(
    max_cost: int,
    tokens: int,
    choices: int,
    candidates: Iterable[Candidate],
    input_bytes: int,
    asked: Mapping[Unit, int],
) -> int:
    """Return how many of `tokens` an answer may have so that the call stays within `max_cost`; 0 if not even one.

    Halving the range each time: prices are monotonous, and may round or have steps.
    """
    ways = list(candidates)

    def fits(count: int) -> bool:
        return most_nano(ways, input_bytes, count * choices, asked, False) <= max_cost

    if fits(tokens):
        return tokens
    least, most = 0, tokens  # `least` fits or is 0, `most` does not fit
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least
