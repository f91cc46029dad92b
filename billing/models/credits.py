"""Credit that an account may use up: grants that are never edited, and burns that take from them."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account
from billing.models.invoices import StatementLine


class CreditSource(models.TextChoices):
    """Where credit comes from. The plan's included credit is no grant: it is what a plan version says."""

    INCLUDED = "included", _("Included credit")
    PROMOTIONAL = "promotional", _("Promotional credit")
    GRANTED = "granted", _("Granted credit")
    PREPAID = "prepaid", _("Prepaid credit")


class CreditGrant(models.Model):
    """Credit given to an account, once for each `reference`. A trigger refuses edits (migration 0004)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credit_grants")
    source = models.CharField(_("source"), max_length=12, choices=CreditSource)
    # Whole minor units, in nano-units of the account's currency. Written once, by `credits.grant_credit`.
    nano_amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    # It covers the usage of the periods that it touches, from the one it starts in, up to its expiry.
    starts_at = models.DateTimeField(_("starts"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    # An e-mail address, or what did it: text, so that it outlives the person's user row.
    granted_by = models.CharField(_("granted by"), max_length=254, blank=True)
    # What it was granted for, such as a Checkout session or an operation key: the same one grants once.
    reference = models.CharField(_("reference"), max_length=200, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("credit grant")
        verbose_name_plural = _("credit grants")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(nano_amount__gt=0), name="a_grant_is_more_than_nothing"),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("starts_at")),
                name="a_grant_expires_after_it_starts",
            ),
            models.CheckConstraint(
                condition=~Q(source=CreditSource.INCLUDED), name="included_credit_is_no_grant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_source_display()} · {self.account}"


class CreditBurn(models.Model):
    """What became of a part of a grant. The sum of its burns is between 0 and the grant: a trigger holds it."""

    class Reason(models.TextChoices):
        USED = "used", _("Used")  # a statement's credit line took it
        RESTORED = "restored", _("Restored")  # given back: the statement is void, or the usage credited
        EXPIRED = "expired", _("Expired")
        WITHDRAWN = "withdrawn", _("Withdrawn")  # taken back by staff, such as after a chargeback

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="burns")
    line = models.ForeignKey(
        StatementLine, on_delete=models.PROTECT, null=True, blank=True, related_name="burns"
    )
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)
    # Nano-units, whole minor units; below zero only where `restored`.
    nano_amount = models.BigIntegerField(_("amount"))
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("use of credit")
        verbose_name_plural = _("uses of credit")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(reason="restored", nano_amount__lt=0)
                | Q(reason__in=("used", "expired", "withdrawn"), nano_amount__gt=0),
                name="only_restored_credit_is_negative",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=("used", "restored"), line__isnull=False)
                | Q(reason__in=("expired", "withdrawn"), line__isnull=True),
                name="credit_is_used_by_a_line",
            ),
            models.UniqueConstraint(
                fields=["grant", "line"], condition=Q(reason="used"), name="one_use_per_grant_and_line"
            ),
            models.UniqueConstraint(
                fields=["grant"], condition=Q(reason="expired"), name="a_grant_expires_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.nano_amount}"
