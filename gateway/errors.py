"""Every way a call can end badly, with its status, code and words, in both dialects.

The table for customers is docs/errors.md. To add a code: a function here, a row in docs/errors.md, a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from gateway.limits import Admitted


class Words(StrEnum):
    """Whose words an endpoint speaks."""

    OPENAI = "openai"
    HUGGING_FACE = "huggingface"


# OpenAI's `type`, by status: https://platform.openai.com/docs/guides/error-codes
_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(slots=True, eq=False)
class Refusal(Exception):
    """A call that is refused or failed. `message` is for the caller: what happened and what to do next."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None  # seconds; sent as Retry-After. Never with 402: SDKs would retry
    details: Mapping[str, Any] = field(default_factory=dict)  # scope, limit_name, limit, used, resets_at
    meter: "Admitted | None" = None  # where the account's limits stand, if the refusal was the meter's

    def __str__(self) -> str:
        return self.message

    def as_object(self, request_id: str) -> dict[str, Any]:
        """Return OpenAI's error object, with our details beside its own fields."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        own = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return own | {"request_id": request_id} | dict(self.details)

    def body(self, words: Words, request_id: str) -> bytes:
        """Return the JSON body that the dialect's clients understand."""
        if words is Words.HUGGING_FACE:
            extra = {"code": self.code, "request_id": request_id} | dict(self.details)
            return orjson.dumps({"error": self.message, "error_type": _hf_type(self.status)} | extra)
        return orjson.dumps({"error": self.as_object(request_id)})


def _hf_type(status: int) -> str:
    """Text Generation Inference's error types, which huggingface_hub turns into exception classes."""
    if status in (429, 503):
        return "overloaded"
    if status in (401, 402, 403):
        return "permission"
    return "generation" if status >= 500 else "validation"


# --- 401, 403, 404 -------------------------------------------------------------------------------


def invalid_api_key() -> Refusal:
    """Missing, unknown, revoked or expired: one answer for all, and the key is never echoed."""
    message = (
        "This API key is not valid. Send `Authorization: Bearer tp_live_…` with a key from your Keys page."
    )
    return Refusal(401, "invalid_api_key", message)


def account_suspended() -> Refusal:
    """Staff or dunning has suspended the account."""
    return Refusal(
        403, "account_suspended", "This account is suspended. Write to support to have it reactivated.",
        details={"scope": "account"},
    )  # fmt: skip


def permission_denied(message: str, scope: str, limit_name: str) -> Refusal:
    """The plan, the account or the key does not allow this model, task or address."""
    return Refusal(403, "permission_denied", message, details={"scope": scope, "limit_name": limit_name})


def not_found(what: str) -> Refusal:
    """A row of the management API that is not there, or is another account's: nobody is told which."""
    return Refusal(404, "not_found", f"There is no such {what} in your account. List them to find its id.")


def model_not_found(model: str) -> Refusal:
    """No such model here, or none that can be reached now."""
    message = f"There is no model {model[:120]!r} here. GET /v1/models lists the models that you can call."
    return Refusal(404, "model_not_found", message, param="model")


def model_needs_token(model: str) -> Refusal:
    """A model of the catalog that only the Hugging Face router serves, where there is no token for it."""
    message = (
        f"{model[:120]!r} is in the catalog, but this installation has no Hugging Face token, so it cannot be "
        "called here. Ask your operator to set HF_TOKEN, or choose a model from GET /v1/models."
    )
    return Refusal(404, "model_not_found", message, param="model")


def unknown_endpoint(path: str) -> Refusal:
    """A path below /v1 or /hf-inference that means nothing."""
    return Refusal(404, "unknown_endpoint", f"There is no {path[:120]!r} here. See /docs/ for the endpoints.")


def method_not_allowed(method: str, use: str = "POST") -> Refusal:
    """Right path, wrong verb."""
    return Refusal(405, "method_not_allowed", f"{method[:12]} does not work here. Use {use}.")


# --- 400, 408, 413 -------------------------------------------------------------------------------


def invalid_request(message: str, param: str | None = None, status: int = 400) -> Refusal:
    """The body is not what the endpoint takes."""
    return Refusal(status, "invalid_request", message, param=param)


