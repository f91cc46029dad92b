"""POST /api/v1/quotes, GET and DELETE /api/v1/quotes/{id}, beside the calls and by the same caches (see entry.py).

What the OpenAPI document says of them: api_quotes.py.
"""

from decimal import Decimal
from typing import Any

import orjson

from billing.money import NANO
from billing.pricing import SCALE, Unit
from gateway import errors, headers
from gateway.allow_lists import check_address
from gateway.authentication import Caller
from gateway.http import Answer, Call, Headers
from gateway.limits import began_ms, moment
from gateway.quote_terms import Quote, read_object
from gateway.quotes import LASTS_SECONDS, LONGEST_SECONDS, Wish
from gateway.services import Services

PATH = "/api/v1/quotes"
_FIELDS = frozenset(("path", "body", "expires_in"))


def is_about_quotes(path: str) -> bool:
    """Tell whether a path is answered here."""
    return path == PATH or path.startswith(PATH + "/")


async def answer_about_quotes(call: Call, services: Services) -> Answer:
    """Take a quote, look at one, or give one back; or raise a Refusal."""
    caller = call.caller = await services.callers.authenticate(call.header(b"authorization"))
    check_address(call, caller.restrictions)
    quote_id = call.path.removeprefix(PATH).removeprefix("/")
    match call.method, bool(quote_id):
        case "POST", False:
            return await _take(call, caller, services)
        case "GET", True:
            return _answer(200, await services.quotes.find(quote_id, caller))
        case "DELETE", True:
            return _answer(200, await services.quotes.give_back(quote_id, caller))
    raise errors.method_not_allowed(call.method, "GET or DELETE" if quote_id else "POST")


async def _take(call: Call, caller: Caller, services: Services) -> Answer:
    wish = _read(await call.read_body(caller.entitlements.max_body_bytes))
    quote, hold = await services.quotes.take(call.id, caller, services.catalog, wish)
    return _answer(201, quote, headers.of_hold(hold))


def _read(body: bytes) -> Wish:
    """Read the request. Refusal `invalid_request`, also for a field that nobody reads."""
    asked = read_object(body)
    if asked is None:
        raise errors.invalid_request("The body must be a JSON object with `path` and `body`.")
    if unknown := sorted(asked.keys() - _FIELDS):
        raise errors.invalid_request(f"There is no field {unknown[0][:60]!r}. Leave it out.", unknown[0][:60])
    path, wanted = asked.get("path", "/v1/chat/completions"), asked.get("body")
    if not isinstance(path, str):
        raise errors.invalid_request("`path` must be the path of a call, such as /v1/embeddings.", "path")
    if not isinstance(wanted, dict):
        raise errors.invalid_request("`body` must be the JSON object that the call will send.", "body")
    return Wish(path, wanted, _seconds(asked.get("expires_in", LASTS_SECONDS)))


def _seconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST_SECONDS:
        message = f"`expires_in` must be a whole number of seconds from 1 to {LONGEST_SECONDS}."
        raise errors.invalid_request(message, "expires_in")
    return value


def _answer(status: int, quote: Quote, more: Headers | None = None) -> Answer:
    body = orjson.dumps(describe(quote))
    return Answer(status, [(b"content-type", b"application/json"), *(more or ())], body)


def describe(quote: Quote) -> dict[str, Any]:
    """Return a quote as the API tells it. Amounts as decimals of the currency, and the most in nano-units as well."""
    terms = quote.terms
    return {
        "id": quote.quote_id,
        "object": "quote",
        "status": quote.state,
        "path": terms.path,
        "model": terms.model,
        "currency": terms.currency,
        "max_cost": f"{Decimal(quote.nano) / NANO:.9f}",
        "max_cost_nano": quote.nano,
        "assumes": {unit: _priced(unit, quantity) for unit, quantity in terms.assumes.items()},
        "prices": [
            {"provider": price.provider, "price_version": price.version, "rates": price.rates}
            for price in terms.prices
        ],
        "created_at": _time(began_ms(quote.quote_id) or 0),
        "expires_at": _time(quote.until_ms),
        "request_id": quote.request_id or None,
    }


def _priced(unit: str, quantity: int) -> int | float:
    """A quantity in the unit that its price is for."""
    scale = SCALE[Unit(unit)]
    return quantity if scale == 1 else quantity / scale


def _time(ms: int) -> str:
    return moment(ms).isoformat()
