"""What every answer carries on its way out: the request id, what is left of each limit, what the call cost.

Two families, since clients read one or the other: OpenAI's `x-ratelimit-*`
(https://platform.openai.com/docs/guides/rate-limits) and the IETF's RateLimit and RateLimit-Policy
(draft-ietf-httpapi-ratelimit-headers-10).
"""

from functools import lru_cache

from billing.entitlements import Entitlements
from gateway.admission import Hold
from gateway.authentication import Caller
from gateway.errors import Refusal
from gateway.limits import Admitted
from gateway.settlement import Receipt, decimal
from gateway.upstream import Reply

Headers = list[tuple[bytes, bytes]]

# No proxy on the way may gather a stream or keep it.
OF_STREAM: Headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


# The meter was away; the call ran on a lease, and enters the bill when the meter is back.
OF_DEGRADED = (b"x-turnpike-degraded", b"meter")


def of_call(request_id: str) -> Headers:
    """The headers of every answer."""
    return [(b"x-request-id", request_id.encode())]


def of_hold(hold: Hold) -> Headers:
    """What is left of each limit, this call included, and whether its answer was made shorter."""
    headers = of_limits(hold.caller, hold.admitted)
    if hold.degraded:
        headers.append(OF_DEGRADED)
    if hold.order.limited_by:
        most = hold.order.max_output_tokens // hold.order.choices
        headers.append((b"x-turnpike-limited-by", hold.order.limited_by.encode()))
        headers.append((b"x-turnpike-max-tokens", str(most).encode()))
    return headers


def of_limits(caller: Caller, meter: Admitted | None) -> Headers:
    """Both families for the limits a minute, and what is left of calls, credit and budgets.

    Without the meter's word (it is away) only the limits themselves.
    """
    rights = caller.entitlements
    requests, tokens = rights.requests_per_minute, rights.tokens_per_minute
    headers = [*_policies(requests, tokens)]
    if meter is None:
        return headers
    states = []
    if requests is not None:
        states.append(_left(headers, b"requests", requests, max(requests - meter.requests_this_minute, 0)))
    if tokens is not None:
        states.append(_left(headers, b"tokens", tokens, max(meter.tokens_free, 0)))
    if states:
        headers.append((b"ratelimit", b", ".join(states)))
    headers += _of_amounts(rights, meter)
    return headers


@lru_cache(maxsize=1_000)
def _policies(requests: int | None, tokens: int | None) -> Headers:
    """What the limits a minute are, whatever is left of them; None where there is none."""
    limits = [("requests", requests), ("tokens", tokens)]
    there = [(what, limit) for what, limit in limits if limit is not None]
    headers = [(f"x-ratelimit-limit-{what}".encode(), str(limit).encode()) for what, limit in there]
    if there:
        policy = ", ".join(f'"{what}";q={limit};w=60' for what, limit in there)
        headers.append((b"ratelimit-policy", policy.encode()))
    return headers


def _left(headers: Headers, what: bytes, limit: int, left: int) -> bytes:
    """Add OpenAI's headers of what a limit has left; return the same in the IETF's words."""
    # Until the limit is whole again, at most: what is used now leaves the window within a minute.
    reset = 0 if left >= limit else 60
    headers.append((b"x-ratelimit-remaining-" + what, b"%d" % left))
    headers.append((b"x-ratelimit-reset-" + what, b"%ds" % reset))
    return b'"%b";r=%d;t=%d' % (what, left, reset)


def _of_amounts(rights: Entitlements, meter: Admitted) -> Headers:
    """Calls and credit that the period has left, and the rest of the budget with the least left."""
    headers: Headers = []
    if rights.calls_per_period is not None and meter.calls >= 0:
        left = max(rights.calls_per_period - meter.calls, 0)
        headers.append((b"x-turnpike-calls-remaining", str(left).encode()))
    if rights.spend_limit_nano is not None and meter.nano >= 0:
        left = max(rights.spend_limit_nano - meter.nano, 0)
        headers.append((b"x-turnpike-credit-remaining", decimal(left, rights.currency).encode()))
    if meter.budget_left >= 0:
        headers.append((b"x-turnpike-budget-remaining", decimal(meter.budget_left, rights.currency).encode()))
    return headers


def of_reply(reply: Reply) -> Headers:
    """Who served the call, and at which attempt."""
    return [
        (b"x-inference-provider", reply.served.way.name.encode()),
        (b"x-turnpike-attempts", str(reply.attempts).encode()),
    ]


def of_receipt(receipt: Receipt) -> Headers:
    """What the call cost, and by which price version."""
    return [
        (b"x-turnpike-cost", receipt.cost.encode()),
        (b"x-turnpike-price-version", str(receipt.price_version).encode()),
    ]


def of_refusal(refusal: Refusal, caller: Caller | None, meter: Admitted | None) -> Headers:
    """Retry-After where it helps, and where the caller's limits stand, as far as both are known."""
    headers = [] if caller is None else of_limits(caller, meter)
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    return headers
