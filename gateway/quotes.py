"""Quotes: a price and a hold before the call, for the call that names it in `X-Turnpike-Quote`.

1 take      the hold of a call, with terms: every limit is asked, in the one step that a call's hold takes
            if we die here: it expires, and frees everything
2 redeem    the call is read with the frozen prices, and takes the hold over, in one step
            if we die here: as in step 2 of any call; the quote is used up
3 settle    as any call, at the frozen prices, never above the hold; one that failed leaves the quote open again

A call redeems a quote whole or not at all: it has the same key, path and body (spaces and the order of fields apart).
Without the meter there are no quotes, on any plan: no lease stands in for a promise.
"""

import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from gateway import errors
from gateway.admission import Hold, abandoned, admit, counted_at, look
from gateway.authentication import Caller
from gateway.catalog import Catalog
from gateway.counters import Counters, MeterUnavailable, Offer, is_away
from gateway.endpoints import Endpoint, find_endpoint
from gateway.errors import Refusal
from gateway.http import Call
from gateway.meter_watch import MeterWatch
from gateway.order_reading import read_order
from gateway.orders import Order
from gateway.quote_holds import QuoteHolds
from gateway.quote_prices import freeze, price_book
from gateway.quote_terms import Quote, Terms, fingerprint, read_object
from gateway.sizing import most_used

HEADER = b"x-turnpike-quote"
LASTS_SECONDS = 600
LONGEST_SECONDS = 3_600
_JSON = "application/json"
_NEVER_MS = 2**50
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """The call that a quote is asked for, and for how many seconds."""

    path: str
    body: dict[str, Any]
    seconds: int = LASTS_SECONDS


