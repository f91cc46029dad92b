"""Paying for credit in advance: each top-up, and an account's wish to be topped up by itself."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account
from billing.models.provider_side import ToldToProvider


class AutoTopUp(models.Model):
    """Buys credit whenever little is left, up to a cap a month. Off unless the customer switches it on."""

    account = models.OneToOneField(
        Account, on_delete=models.CASCADE, primary_key=True, related_name="auto_top_up"
    )
    enabled = models.BooleanField(_("on"), default=False)
    # Minor units of the account's currency; set in the portal, may change at any time.
    threshold_minor = models.BigIntegerField(_("when less is left than"), default=0)
    amount_minor = models.BigIntegerField(_("amount"), default=0)
    monthly_cap_minor = models.BigIntegerField(_("at most a month"), default=0)
    # Set when a charge failed: nothing is charged before the customer saves the settings again.
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    pause_reason = models.CharField(_("why"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("automatic top-up")
        verbose_name_plural = _("automatic top-ups")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(enabled=False)
                | Q(
                    amount_minor__gt=0,
                    threshold_minor__gte=0,
                    monthly_cap_minor__gte=models.F("amount_minor"),
                ),
                name="an_automatic_top_up_is_within_its_cap",
            )
        ]

    def __str__(self) -> str:
        return f"{self.account}: {'on' if self.enabled else 'off'}"


class TopUp(models.Model):
    """One purchase of credit. The key asks the provider, and grants the credit once."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting for payment")
        PAID = "paid", _("Paid")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="top_ups")
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    automatic = models.BooleanField(_("automatic"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.PENDING)
    # The provider's: what a refund names. Written when it is paid.
    payment = models.CharField(_("payment"), max_length=120, blank=True)
    message = models.CharField(_("message"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)

    class Meta:
        verbose_name = _("top-up")
        verbose_name_plural = _("top-ups")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_top_up_is_more_than_nothing"),
            # Two ticks at once must not buy twice.
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(automatic=True, state="pending"),
                name="one_automatic_top_up_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.amount_minor} {self.currency}"

    @property
    def key(self) -> str:
        """What the provider is asked with, and what the grant refers to."""
        return f"top-up:{self.pk}"


class TopUpRefund(ToldToProvider):
    """Money of a top-up that goes back. Its credit was withdrawn in the transaction that wrote this row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = models.BigIntegerField(_("amount"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("refund of a top-up")
        verbose_name_plural = _("refunds of top-ups")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_refund_is_more_than_nothing")
        ]

    def __str__(self) -> str:
        return f"{self.top_up}: {self.amount_minor}"
