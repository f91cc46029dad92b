"""Overrides: one limit of one account that differs from its plan for a while, by agreement."""

from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account, User

# Limits of which every account needs one: "without limit" is no value for them.
_NEVER_UNLIMITED = ("max_body_bytes", "max_output_tokens")


class EntitlementOverrideQuerySet(models.QuerySet["EntitlementOverride"]):
    """Questions about overrides."""

    def in_force(self, at: datetime) -> "EntitlementOverrideQuerySet":
        """Overrides that cover a moment, the one that began last at the end: it wins."""
        covering = self.filter(starts_at__lte=at).filter(Q(ends_at=None) | Q(ends_at__gt=at))
        return covering.order_by("starts_at", "created_at")


class EntitlementOverride(models.Model):
    """A limit's value for one account from a moment to a moment. Credit is not here: it is granted, not overridden."""

    class Field(models.TextChoices):
        REQUESTS_PER_MINUTE = "requests_per_minute", _("requests a minute")
        TOKENS_PER_MINUTE = "tokens_per_minute", _("tokens a minute")
        CONCURRENCY = "concurrency", _("calls at once")
        CALLS_PER_PERIOD = "calls_per_period", _("calls a month")
        PRICE_CEILING = "price_ceiling_nano", _("price ceiling")
        MAX_BODY_BYTES = "max_body_bytes", _("largest request body")
        MAX_OUTPUT_TOKENS = "max_output_tokens", _("most output tokens a call")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="overrides")
    field = models.CharField(_("limit"), max_length=24, choices=Field)
    # In the limit's own unit, as PlanVersion has it. NULL: without limit.
    value = models.BigIntegerField(
        _("value"), null=True, blank=True, help_text=_("An empty limit means without limit.")
    )
    starts_at = models.DateTimeField(_("from"), default=timezone.now)
    # NULL: until further notice. Ending one is setting this; the rest of the row stays.
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = EntitlementOverrideQuerySet.as_manager()

    class Meta:
        verbose_name = _("override")
        verbose_name_plural = _("overrides")
        ordering = ["-starts_at"]
        indexes: ClassVar = [models.Index(fields=["account", "starts_at"], name="overrides_by_account")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(value=None) | Q(value__gte=0), name="override_is_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="override_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(value__isnull=False, value__gte=1) | ~Q(field__in=_NEVER_UNLIMITED),
                name="override_keeps_what_every_account_needs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.get_field_display()}"

    def clean(self) -> None:
        """Sizes of bodies and answers must be limited."""
        if self.field in _NEVER_UNLIMITED and not self.value:
            raise ValidationError({"value": _("This limit needs a value of at least 1.")})
