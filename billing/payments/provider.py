"""What a payment provider does, whoever it is: the protocol, what it answers, and how it fails.

`manual.py` issues by itself and waits for staff; `stripe_provider.py` collects. Everybody else asks
`payment_provider()` and knows neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from accounts.models import Account
from billing.models import Statement, StatementLine
from billing.period import BillingPeriod


class PaymentError(Exception):
    """It cannot be done, and trying again does not help; the message says why and what to do."""


class Declined(PaymentError):
    """A payment was refused. `code` is the provider's ("card_declined"); the customer has to do something."""

    def __init__(self, message: str, code: str = "", url: str = "") -> None:
        super().__init__(message)
        self.code, self.url = code, url  # url: where the customer can confirm or pay by hand


class ProviderAway(Exception):
    """No answer, or too many requests. Nothing is known to be wrong: the same again, later."""


@dataclass(frozen=True, slots=True)
class CreditedLine:
    """How much of a statement's line is given back, in positive minor units."""

    line: StatementLine
    amount_minor: int


@dataclass(frozen=True, slots=True)
class CreditNoteReceipt:
    """A credit note as the provider made it."""

    reference: str  # the provider's id: "cn_…"; empty where it has none
    number: str = ""
    pdf_url: str = ""
    refund_reference: str = ""  # "re_…" where money went back


class ChargeState(StrEnum):
    """How a charge stands. `PENDING` will still become one of the others."""

    PAID = "paid"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChargeReceipt:
    """A charge that we asked for. `payment` is what a refund names ("pi_…")."""

    reference: str
    state: ChargeState
    payment: str = ""
    message: str = ""  # why it failed, for the customer


@dataclass(frozen=True, slots=True)
class InvoiceFigures:
    """What our statements and the provider say of the same thing, in minor units: reconciliation compares."""

    subject: str  # an invoice's id, or what else is compared
    account_id: str | None
    ours_minor: int
    theirs_minor: int
    currency: str
    what: str


class PaymentProvider(Protocol):
    """Whoever issues statements and collects what they say.

    Every method that changes something takes or derives a key and may be called again with the same one:
    it happens once. None may be called inside a database transaction, since they call out.
    Errors: PaymentError (final, for people), Declined (the customer's card), ProviderAway (later).
    """

    slug: str
    collects: bool  # whether it takes the money by itself

    def issue(self, statement: Statement) -> Statement:
        """Issue a frozen statement and return it as it is then. One that is issued already stays as it is."""
        ...

    def mark_paid(self, statement: Statement, paid_at: datetime | None = None) -> Statement:
        """Say that an issued statement was paid outside (now, if not given). PaymentError unless owed or paid."""
        ...

    def void(self, statement: Statement) -> Statement:
        """Take back an issued statement: nothing is owed. PaymentError unless it is owed or void."""
        ...

    def credit_note(
        self,
        statement: Statement,
        lines: Sequence[CreditedLine],
        *,
        key: str,
        memo: str,
        refund_minor: int = 0,
    ) -> CreditNoteReceipt:
        """Credit lines of an issued statement. Owed: what is due becomes less. Paid: `refund_minor` goes back to
        the card, the rest to the customer's balance with the provider. PaymentError if it cannot."""
        ...

    def refund(self, payment: str, amount_minor: int, *, account: Account, key: str) -> str:
        """Give back part of a payment that no statement carries (a top-up). Return the refund's reference."""
        ...

    def top_up_page(
        self, account: Account, amount_minor: int, *, key: str, description: str, back_url: str
    ) -> str:
        """Return the address of a page where the customer pays an amount once.

        When it is paid, `billing.collection.top_ups.PAID` is called with the account, the key and a
        ChargeReceipt, at least once. PaymentError where there is no such page.
        """
        ...

    def figures(self, period: BillingPeriod) -> Sequence[InvoiceFigures]:
        """Return what carries the issued statements of a period, with both sides' amounts, read anew."""
        ...

    def charge(self, account: Account, amount_minor: int, *, key: str, description: str) -> ChargeReceipt:
        """Charge the customer's card without them (automatic top-up). Asked again with the same key, it
        says how that charge stands now."""
        ...
