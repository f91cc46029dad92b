"""Mails about money: what happened, what it means, what to do. Written into the outbox with what they tell of."""

from collections.abc import Callable

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.mails import Letter, readers_of, write
from accounts.models import Account
from billing.models import DunningStep


def address_of(account: Account) -> str:
    """Where bills go: the billing e-mail, else the first who may see them; "" if there is nobody."""
    readers = readers_of(account)
    return readers[0].email if readers else ""


def write_dunning(step: DunningStep) -> None:
    """Write the mail of one step, to everybody who looks after the account's bills, in their languages."""
    account = step.dunning.account
    write(readers_of(account), lambda: _letter(step), account)


def write_tax_problem(account: Account) -> None:
    """Ask for an address: an invoice waits, since its tax cannot be worked out."""
    write(readers_of(account), _tax_letter, account)


def _letter(step: DunningStep) -> Letter:
    compose: dict[str, Callable[[DunningStep], tuple[str, str]]] = {
        DunningStep.Step.FAILED: _failed,
        DunningStep.Step.LIMITED: _limited,
        DunningStep.Step.SUSPENDED: _suspended,
        DunningStep.Step.SETTLED: _settled,
    }
    subject, text = compose[step.step](step)
    return Letter(subject, [text], _("See what is to be paid"), reverse("billing"))


def _failed(step: DunningStep) -> tuple[str, str]:
    facts = {"account": step.dunning.account.name, "days": step.dunning.plan_version.grace_days}
    text = _("A payment of %(account)s did not go through, or a statement is past its date.") % facts
    if facts["days"] is not None:
        text += (
            " " + _("Calls go on for %(days)d days from then on. Please pay before they are over.") % facts
        )
    return _("A payment did not go through"), text


def _limited(step: DunningStep) -> tuple[str, str]:
    text = _(
        "The days of grace for %(account)s are over, so calls are answered with 402 payment_overdue. "
        "They work again within a second of the payment."
    )
    return _("Calls have stopped until a payment is made"), text % {"account": step.dunning.account.name}


def _suspended(step: DunningStep) -> tuple[str, str]:
    text = _("%(account)s is suspended, since a payment is still overdue. A payment ends that at once.")
    return _("Your account is suspended"), text % {"account": step.dunning.account.name}


def _settled(step: DunningStep) -> tuple[str, str]:
    text = _("Nothing of %(account)s is overdue any more, and calls work.")
    return _("Thank you, everything is paid"), text % {"account": step.dunning.account.name}


def _tax_letter() -> Letter:
    text = _(
        "Your invoice waits, since the tax on it cannot be worked out. Please check your billing address."
    )
    return Letter(_("We need your address"), [text], _("Billing details"), reverse("billing-details"))
