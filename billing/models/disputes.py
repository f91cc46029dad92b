"""Chargebacks: a customer's bank takes a payment back, and we may object. Mirrored from Stripe, never edited."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account


class Dispute(models.Model):
    """One chargeback, as last fetched. Staff answer it at Stripe; one that is lost is booked, once."""

    id = models.CharField(primary_key=True, max_length=64)  # "du_…"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="disputes")
    livemode = models.BooleanField(_("live"), default=False)
    payment = models.CharField(_("payment"), max_length=64)  # "pi_…": an invoice's or a top-up's
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    reason = models.CharField(_("reason"), max_length=60, blank=True)  # Stripe's words: "fraudulent", …
    status = models.CharField(_("status"), max_length=24)  # needs_response, under_review, won, lost, …
    answer_by = models.DateTimeField(_("answer until"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    synced_at = models.DateTimeField(_("fetched"), default=timezone.now)

    class Meta:
        verbose_name = _("chargeback")
        verbose_name_plural = _("chargebacks")
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"
