"""Corrections: credit notes for what was billed, adjustments for the next statement. Nothing is edited."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account
from billing.models.invoices import Statement, StatementLine
from billing.models.prices import PriceVersion
from billing.models.provider_side import ToldToProvider


class CreditNote(ToldToProvider):
    """Says that a part of an issued statement is not owed. What it says is fixed: a trigger holds it.

    `total_minor` is what its lines add up to, and what becomes of it:
    total = due (comes off what is still owed) + refund + out of band (both paid back) + balance (comes off
    the next statements, by an `Adjustment`).
    """

    class Reason(models.TextChoices):
        MISTAKE = "mistake", _("Billed by mistake")
        DUPLICATE = "duplicate", _("Billed twice")
        SERVICE = "service", _("Service was not as promised")
        RERATING = "rerating", _("Prices were corrected")
        CANCELLED = "cancelled", _("Order cancelled")
        OTHER = "other", _("Other")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credit_notes")
    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="credit_notes")
    # In order, without gaps: "CN-2026-000001". Given when written; a note is issued at once.
    number = models.CharField(_("number"), max_length=24, unique=True)
    reason = models.CharField(_("reason"), max_length=12, choices=Reason)
    currency = models.CharField(_("currency"), max_length=3)
    total_minor = models.BigIntegerField(_("total"))
    due_minor = models.BigIntegerField(_("comes off what is owed"), default=0)
    refund_minor = models.BigIntegerField(_("refunded"), default=0)
    out_of_band_minor = models.BigIntegerField(_("paid back by other means"), default=0)
    balance_minor = models.BigIntegerField(_("comes off the next statement"), default=0)
    created_at = models.DateTimeField(_("issued"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit note")
        verbose_name_plural = _("credit notes")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    total_minor=F("due_minor")
                    + F("refund_minor")
                    + F("out_of_band_minor")
                    + F("balance_minor")
                ),
                name="a_credit_note_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(
                    due_minor__gte=0, refund_minor__gte=0, out_of_band_minor__gte=0, balance_minor__gte=0
                ),
                name="a_credit_note_gives",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class CreditNoteLine(models.Model):
    """How much of a statement's line is credited, with the line's own sign: all of it cancels exactly.

    The sum over all notes lies between 0 and the line: a trigger holds it.
    """

    note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines")
    statement_line = models.ForeignKey(StatementLine, on_delete=models.PROTECT, related_name="credited")
    nano_amount = models.BigIntegerField(_("exact amount"))
    amount_minor = models.BigIntegerField(_("amount"))

    class Meta:
        verbose_name = _("credit note line")
        verbose_name_plural = _("credit note lines")
        ordering = ["statement_line__position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["note", "statement_line"], name="one_credit_per_note_and_line"),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="a_credited_amount_is_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.statement_line}: {self.amount_minor}"


class CreditNoteSeries(models.Model):
    """Counts credit note numbers, one row per year, taken under a lock so that there are no gaps."""

    year = models.PositiveSmallIntegerField(_("year"), primary_key=True)
    last = models.PositiveIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("credit note series")
        verbose_name_plural = _("credit note series")

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class Adjustment(models.Model):
    """An amount that waits for the next statement: below zero it takes off, above it adds. Never edited.

    What statements took of it are their lines of kind `adjust`; a void statement took nothing.
    """

    class Kind(models.TextChoices):
        BALANCE = "balance", _("Credit note")  # what a credit note left for the next statement
        RERATING = "rerating", _("Corrected price")  # usage of `period` at other prices; credit may cover it

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="adjustments")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    currency = models.CharField(_("currency"), max_length=3)
    amount_minor = models.BigIntegerField(_("amount"))
    credit_note = models.ForeignKey(
        CreditNote, on_delete=models.PROTECT, null=True, blank=True, related_name="adjustments"
    )
    # Which usage it corrects, as a statement line names it.
    period = models.CharField(_("period"), max_length=7)
    model = models.CharField(_("model"), max_length=200, blank=True)
    unit = models.CharField(_("unit"), max_length=24, blank=True)
    price_version = models.ForeignKey(
        PriceVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.CharField(_("note"), max_length=200, blank=True)
    reference = models.CharField(_("reference"), max_length=300, unique=True)
    created_by = models.CharField(_("created by"), max_length=254, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("adjustment")
        verbose_name_plural = _("adjustments")
        ordering = ["created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(amount_minor=0), name="an_adjustment_is_not_zero"),
            models.CheckConstraint(
                condition=Q(kind="balance", credit_note__isnull=False, amount_minor__lt=0)
                | Q(kind="rerating", credit_note__isnull=True),
                name="a_balance_comes_from_a_credit_note",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount_minor} {self.currency}"
