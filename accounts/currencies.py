"""The currencies that an account may be kept in, chosen when it is opened. Their decimals: `billing/money.py`."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DEFAULT_CURRENCY = "USD"

CURRENCIES: Mapping[str, str | Promise] = {
    "USD": _("US dollar (USD)"),
    "EUR": _("Euro (EUR)"),
    "GBP": _("Pound sterling (GBP)"),
    "JPY": _("Japanese yen (JPY)"),
    "KRW": _("Korean won (KRW)"),
}

_BY_LANGUAGE = {"ko": "KRW"}


def currency_for(language: str | None) -> str:
    """Return the currency that a form proposes to readers of a language: "KRW" for "ko", else "USD"."""
    return _BY_LANGUAGE.get((language or "").split("-")[0], DEFAULT_CURRENCY)
