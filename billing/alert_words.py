"""What an alert says: the mail, and the webhook's data. Composed in the active language."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.mails import Letter
from billing.budget_words import name_of, whole_amount
from billing.models import AlertFired
from billing.money import NANO
from billing.wording import day, number

if TYPE_CHECKING:
    from billing.alerts import Reading


def letter(alert: AlertFired, reading: "Reading") -> Letter:
    """The mail: how far, of what, and what happens now."""
    what = name_of(reading.budget) if reading.budget else _plan_part(alert)
    percent = {"percent": alert.threshold, "what": what, "account": alert.account.name}
    if alert.threshold < 100:
        subject = _("%(account)s: %(percent)s%% of %(what)s is used") % percent
    else:
        subject = _("%(account)s: %(what)s is used up") % percent
    place = reverse("budget", args=[alert.budget_id]) if alert.budget_id else reverse("billing")
    button = _("See the budget") if alert.budget_id else _("See your plan")
    return Letter(subject, [_used(alert), _consequence(alert, reading)], button, place)


def message(alert: AlertFired, reading: "Reading") -> dict[str, Any]:
    """The webhook's data. Amounts are decimal texts in whole currency units; no float."""
    is_calls = alert.measure == AlertFired.Measure.PLAN_CALLS
    data: dict[str, Any] = {
        "threshold_percent": alert.threshold,
        "used": alert.used if is_calls else _decimal(alert.used),
        "limit": alert.limit if is_calls else _decimal(alert.limit),
        "stops_calls": reading.stops,
        "window_start": _moment(alert.window_start),
        "resets_at": _moment(reading.resets_at) if reading.resets_at else None,
    }
    if not is_calls:
        data["currency"] = alert.account.currency
    if reading.budget is None:
        return {"account": str(alert.account_id), "measure": alert.measure.removeprefix("plan_")} | data
    budget = reading.budget
    described = {"id": str(budget.pk), "scope": budget.scope, "window": budget.window}
    if budget.key:
        described["key"] = str(budget.key_id)
    if budget.member:
        described["member"] = budget.member.user.email
    return {"account": str(alert.account_id), "budget": described} | data


def _used(alert: AlertFired) -> str:
    if alert.measure == AlertFired.Measure.PLAN_CALLS:
        amounts = {"used": number(alert.used), "limit": number(alert.limit)}
        return _("%(used)s of %(limit)s calls are made.") % amounts
    currency = alert.account.currency
    amounts = {"used": whole_amount(alert.used, currency), "limit": whole_amount(alert.limit, currency)}
    return _("%(used)s of %(limit)s is used.") % amounts


def _consequence(alert: AlertFired, reading: "Reading") -> str:
    """What happens, or will happen, to calls."""
    if not reading.stops:
        if reading.budget:
            return _("Calls go on: this budget tells you and stops nothing.")
        return _("Calls go on, and are charged past what the plan includes.")
    zone = alert.account.time_zone if reading.budget else "UTC"
    until = {"date": day(reading.resets_at, zone)} if reading.resets_at else {}
    if alert.threshold < 100:
        if until:
            return _("At the limit calls are refused with 402 until %(date)s, unless you raise it.") % until
        return _("At the limit calls are refused with 402 until you raise it.")
    if until:
        return (
            _("Calls are refused with 402 until %(date)s. Raise it, and they pass within a second.") % until
        )
    return _("Calls are refused with 402. Raise it, and they pass within a second.")


def _plan_part(alert: AlertFired) -> str:
    if alert.measure == AlertFired.Measure.PLAN_CALLS:
        return _("the plan's calls")
    return _("the plan's credit")


def _decimal(nano: int) -> str:
    return f"{(Decimal(nano) / NANO).normalize():f}"


def _moment(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))