def request_too_large(limit: int) -> Refusal:
    """The body is larger than the plan allows."""
    message = (
        f"The request body is larger than {limit:,} bytes, the most that your plan allows. Send less at once."
    )
    return Refusal(413, "request_too_large", message, details={"scope": "plan", "limit": limit})


def request_timeout() -> Refusal:
    """The body did not arrive in time."""
    return Refusal(408, "request_timeout", "The request body did not arrive in time. Send it again.")


# --- 409, 422: Idempotency-Key -------------------------------------------------------------------


def idempotency_key_reused(first: str) -> Refusal:
    """The key came before, with another request."""
    message = "This Idempotency-Key was used for another request in the last 24 hours. Use a new key for each request."
    return Refusal(
        422, "idempotency_key_reused", message, "Idempotency-Key", details={"original_request_id": first}
    )


def request_in_progress(first: str) -> Refusal:
    """The first request with the key still runs."""
    message = "The first request with this Idempotency-Key is still running. Ask again for its answer."
    details = {"original_request_id": first}
    return Refusal(409, "request_in_progress", message, "Idempotency-Key", retry_after=1, details=details)


def idempotency_answer_gone(first: str) -> Refusal:
    """The first request was answered and charged, and its answer is not kept."""
    message = (
        "The request with this Idempotency-Key was answered and charged. Its answer is not kept: it was a stream, too "
        "large, or had to make room. You are not charged again; use a new key for a new answer."
    )
    return Refusal(
        422, "idempotency_answer_gone", message, "Idempotency-Key", details={"original_request_id": first}
    )


# --- 404, 409, 410, 422, 429: X-Turnpike-Quote ---------------------------------------------------


def quote_not_found() -> Refusal:
    """Never taken, given back, forgotten, or another key's: nobody is told which."""
    message = "There is no such quote for this API key. Take one with POST /api/v1/quotes."
    return Refusal(404, "quote_not_found", message, "X-Turnpike-Quote")


def quote_redeemed(request_id: str) -> Refusal:
    """A call has redeemed the quote already: it runs, was charged, or was the last of those that may fail."""
    message = "A call has redeemed this quote already, and each is good for one. Take a new one."
    return Refusal(
        409, "quote_redeemed", message, "X-Turnpike-Quote", details={"original_request_id": request_id}
    )


def quote_expired() -> Refusal:
    """Nobody redeemed the quote in time. Nothing was charged."""
    message = "This quote has expired, and nothing was charged. Take a new one."
    return Refusal(410, "quote_expired", message, "X-Turnpike-Quote")


def quote_mismatch() -> Refusal:
    """The call that names a quote is not the one that was quoted."""
    message = (
        "This call is not the one that was quoted: path and JSON body must be the same. The quote is still good. Send "
        "that call, or take a quote for this one."
    )
    return Refusal(422, "quote_mismatch", message, "X-Turnpike-Quote")


def quote_limit_exceeded(limit: int, retry_after: int) -> Refusal:
    """As many quotes are open as one account may have; the first of them ends in `retry_after` seconds."""
    message = f"Your account has {limit} open quotes. Redeem one, or give one back with DELETE."
    details = _limit("quotes", limit, limit, None)
    return Refusal(429, "quote_limit_exceeded", message, retry_after=retry_after, details=details)


# --- 402, 429 ------------------------------------------------------------------------------------


def _limit(
    name: str, limit: int, used: int, resets_at: datetime | None, scope: str = "account"
) -> dict[str, Any]:
    """The limit that bit. `scope` says whose count it is; amounts are nano-units."""
    known = {"scope": scope, "limit_name": name, "limit": limit, "used": used}
    return known if resets_at is None else known | {"resets_at": resets_at.astimezone(UTC).isoformat()}


def quota_exceeded(limit: int, used: int, resets_at: datetime) -> Refusal:
    """The plan's calls of this period are used up."""
    message = (
        f"You have used {used:,} of the {limit:,} calls of your plan. "
        f"Calls start again on {resets_at:%Y-%m-%d} UTC, or upgrade on the Billing page."
    )
    return Refusal(402, "quota_exceeded", message, details=_limit("calls", limit, used, resets_at))


