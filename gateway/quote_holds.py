"""Quotes in the meter: a quote is a hold with terms, taken by the script that takes a call's (`lua/admit.lua`).

open       its hold counts in the period, the budgets and the calls at once, as a call's does
redeemed   its hold is the call's (`lua/redeem.lua`)           remembered for 24 h, with the call's id
open       again, where that call failed (`lua/reopen.lua`)
expired    the sweep has ended it (`lua/sweep.lua`), no record  remembered for 24 h
-          given back (`lua/release.lua`), or never there
"""

import time
from typing import Any

from gateway.counters import Counters, Settlement
from gateway.meter_keys import keys_of
from gateway.quote_terms import Quote, read_terms
from gateway.scripting import Scripts

MOST_CALLS = 3  # of one quote: so many fail before it is used up. They pass the requests a minute but once
_FIELDS = ("terms", "state", "period", "nano", "tokens", "until", "rid", "counters")


class QuoteHolds:
    """The quotes' part of the meter. Any method may raise MeterUnavailable."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._scripts = Scripts(counters.client)

    async def find(self, account_id: str, quote_id: str) -> Quote | None:
        """Return a quote. None if there is none, or it was given back. Only looks.

        Accounts of one shard could ask for each other's: whose it is, the terms say by the key.
        """
        keys = keys_of(account_id)
        found: Any = await self._counters.client.hmget(keys.quote(quote_id), _FIELDS)
        terms, *facts = found
        if terms is None:
            return None
        state, period, nano, tokens, until, rid, counters = ((fact or b"").decode() for fact in facts)
        names = tuple(name.removeprefix(keys.budget_prefix) for name in counters.split()[1:])
        numbers = (int(nano), int(tokens), int(until))
        return Quote(quote_id, state, read_terms(terms), period, *numbers, rid, names)

    async def open_quotes(self, account_id: str) -> list[Quote]:
        """Return the quotes of an account that no call has yet, the one that ends first in front. Only looks."""
        now = time.time() * 1000
        ids: Any = await self._counters.client.zrangebyscore(
            keys_of(account_id).quotes, f"({now:.0f}", "+inf"
        )
        found = [await self.find(account_id, quote_id.decode()) for quote_id in ids]  # MOST_QUOTES at most
        return [quote for quote in found if quote is not None and quote.state == "open"]

    async def redeem(self, account_id: str, quote_id: str, request_id: str, report: bytes) -> tuple[str, str]:
        """Make a quote's hold a call's. Returns OK, USED with the id of the call that did so, EXPIRED or NONE.
        Repeatable."""
        keys = keys_of(account_id)
        holds = (keys.quote(quote_id), keys.hold(quote_id), keys.hold(request_id))
        names = (*holds, keys.open, keys.deadlines, keys.quotes)
        args = (quote_id, request_id, self._counters.hold_ms, report, account_id)
        word, *rest = (part.decode() for part in await self._scripts.run("redeem", names, args))
        return word, rest[0] if rest else ""

    async def settle_failed(self, settlement: Settlement, quote_id: str) -> str:
        """Settle a call that failed and was not charged, and make its hold the quote's again; or settle it alone, where
        the quote's time or tries are over. Returns what `Counters.settle` returns. Repeatable."""
        keys, rid = keys_of(settlement.account_id), settlement.request_id
        holds = (keys.quote(quote_id), keys.hold(quote_id), keys.hold(rid))
        names = (*holds, keys.open, keys.deadlines, keys.quotes, keys.stream)
        args = (quote_id, rid, settlement.report, MOST_CALLS, settlement.account_id)
        word: str = (await self._scripts.run("reopen", names, args)).decode()
        return await self._counters.settle(settlement) if word == "NO" else word

    async def release(self, account_id: str, quote: Quote) -> bool:
        """Give a quote's hold back. False if it is not open any more. Repeatable."""
        keys = keys_of(account_id)
        quote_id = quote.quote_id
        names = (keys.quota(quote.period), keys.open, keys.quotes, keys.quote(quote_id), keys.hold(quote_id))
        return bool(await self._scripts.run("release", names, (quote_id,)))
