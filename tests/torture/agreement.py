"""Do ledger, statements and the fake Stripe say the same of an account? To the minor unit, line by line."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db.models import Sum

from accounts.models import Account
from billing.models import (
    BillingAlarm,
    Statement,
    StatementLine,
    StripeCustomer,
    StripeInvoice,
    Subscription,
    UsageEvent,
)
from tests.fakes.stripe.process import FakeStripe

Object = dict[str, Any]
ISSUED = ("open", "paid", "uncollectible")


class Stripe:
    """What the fake has, read once."""

    def __init__(self, fake: FakeStripe) -> None:
        self.invoices = fake.objects("invoice")
        self.charges = [one for one in fake.objects("charge") if one["status"] == "succeeded"]

    def of(self, account: Account) -> list[Object]:
        """The issued invoices of an account."""
        customers = set(StripeCustomer.objects.filter(account=account).values_list("pk", flat=True))
        return [one for one in self.invoices if one["customer"] in customers and one["status"] in ISSUED]

    def charged(self, account: Account) -> int:
        """What was taken from the account's cards."""
        customers = set(StripeCustomer.objects.filter(account=account).values_list("pk", flat=True))
        return sum(one["amount"] for one in self.charges if one["customer"] in customers)

    def lines_twice(self) -> list[str]:
        """Our lines that stand on more than one line of the issued invoices."""
        seen = Counter(key for one in self.invoices if one["status"] in ISSUED for key in _ours(one))
        return [key for key, times in seen.items() if times > 1]


def _ours(invoice: Object) -> dict[str, int]:
    return {
        line["metadata"]["turnpike_line"]: line["amount"]
        for line in invoice["lines"]["data"]
        if line["metadata"].get("turnpike_line")
    }


def differences(account: Account, stripe: Stripe) -> Iterator[str]:
    """Say in words what does not agree; nothing if all does."""
    invoices = stripe.of(account)
    statements = Statement.objects.filter(account=account)
    yield from _ledger_and_statements(account)
    yield from _lines(statements.filter(total_minor__gt=0).exclude(kind=Statement.Kind.FEE), invoices)
    theirs, ours = sum(one["total"] for one in invoices), sum(one.total_minor for one in statements)
    if theirs != ours:
        yield f"statements {ours}, Stripe's invoices {theirs}"
    for invoice in invoices:
        carried = Statement.objects.filter(lines__stripe_line__invoice_id=invoice["id"]).distinct()
        if sum(one.total_minor for one in carried) != invoice["total"]:
            yield f"{invoice['id']} is {invoice['total']}, its statements {sum(one.total_minor for one in carried)}"
    if unpaid := [one.pk for one in statements if one.state != Statement.State.PAID]:
        yield f"not paid: {unpaid}"
    owed = sum(one["amount_due"] for one in invoices)
    if stripe.charged(account) != owed:
        yield f"charged {stripe.charged(account)}, owed {owed}"


def _ledger_and_statements(account: Account) -> Iterator[str]:
    ledger = UsageEvent.objects.filter(account=account).aggregate(sum=Sum("nano_cost"))["sum"] or 0
    usage = StatementLine.objects.filter(statement__account=account, kind=StatementLine.Kind.USAGE)
    billed = usage.aggregate(sum=Sum("nano_amount"))["sum"] or 0
    if ledger != billed:
        yield f"ledger {ledger} nano, statements {billed}"


def _lines(statements: Any, invoices: list[Object]) -> Iterator[str]:
    """Every line of ours stands there once, with its amount, and no line there is unknown here."""
    theirs: dict[str, int] = {}
    for invoice in invoices:
        theirs |= _ours(invoice)
    ours = {
        str(line.pk): line.amount_minor for line in StatementLine.objects.filter(statement__in=statements)
    }
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"line {key}: ours {ours.get(key)}, Stripe's {theirs.get(key)}"


def alarms() -> list[str]:
    """What waits for a person."""
    return [
        f"{alarm.kind} {alarm.subject}: {alarm.detail}"
        for alarm in BillingAlarm.objects.filter(closed_at=None)
    ]


def fingerprint() -> str:
    """One text for everything that a webhook could change about money and plans."""
    rows = [
        *Statement.objects.order_by("pk").values_list("pk", "state", "total_minor", "number"),
        *StripeInvoice.objects.order_by("pk").values_list("pk", "status", "total_minor", "due_minor"),
        *Subscription.objects.order_by("pk").values_list("pk", "plan_version_id", "started_at", "ended_at"),
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()
