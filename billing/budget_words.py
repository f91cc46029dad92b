"""How a budget is called, in the active language: on screens, in mails, in the admin."""

from decimal import Decimal

from babel.numbers import format_currency
from django.utils.translation import gettext as _

from billing.models import Budget
from billing.money import NANO, minor_digits, nano_per_minor
from billing.wording import reader_locale


def name_of(budget: Budget) -> str:
    """Call a budget by whose it is and how long it counts: «the monthly budget of key “Shop”»."""
    words = {
        ("account", "day"): _("the daily budget"),
        ("account", "week"): _("the weekly budget"),
        ("account", "month"): _("the monthly budget"),
        ("account", "lifetime"): _("the budget for good"),
        ("member", "day"): _("the daily budget of %(whose)s"),
        ("member", "week"): _("the weekly budget of %(whose)s"),
        ("member", "month"): _("the monthly budget of %(whose)s"),
        ("member", "lifetime"): _("the budget for good of %(whose)s"),
        ("key", "day"): _("the daily budget of key “%(whose)s”"),
        ("key", "week"): _("the weekly budget of key “%(whose)s”"),
        ("key", "month"): _("the monthly budget of key “%(whose)s”"),
        ("key", "lifetime"): _("the budget for good of key “%(whose)s”"),
    }
    return words[budget.scope, budget.window] % {"whose": whose(budget)}


def whose(budget: Budget) -> str:
    """Say whose calls count: the account's name, the person's, or the key's."""
    if budget.scope == Budget.Scope.KEY:
        return budget.key.name if budget.key else ""
    if budget.scope == Budget.Scope.MEMBER:
        return budget.member.user.get_full_name() if budget.member else _("A member who has left")
    return budget.account.name


def whole_amount(nano: int, currency: str) -> str:
    """Write nano-units with the currency's usual digits, or with all of them below one minor unit: $0.0012."""
    if 0 < nano < nano_per_minor(currency):
        digits = (Decimal(nano) / NANO).normalize()
        return format_currency(digits, currency, locale=reader_locale(), decimal_quantization=False)
    step = Decimal(1).scaleb(-minor_digits(currency))
    return format_currency((Decimal(nano) / NANO).quantize(step), currency, locale=reader_locale())
