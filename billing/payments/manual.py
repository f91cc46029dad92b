"""The quiet twin: issues with our own number and PDF; the customer pays by transfer, and staff mark it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing.models import NumberSeries, Statement
from billing.payments import states
from billing.payments.provider import (
    ChargeReceipt,
    CreditedLine,
    CreditNoteReceipt,
    InvoiceFigures,
    PaymentError,
)
from billing.period import BillingPeriod


class ManualProvider:
    """Issues statements by itself; nobody is charged by itself."""

    slug = "manual"
    collects = False

    def issue(self, statement: Statement) -> Statement:
        """Number the statement and make it due, after as many days as its plan gives to pay."""
        now = timezone.now()
        due_at = now + timedelta(days=statement.plan_version.days_until_due)
        return states.finalize(statement, provider=self.slug, at=now, due_at=due_at)

    def mark_paid(self, statement: Statement, paid_at: datetime | None = None) -> Statement:
        """Write that it was paid."""
        return states.settle(statement, paid_at)

    def void(self, statement: Statement) -> Statement:
        """Write that nobody owes it."""
        return states.take_back(statement)

    def credit_note(
        self,
        statement: Statement,
        lines: Sequence[CreditedLine],
        *,
        key: str,
        memo: str,
        refund_minor: int = 0,
    ) -> CreditNoteReceipt:
        """Our own row is the credit note; money goes back by hand."""
        return CreditNoteReceipt(reference="")

    def refund(self, payment: str, amount_minor: int, *, account: Account, key: str) -> str:
        """Staff transfer it back; there is nothing to ask."""
        return ""

    def top_up_page(
        self, account: Account, amount_minor: int, *, key: str, description: str, back_url: str
    ) -> str:
        """PaymentError: nothing here takes a payment."""
        raise PaymentError(_nothing_collects())

    def figures(self, period: BillingPeriod) -> Sequence[InvoiceFigures]:
        """What can be off by hand: as many numbers as were given in the period's year must stand on statements."""
        series = NumberSeries.objects.filter(year=period.year).first()
        numbered = Statement.objects.filter(number__startswith=f"TP-{period.year}-").count()
        given = series.last if series else 0
        return [
            InvoiceFigures(
                f"numbers of {period.year}",
                None,
                given,
                numbered,
                "numbers",
                "Statement numbers without gaps",
            )
        ]

    def charge(self, account: Account, amount_minor: int, *, key: str, description: str) -> ChargeReceipt:
        """PaymentError: nothing here takes a payment."""
        raise PaymentError(_nothing_collects())


def _nothing_collects() -> str:
    return gettext("This installation has no payment provider. Write to us to pay in advance.")
