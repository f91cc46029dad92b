"""How a statement's lines and amounts are written, in the active language. Pure functions over rows.

Each figure is written so that a customer can reproduce the line: the counted quantity, and the price with
all its digits.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_currency, format_decimal
from django.utils.translation import get_language, gettext, gettext_noop, to_locale

from billing.models import CreditSource, StatementLine
from billing.money import minor_digits
from billing.period import BillingPeriod
from billing.pricing import SCALE, Unit

_NAMES: Mapping[Unit, str] = {
    Unit.INPUT_TOKEN: gettext_noop("input tokens"),
    Unit.CACHED_INPUT_TOKEN: gettext_noop("cached input tokens"),
    Unit.OUTPUT_TOKEN: gettext_noop("output tokens"),
    Unit.REQUEST: gettext_noop("requests"),
    Unit.COMPUTE_SECOND: gettext_noop("seconds of compute"),
    Unit.IMAGE: gettext_noop("images"),
    Unit.AUDIO_SECOND: gettext_noop("seconds of audio"),
    Unit.CHARACTER: gettext_noop("characters"),
}

# Units whose price is quoted per million, so that it has few leading zeros.
_PER_MILLION = {Unit.INPUT_TOKEN, Unit.CACHED_INPUT_TOKEN, Unit.OUTPUT_TOKEN, Unit.CHARACTER}


def describe(line: StatementLine, currency: str, own_period: str) -> str:
    """Write a line in one sentence: «org/model: 1,234,567 input tokens × $0.02 per 1M».

    `own_period` is the statement's; a line of another one says which.
    """
    if line.kind not in (StatementLine.Kind.USAGE, StatementLine.Kind.ADJUSTMENT):
        return f"{title(line)}, {month(line.period)}"
    text = title(line)
    if line.kind == StatementLine.Kind.ADJUSTMENT:
        return f"{text}, {unit_name(line)}, {month(line.period)}" if line.unit else text
    if line.unit:
        text += f": {quantity(line)} {unit_name(line)} × {unit_price(line, currency)}"
    return text if line.period == own_period else f"{text} ({month(line.period)})"


def title(line: StatementLine) -> str:
    """What the line is about: a model, the plan, the credit."""
    if line.kind == StatementLine.Kind.PLAN:
        if line.amount_minor < 0:
            return gettext("Already paid for this month")
        return gettext("%(plan)s plan") % {"plan": line.statement.plan_version.plan.name}
    if line.kind == StatementLine.Kind.CREDIT:
        return str(CreditSource(line.credit_source or CreditSource.INCLUDED).label)
    if line.kind == StatementLine.Kind.ADJUSTMENT:
        return _adjustment_title(line)
    return line.model or gettext("Other models")


def _adjustment_title(line: StatementLine) -> str:
    note = line.adjustment.credit_note if line.adjustment else None
    if note:
        return gettext("Credit note %(number)s") % {"number": note.number}
    return gettext("Corrected price: %(model)s") % {"model": line.model or gettext("Other models")}


def unit_name(line: StatementLine) -> str:
    """Write what is counted: «input tokens». Empty where a line counts nothing that has a name."""
    return gettext(_NAMES[Unit(line.unit)]) if line.unit else ""


def quantity(line: StatementLine) -> str:
    """Write how many, in whole units: seconds with their decimals, the rest as integers."""
    scale = SCALE[Unit(line.unit)] if line.unit else 1
    return format_decimal(
        _plain(Decimal(line.quantity) / scale), locale=reader_locale(), decimal_quantization=False
    )


def unit_price(line: StatementLine, currency: str) -> str:
    """Write the price with all its digits: «$0.02 per 1M», «$0.00012 each». Empty where there is none."""
    if line.unit_price is None:
        return ""
    million = line.unit in _PER_MILLION
    price = format_currency(
        _plain(line.unit_price * (1_000_000 if million else 1)),
        currency,
        locale=reader_locale(),
        decimal_quantization=False,
    )
    return (gettext("%(price)s per 1M") if million else gettext("%(price)s each")) % {"price": price}


def amount(minor: int, currency: str) -> str:
    """Write minor units with the currency's decimals: 900 is «$9.00» in USD and «₩900» in KRW."""
    return format_currency(Decimal(minor).scaleb(-minor_digits(currency)), currency, locale=reader_locale())


def month(period: str) -> str:
    """Write a period's key as a month: «November 2026»."""
    return str(format_skeleton("yMMMM", BillingPeriod.parse(period).start, locale=reader_locale()))


def day(moment: datetime, time_zone: str = "UTC") -> str:
    """Write the day of a moment, in UTC or on another calendar: «November 1, 2026»."""
    return format_date(moment.astimezone(ZoneInfo(time_zone)), "long", locale=reader_locale())


def minute(moment: datetime) -> str:
    """Write a moment to the minute, in UTC: «2026-11-23 18:04 UTC»."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def number(count: int) -> str:
    """Write a count with the reader's thousands separators: «50,000»."""
    return format_decimal(count, locale=reader_locale())


def reader_locale() -> Locale:
    """The Babel locale of the active language; English when none is active."""
    return Locale.parse(to_locale(get_language() or "en"))


def _plain(number: Decimal) -> Decimal:
    """Without trailing zeros."""
    return number.normalize()
