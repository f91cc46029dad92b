"""How amounts are written in lists and on pages of the admin.

The rules are the screens' own template filters. They belong to the gateway, which billing may not import,
so they are reached the way the screens reach them: through the template engine.
"""

from decimal import Decimal
from functools import cache
from typing import Any

from django.template import engines
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


@cache
def _template(source: str) -> Any:
    return engines["django"].from_string(source)


def money(nano: int | None, currency: str) -> SafeString:
    """Nano-units as a total: `$2.00`. A dash for None."""
    return SafeString(_template("{{ it|money:c }}").render({"it": nano, "c": currency}))


def exact(nano: int | None, currency: str) -> SafeString:
    """Nano-units with all their digits: `$0.0000125`. A dash for None."""
    return SafeString(_template("{{ it|exact:c }}").render({"it": nano, "c": currency}))


def minor(amount: int | None, currency: str) -> SafeString:
    """Minor units: 900 is `$9.00`. A dash for None."""
    return SafeString(_template("{{ it|minor:c }}").render({"it": amount, "c": currency}))


def unit_price(price: Decimal | None, currency: str, unit: str) -> SafeString:
    """A price for one unit as people quote it: `$0.15 per 1M input tokens`."""
    return SafeString(_template("{% unit_price it c u %}").render({"it": price, "c": currency, "u": unit}))


def number(value: int | Decimal | None) -> SafeString:
    """A count with the reader's separators. A dash for None."""
    return SafeString(_template("{{ it|number }}").render({"it": value}))


def link(route: str, text: Any, *args: Any, **query: Any) -> SafeString:
    """A link within the admin: `link("billing_statement_changelist", "12", account__id__exact=…)`."""
    url = reverse(f"admin:{route}", args=args, query=query or None)
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, text)