class Quotes:
    """The quotes of one process's callers."""

    def __init__(self, counters: Counters, watch: MeterWatch) -> None:
        self._counters = counters
        self._holds = QuoteHolds(counters)
        self._watch = watch

    async def take(self, request_id: str, caller: Caller, catalog: Catalog, wish: Wish) -> tuple[Quote, Hold]:
        """Price a call and take its hold, under the id of this request. Refusals: all of a call's before it is
        forwarded, and quote_limit_exceeded."""
        endpoint = find_endpoint(wish.path, catalog.providers)
        if endpoint.multipart:
            raise errors.invalid_request("There are quotes for calls with a JSON body only.", "path")
        order = read_order(endpoint, orjson.dumps(wish.body), _JSON, caller, catalog)
        offer = Offer(
            _terms(caller, wish, order).as_json(), wish.seconds * 1000, _latest_ms(caller, request_id)
        )
        self._check_meter(caller)
        try:
            hold = await admit(request_id, caller, order, self._counters, offer)
        except MeterUnavailable as failure:
            raise self._away(caller, failure) from failure
        return await self.find(request_id, caller), hold

    async def find(self, quote_id: str, caller: Caller) -> Quote:
        """Return a quote of this key, whatever its state. Refusals: quote_not_found, limiter_unavailable."""
        self._check_meter(caller)
        if not _is_id(quote_id):
            raise errors.quote_not_found()
        try:
            quote = await self._holds.find(caller.account_id, quote_id)
        except MeterUnavailable as failure:
            raise self._away(caller, failure) from failure
        if quote is None or quote.terms.key_id != caller.key_id:
            raise errors.quote_not_found()
        late = quote.state == "open" and quote.until_ms <= time.time() * 1000
        return replace(quote, state="expired") if late else quote

    async def give_back(self, quote_id: str, caller: Caller) -> Quote:
        """Give a quote's hold back, and forget the quote.

        Refusals: quote_not_found, quote_redeemed, quote_expired, limiter_unavailable.
        """
        quote = await self.find(quote_id, caller)
        try:
            if await self._holds.release(caller.account_id, quote):
                return replace(quote, state="given_back")
        except MeterUnavailable as failure:
            raise self._away(caller, failure) from failure
        quote = await self.find(quote_id, caller)
        raise _refusal("USED" if quote.state == "redeemed" else "EXPIRED", quote.request_id)

    async def read_order(
        self, call: Call, endpoint: Endpoint, body: bytes, caller: Caller, catalog: Catalog, most: int | None
    ) -> Order:
        """Read a call that names a quote: at the frozen prices, bound by the quote's hold and by X-Max-Cost (`most`).

        Refusals: quote_not_found, quote_mismatch, limiter_unavailable, and those of any call. Whether the quote is
        still open is for `redeem`: a repeat with an Idempotency-Key gets its first answer even so.
        """
        quote = await self.find((call.header(HEADER) or b"").decode("latin-1"), caller)
        document = read_object(body)
        if fingerprint(call.path, document, caller.entitlements.currency) != quote.terms.print:
            raise errors.quote_mismatch()
        frozen = replace(catalog, prices=price_book(quote.terms), worked_out={})
        most = quote.nano if most is None else min(most, quote.nano)
        # The size was quoted for the body without spaces, so that is what is sent on.
        order = read_order(endpoint, orjson.dumps(document), call.content_type, caller, frozen, most)
        order.quote = quote
        return order

    async def redeem(self, request_id: str, caller: Caller, order: Order) -> Hold:
        """Make the quote's hold the call's. Refusals: quote_not_found, quote_redeemed, quote_expired,
        limiter_unavailable. Repeatable for the same call."""
        quote, started = order.quote, time.monotonic()
        assert quote is not None
        self._check_meter(caller)
        if _windows(caller, request_id) != _windows(caller, quote.quote_id):
            raise errors.quote_expired()  # a budget that was set later, for a window that has ended since
        report = abandoned(request_id, caller, order, quote.period)
        try:
            admitted = await look(caller, request_id, self._counters)  # the quote's hold is in it already
            word, other = await self._holds.redeem(caller.account_id, quote.quote_id, request_id, report)
        except MeterUnavailable as failure:
            raise self._away(caller, failure) from failure
        if word != "OK":
            raise _refusal(word, other)
        held = (quote.period, quote.nano, quote.tokens)
        return Hold(request_id, caller, order, *held, admitted, started, quote.budgets)

    def _check_meter(self, caller: Caller) -> None:
        if not self._watch.is_ready(caller.account_id):
            raise errors.limiter_unavailable()

    def _away(self, caller: Caller, failure: MeterUnavailable) -> Refusal:
        _log.warning("meter away at a quote", error=str(failure))
        if is_away(failure):
            self._watch.failed(caller.account_id)
        return errors.limiter_unavailable()


def _terms(caller: Caller, wish: Wish, order: Order) -> Terms:
    model, currency = order.listed.model_id, caller.entitlements.currency
    print_ = fingerprint(wish.path, wish.body, currency)
    return Terms(caller.key_id, wish.path, model, currency, print_, freeze(order.candidates), _assumed(order))


def _assumed(order: Order) -> dict[str, int]:
    """The most of each unit that has a price: what the hold was worked out from."""
    most = most_used(order.input_bytes, order.max_output_tokens, order.asked, order.asked_is_estimate)
    priced = {unit for one in order.candidates for unit in one.pin.rates}
    return {unit.value: quantity for unit, quantity in most.items() if unit in priced and quantity}


def _latest_ms(caller: Caller, request_id: str) -> int:
    """When the first of the budgets' windows ends: the call must belong to those that its hold is taken in."""
    ends = [it.window.resets_at for it in counted_at(caller.budgets, request_id)]
    return min((int(end.timestamp() * 1000) for end in ends if end), default=_NEVER_MS)


def _windows(caller: Caller, request_id: str) -> list[str]:
    return [it.spend.name for it in counted_at(caller.budgets, request_id)]


def _refusal(word: str, request_id: str) -> Refusal:
    """Say why a quote is not open: the words of `QuoteHolds.redeem`."""
    match word:
        case "USED":
            return errors.quote_redeemed(request_id)
        case "EXPIRED":
            return errors.quote_expired()
    return errors.quote_not_found()


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
