"""What an account was told of its budgets and its plan: each threshold once a window."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account
from billing.models.budgets import Budget


class AlertMark(models.Model):
    """Says that an account may have something to be told. Written with the news, removed by who looked."""

    account_id = models.UUIDField(db_index=True)

    class Meta:
        verbose_name = _("account to check")
        verbose_name_plural = _("accounts to check")

    def __str__(self) -> str:
        return str(self.account_id)


class AlertFired(models.Model):
    """One threshold of one limit, reached in one window. The constraints below decide that it is told once."""

    class Measure(models.TextChoices):
        BUDGET = "budget", _("Budget")
        PLAN_CALLS = "plan_calls", _("Calls of the plan")
        PLAN_CREDIT = "plan_credit", _("Credit of the plan")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="alerts")
    measure = models.CharField(_("of what"), max_length=12, choices=Measure)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, null=True, blank=True, related_name="alerts")
    window_start = models.DateTimeField(_("window begins"))
    threshold = models.PositiveSmallIntegerField(_("threshold (%)"))
    # Calls for PLAN_CALLS, else nano-units of the account's currency; as they were when it was written.
    limit = models.BigIntegerField(_("limit"))
    used = models.BigIntegerField(_("used"))
    # True: told already under the limit before a change, and still passed under the new one. Nobody was told again.
    carried = models.BooleanField(_("told before the change"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["account", "-created_at"], name="alerts_by_account")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["budget", "window_start", "threshold"],
                condition=Q(budget__isnull=False),
                name="one_alert_per_threshold_and_window",
            ),
            # A plan has no row to end: another limit (a larger plan) is told of anew.
            models.UniqueConstraint(
                fields=["account", "measure", "window_start", "limit", "threshold"],
                condition=Q(budget__isnull=True),
                name="one_plan_alert_per_threshold_and_period",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.measure} {self.threshold}%"
