"""What happens when somebody does not pay: one row for each time, one for each step of it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.models.plans import PlanVersion


class Dunning(models.Model):
    """An account owes something that could not be collected. Ends when nothing is overdue any more."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="dunnings")
    # Whose days of grace count: the plan at the beginning.
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    # Since when something is overdue: a payment failed, or a due date passed.
    began_at = models.DateTimeField(_("began"))
    # Set when the days of grace are over: calls answer 402 `payment_overdue` from here.
    limited_at = models.DateTimeField(_("limited"), null=True, blank=True)
    # Set when the account was suspended for it. Only then does a payment end the suspension.
    suspended_at = models.DateTimeField(_("suspended"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("dunning")
        verbose_name_plural = _("dunnings")
        ordering = ["-began_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(ended_at=None), name="one_open_dunning_per_account"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.began_at:%Y-%m-%d}"


class DunningStep(models.Model):
    """A step that was taken, with its mail, once: the row is the reason why it is not mailed again."""

    class Step(models.TextChoices):
        FAILED = "failed", _("Payment failed")
        LIMITED = "limited", _("Calls stopped")
        SUSPENDED = "suspended", _("Suspended")
        SETTLED = "settled", _("Settled")

    dunning = models.ForeignKey(Dunning, on_delete=models.PROTECT, related_name="steps")
    step = models.CharField(_("step"), max_length=12, choices=Step)
    created_at = models.DateTimeField(_("taken"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("dunning step")
        verbose_name_plural = _("dunning steps")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dunning", "step"], name="one_row_per_dunning_step")
        ]

    def __str__(self) -> str:
        return f"{self.dunning}: {self.get_step_display()}"