def insufficient_credit(limit: int, used: int, resets_at: datetime) -> Refusal:
    """The credit left does not cover what this call may cost. Amounts in nano-units."""
    message = (
        "The credit left does not cover what this call may cost. Lower max_tokens, upgrade on the Billing page, "
        f"or wait until {resets_at:%Y-%m-%d} UTC."
    )
    return Refusal(402, "insufficient_credit", message, details=_limit("credit", limit, used, resets_at))


def budget_exceeded(
    scope: str, window: str, limit: int, used: int, resets_at: datetime | None = None
) -> Refusal:
    """A budget that the customer set does not cover what this call may cost. Amounts in nano-units.

    `scope` is account, member or key; `window` day, week, month or lifetime, which has no `resets_at`.
    """
    whose = {"key": "this API key", "member": "whoever made this API key"}.get(scope, "your account")
    when = {"lifetime": "in all"}.get(window, f"a {window}")
    again = f" It starts again at {resets_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC." if resets_at else ""
    message = (
        f"The budget of {whose} {when} does not cover what this call may cost. "
        f"Raise it on the Billing page, or lower max_tokens.{again}"
    )
    details = _limit("budget", limit, used, resets_at, scope) | {"window": window}
    return Refusal(402, "budget_exceeded", message, details=details)


def payment_overdue() -> Refusal:
    """A payment failed, and the plan's days of grace are over."""
    message = (
        "A payment of this account is overdue, so no calls are made. Pay on the Billing page: calls work again "
        "within a second of the payment."
    )
    return Refusal(402, "payment_overdue", message, details={"scope": "account"})


def max_cost_too_low(least: int, max_cost: int, currency: str) -> Refusal:
    """Even the shortest answer may cost more than X-Max-Cost allows. Amounts in nano-units."""
    amount = Decimal(least).scaleb(-9).normalize()
    message = (
        f"This call may cost {amount:f} {currency}, more than your X-Max-Cost, however short the answer. "
        "Raise X-Max-Cost, send less, or choose a cheaper model."
    )
    details = {"scope": "call", "limit_name": "max_cost", "limit": max_cost, "used": least}
    return Refusal(400, "max_cost_too_low", message, param="X-Max-Cost", details=details)


def rate_limit_exceeded(
    what: str, limit: int, used: int, retry_after: int, resets_at: datetime | None = None
) -> Refusal:
    """Too many requests or tokens a minute. `what` is "requests" or "tokens"."""
    message = f"You have reached {limit:,} {what} a minute. Try again in {retry_after} s."
    details = _limit(f"{what}_per_minute", limit, used, resets_at)
    return Refusal(429, "rate_limit_exceeded", message, retry_after=retry_after, details=details)


def concurrency_limit_exceeded(limit: int, used: int) -> Refusal:
    """Too many calls at once. Nobody knows when one ends, so there is no `resets_at`."""
    message = f"{used} of your {limit} calls at once are running. Try again when one has ended."
    details = _limit("concurrency", limit, used, None)
    return Refusal(429, "concurrency_limit_exceeded", message, retry_after=1, details=details)


# --- 502, 503, 504 -------------------------------------------------------------------------------


def upstream_error(detail: str = "") -> Refusal:
    """The upstream failed. The customer is not charged."""
    message = (
        f"The model's server failed{': ' + detail[:300] if detail else ''}. You were not charged. Try again."
    )
    return Refusal(502, "upstream_error", message)


def upstream_timeout() -> Refusal:
    """The upstream did not answer in time. The customer is not charged."""
    return Refusal(
        504, "upstream_timeout", "The model's server did not answer in time. You were not charged."
    )


def model_loading(retry_after: int) -> Refusal:
    """The upstream is loading the model."""
    message = f"The model is loading. Try again in {retry_after} s. You were not charged."
    return Refusal(503, "model_loading", message, retry_after=retry_after)


def limiter_unavailable() -> Refusal:
    """Limits cannot be checked now, and calls that cannot be counted are not made."""
    message = "Limits cannot be checked at the moment, so no call is made. Try again shortly."
    return Refusal(503, "limiter_unavailable", message, retry_after=5)


def overloaded() -> Refusal:
    """More calls are in flight than this server takes."""
    return Refusal(503, "overloaded", "The gateway is full at the moment. Try again shortly.", retry_after=1)


def internal_error() -> Refusal:
    """Our own fault; the log has the rest under the request id."""
    return Refusal(500, "internal_error", "Something failed on our side. Send us the request id if it lasts.")
