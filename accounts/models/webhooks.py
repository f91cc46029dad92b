"""Where an account's own systems hear its news, and each message on its way there."""

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models.people import Account, User
from accounts.vault import open_sealed, seal


class WebhookEndpoint(models.Model):
    """An address of the customer's that takes messages, with the secret that signs them."""

    class Reason(models.TextChoices):
        MEMBER = "member", _("Switched off by a member")
        FAILURES = "failures", _("Switched off after three days without an answer")
        GONE = "gone", _("Switched off since it answered 410 Gone")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=120, blank=True)
    events = ArrayField(models.CharField(max_length=60), verbose_name=_("events"))
    # Sealed by accounts/vault.py for this row; opened only by the sender.
    sealed_secret = models.BinaryField(editable=False)
    # The secret before the last rotation: signs beside the new one until then.
    sealed_old_secret = models.BinaryField(editable=False, blank=True, default=b"")
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when nothing has been taken. Set by the first failure, cleared by the next success.
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True, editable=False)
    disabled_at = models.DateTimeField(_("switched off"), null=True, blank=True, editable=False)
    disabled_reason = models.CharField(max_length=12, choices=Reason, blank=True, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        ordering: ClassVar = ["created_at"]

    def __str__(self) -> str:
        return self.url

    def set_secret(self, secret: str, *, old_until: datetime | None = None) -> None:
        """Seal a new secret; with `old_until` the present one signs too until then. Does not save."""
        if old_until:
            self.sealed_old_secret, self.old_secret_until = self.sealed_secret, old_until
        self.sealed_secret = seal(secret, self._context)

    def secrets_at(self, now: datetime) -> list[str]:
        """Return the secrets that sign at a moment, newest first. For the one place that signs."""
        sealed = [self.sealed_secret]
        if self.old_secret_until and self.old_secret_until > now:
            sealed.append(self.sealed_old_secret)
        return [open_sealed(bytes(one), self._context) for one in sealed]

    @property
    def _context(self) -> str:
        return f"webhook:{self.pk}"


class WebhookDelivery(models.Model):
    """One message to one endpoint. The row is the work; it keeps its id however often it is sent."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(_("event"), max_length=60)
    # The JSON exactly as it is sent and signed.
    body = models.TextField(_("body"))
    state = models.CharField(_("status"), max_length=12, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # While pending: when to try (again). While an attempt runs: when somebody else may take it over.
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now, null=True)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    # What the last attempt came to: the receiver's status, or a word of ours where there was no answer.
    status = models.PositiveSmallIntegerField(_("answer"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=20, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="deliveries_due"),
            models.Index(fields=["endpoint", "-created_at"], name="deliveries_by_endpoint"),
            models.Index(fields=["created_at"], name="deliveries_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} {self.event}"

    @property
    def message_id(self) -> str:
        """The message's id, the same at each attempt: what a receiver recognises a repetition by."""
        return f"msg_{self.pk.hex}"
