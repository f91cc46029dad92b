"""The Quotes page: the open quotes, as the meter has them, and the calls that redeemed one, as the ledger has them.

A quote that expired or was given back was no call: the meter forgets it, and no record is kept.
"""

from dataclasses import dataclass
from datetime import datetime

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.decorators import MemberRequest, member_required
from accounts.models import Account, ApiKey
from billing.call_log import quoted_calls
from gateway.counters import Counters, MeterUnavailable
from gateway.limits import began_ms, moment
from gateway.meter import connect
from gateway.quote_holds import QuoteHolds
from gateway.quote_terms import Quote

LATEST_CALLS = 50


@dataclass(frozen=True, slots=True)
class Line:
    """An open quote as the page shows it. `nano` is the most that its call may cost."""

    quote_id: str
    model: str
    key: str
    nano: int
    currency: str
    taken_at: datetime
    expires_at: datetime


@require_GET
@member_required("see_usage")
def quotes(request: MemberRequest) -> HttpResponse:
    """The account's quotes. 503 where the meter is away: then the redeemed ones are still shown."""
    account = request.membership.account
    context: dict[str, object] = {"redeemed": quoted_calls(account, LATEST_CALLS)}
    try:
        context |= {"open": _lines(account, async_to_sync(_open_quotes)(str(account.pk)))}
    except MeterUnavailable:
        return render(request, "quotes.html", context | {"away": True}, status=503)
    return render(request, "quotes.html", context)


async def _open_quotes(account_id: str) -> list[Quote]:
    client = connect(settings.METER_REDIS_URL, timeout=settings.METER_TIMEOUT_SECONDS)
    try:
        return await QuoteHolds(Counters(client)).open_quotes(account_id)
    finally:
        await client.aclose()


def _lines(account: Account, found: list[Quote]) -> list[Line]:
    names = {str(key.pk): key.name for key in ApiKey.objects.filter(account=account)}
    return [
        Line(
            quote.quote_id,
            quote.terms.model,
            names.get(quote.terms.key_id, _("A key that is gone")),
            quote.nano,
            quote.terms.currency,
            moment(began_ms(quote.quote_id) or 0),
            moment(quote.until_ms),
        )
        for quote in found
    ]
