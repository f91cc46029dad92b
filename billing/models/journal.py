"""The journal: every event about money as a balanced entry. The database holds that (migration's triggers).

An entry balances in each currency when its transaction commits, or the transaction fails; entries and lines
are never edited. Who writes what: `billing/journal.py`.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account


class LedgerAccount(models.TextChoices):
    """The accounts of the journal. The comment says what a balance means, and on which side it stands."""

    RECEIVABLE = "receivable", _("Accounts receivable")  # debit: customers owe us
    CASH = "cash", _("Cash")  # debit: was paid to us, less what we paid back
    CREDIT = "credit_liability", _("Customers' credit")  # credit: grants that are not used yet
    BALANCE = "customer_balance", _("Customers' balance")  # credit: comes off the next statements
    TAX = "tax", _("Tax")  # credit: owed to the tax office
    REVENUE = "revenue", _("Revenue")  # credit: fees and usage, after included credit
    REFUNDS = "refunds", _("Refunds and credit notes")  # debit: revenue that was given back
    PROMOTIONS = "promotions", _("Credit given away")  # debit: promotional and granted credit
    CHARGEBACKS = "chargebacks", _("Chargebacks")  # debit: payments that customers' banks took back
    BREAKAGE = "breakage", _("Expired credit")  # credit: prepaid and never used


class JournalEntry(models.Model):
    """One event, in one transaction with the rows that it is about. `reference` is the event: it is booked once."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        TAX = "tax", _("Tax")
        PAYMENT = "payment", _("Payment")
        VOID = "void", _("Void")
        CREDIT_NOTE = "credit_note", _("Credit note")
        GRANT = "grant", _("Credit granted")
        BURN = "burn", _("Credit used")
        RESTORED = "restored", _("Credit restored")
        EXPIRED = "expired", _("Credit expired")
        WITHDRAWN = "withdrawn", _("Credit withdrawn")
        CHARGEBACK = "chargeback", _("Chargeback")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    reference = models.CharField(_("reference"), max_length=120, unique=True)  # "invoice:<statement>"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="journal_entries")
    memo = models.CharField(_("memo"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("journal entry")
        verbose_name_plural = _("journal entries")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.pk} {self.reference}"


class JournalLine(models.Model):
    """One side of an entry: minor units on the debit or on the credit, never both."""

    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, related_name="lines")
    ledger_account = models.CharField(_("ledger account"), max_length=20, choices=LedgerAccount)
    currency = models.CharField(_("currency"), max_length=3)
    debit_minor = models.BigIntegerField(_("debit"), default=0)
    credit_minor = models.BigIntegerField(_("credit"), default=0)

    class Meta:
        verbose_name = _("journal line")
        verbose_name_plural = _("journal lines")
        indexes: ClassVar = [
            models.Index(fields=["currency", "ledger_account"], name="journal_by_ledger_account")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(debit_minor__gt=0, credit_minor=0) | Q(debit_minor=0, credit_minor__gt=0),
                name="a_journal_line_has_one_side",
            )
        ]

    def __str__(self) -> str:
        return f"{self.ledger_account} {self.debit_minor - self.credit_minor} {self.currency}"
