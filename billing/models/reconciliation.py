"""What reconciliation compared, and the differences that somebody must close."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account


class ReconciliationRun(models.Model):
    """One comparison: of which period, how much was compared in each check, how many differences it found."""

    period = models.CharField(_("period"), max_length=7)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)  # NULL: it died on the way
    compared = models.JSONField(_("compared"), default=dict)  # {check: how many}
    found = models.PositiveIntegerField(_("differences"), default=0)

    class Meta:
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.period} {self.started_at:%Y-%m-%d %H:%M}"


class Discrepancy(models.Model):
    """Two figures that must be equal and are not. It stays open until somebody closes it with a note.

    Found again while open, its figures are brought up to date; found again after it was closed with the same
    figures, it stays closed; with others, it is a new row.
    """

    class Check(models.TextChoices):
        COUNTERS = "counters", _("Counters and ledger")
        ROLLUPS = "rollups", _("Ledger and totals")
        STATEMENTS = "statements", _("Ledger and statements")
        TOTALS = "totals", _("Statements and their lines")
        PROVIDER = "provider", _("Statements and provider's invoices")
        JOURNAL = "journal", _("Statements and journal")
        CREDIT = "credit", _("Credit and journal")
        UPSTREAM = "upstream", _("Upstream cost")

    check_name = models.CharField(_("check"), max_length=12, choices=Check)
    period = models.CharField(_("period"), max_length=7)
    # What differs: "<account> calls", a statement's id, an upstream's name. One open row for each.
    subject = models.CharField(_("subject"), max_length=200)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    expected = models.BigIntegerField(_("expected"))
    found = models.BigIntegerField(_("found"))
    unit = models.CharField(_("unit"), max_length=24)  # "nano USD", "minor KRW", "calls"
    detail = models.CharField(_("detail"), max_length=400)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    closed_by = models.CharField(_("closed by"), max_length=254, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("discrepancy")
        verbose_name_plural = _("discrepancies")
        ordering = ["-last_seen_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["check_name", "period", "subject"],
                condition=Q(closed_at=None),
                name="one_open_discrepancy_per_subject",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | ~Q(note=""), name="a_discrepancy_is_closed_with_a_note"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_check_name_display()} {self.period}: {self.subject}"

    @property
    def difference(self) -> int:
        """Found less expected."""
        return self.found - self.expected
