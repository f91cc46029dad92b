"""How money, prices, numbers and times are written, in the reader's language. Pure functions, no queries.

Amounts arrive as integers: nano-units (1e-9 of a currency unit) from the ledger, minor units (cents; won
itself) from statements. Nothing here computes money: it only writes it.
"""

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

from babel import Locale
from babel.dates import format_date, format_skeleton, format_timedelta
from babel.numbers import format_currency, format_decimal, get_currency_precision
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, to_locale

NANO = Decimal(10) ** 9
NOTHING = "—"
# After this many days a distance in time says less than the date itself.
RELATIVE_DAYS = 30


def reader_locale() -> Locale:
    """The Babel locale of the language this thread answers in; English when none is active."""
    return Locale.parse(to_locale(get_language() or "en"))


def money(nano: int | None, currency: str = "USD") -> str:
    """Write nano-units as a total with the currency's usual digits: `$2.00`, `₩1,200`. Half up."""
    if nano is None:
        return NOTHING
    step = Decimal(1).scaleb(-get_currency_precision(currency))
    amount = (Decimal(nano) / NANO).quantize(step, ROUND_HALF_UP)
    return format_currency(amount, currency, locale=reader_locale())


def minor(amount: int | None, currency: str = "USD") -> str:
    """Write minor units (a statement line, a plan's price): 900 is `$9.00` in USD, `₩900` in KRW."""
    if amount is None:
        return NOTHING
    value = Decimal(amount).scaleb(-get_currency_precision(currency))
    return format_currency(value, currency, locale=reader_locale())


def list_price(amount: int | None, currency: str = "USD") -> str:
    """Write minor units as a price list does, without empty cents: 900 is `$9`, 950 is `$9.50`."""
    if amount is None:
        return NOTHING
    digits = get_currency_precision(currency)
    if amount % 10**digits:
        return minor(amount, currency)
    pattern = reader_locale().currency_formats["standard"].pattern.replace(".00", "")
    return format_currency(
        amount // 10**digits, currency, format=pattern, locale=reader_locale(), currency_digits=False
    )


def exact(nano: int | Decimal | None, currency: str = "USD") -> str:
    """Write nano-units with every digit that is not a trailing zero: one call's cost, `$0.0000125`."""
    if nano is None:
        return NOTHING
    return _all_digits(Decimal(nano) / NANO, currency)


# How many units a price is quoted for, so that it has few leading zeros.
_PER = {
    "input_token": 1_000_000,
    "cached_input_token": 1_000_000,
    "output_token": 1_000_000,
    "character": 1_000_000,
}


def unit_price(amount: Decimal | int | None, currency: str, unit: str) -> str:
    """Write a price in currency units for one `unit` with all its digits.

    `unit_price(Decimal("0.00000015"), "USD", "input_token")` is `$0.15 per 1M input tokens`.
    """
    if amount is None:
        return NOTHING
    words = {
        "input_token": gettext("%(price)s per 1M input tokens"),
        "cached_input_token": gettext("%(price)s per 1M cached input tokens"),
        "output_token": gettext("%(price)s per 1M output tokens"),
        "character": gettext("%(price)s per 1M characters"),
        "request": gettext("%(price)s per call"),
        "compute_second": gettext("%(price)s per compute second"),
        "image": gettext("%(price)s per image"),
        "audio_second": gettext("%(price)s per second of audio"),
    }
    price = _all_digits(Decimal(amount) * _PER.get(unit, 1), currency)
    return words.get(unit, "%(price)s / " + unit) % {"price": price}


def _all_digits(value: Decimal, currency: str) -> str:
    return format_currency(value.normalize(), currency, locale=reader_locale(), decimal_quantization=False)


def number(value: int | Decimal | None) -> str:
    """Write a count with the reader's thousands separators: `50,000`."""
    if value is None:
        return NOTHING
    return format_decimal(value, locale=reader_locale(), decimal_quantization=False)


def signed_percent(value: Decimal | int | float | None) -> str:
    """Write a change in percent with its sign and at most one digit: 12.52 is `+12.5%`, 0 is `0%`."""
    if value is None:
        return NOTHING
    rounded = Decimal(str(value)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    text = format_decimal(abs(rounded), format="#,##0.#", locale=reader_locale())
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{text}%"


def when(moment: dt.datetime | None) -> SafeString:
    """Write a moment as a distance from now (`3 minutes ago`), exact UTC on hover and focus.

    Further away than 30 days it is the date. A naive moment is read as UTC.
    """
    if moment is None:
        return SafeString(NOTHING)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return format_html(
        '<time class="when" datetime="{}" title="{}" tabindex="0">{}</time>',
        moment.isoformat(timespec="seconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        _distance(moment),
    )


def _distance(moment: dt.datetime) -> str:
    delta = moment - timezone.now()
    if abs(delta) < dt.timedelta(seconds=5):
        return gettext("just now")
    if abs(delta) > dt.timedelta(days=RELATIVE_DAYS):
        return day(moment)
    return format_timedelta(delta, add_direction=True, threshold=1.2, locale=reader_locale())


def day(value: dt.date | dt.datetime | None) -> str:
    """Write a date, in UTC when it is a moment: `Dec 1, 2026`, `2026년 12월 1일`."""
    if value is None:
        return NOTHING
    locale = reader_locale()
    return format_date(
        _utc_date(value), format="long" if locale.language == "ko" else "medium", locale=locale
    )


def month(value: dt.date | dt.datetime | None) -> str:
    """Write a billing month: `November 2026`, `2026년 11월`."""
    if value is None:
        return NOTHING
    return format_skeleton("yMMMM", _utc_date(value), locale=reader_locale())


def _utc_date(value: dt.date | dt.datetime) -> dt.date:
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).date()
    return value
