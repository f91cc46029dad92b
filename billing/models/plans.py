"""Plans: what is offered, in versions, and who is on which.

History is added to: a version that anybody was ever on is never edited; a change is a new version.
"""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.currencies import DEFAULT_CURRENCY
from accounts.ids import uuid7
from accounts.models import Account, User


class Plan(models.Model):
    """A plan's name on the price list."""

    slug = models.SlugField(_("code"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    # Exactly one plan is the default: accounts without a subscription are on it.
    is_default = models.BooleanField(_("default"), default=False)
    by_agreement = models.BooleanField(
        _("by agreement"), default=False, help_text=_("Sold in a conversation.")
    )

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_plan"
            )
        ]

    def __str__(self) -> str:
        return self.name


class PlanVersionQuerySet(models.QuerySet["PlanVersion"]):
    """Questions about plan versions."""

    def current(
        self, at: datetime | None = None, currency: str | None = DEFAULT_CURRENCY
    ) -> "PlanVersionQuerySet":
        """The newest version of each plan in a currency (None: in each) in force at a moment (now, if not given)."""
        in_force = self.filter(effective_from__lte=at or timezone.now())
        if currency is not None:
            in_force = in_force.filter(currency=currency)
        one_each = ("plan_id", "currency")
        newest = in_force.order_by(*one_each, "-effective_from", "-number").distinct(*one_each)
        return self.filter(pk__in=newest.values("pk")).select_related("plan").order_by("plan__position")

    def default(self, at: datetime | None = None, currency: str = DEFAULT_CURRENCY) -> "PlanVersion":
        """The default plan's version in force. PlanVersion.DoesNotExist if plans were never seeded."""
        return self.current(at, currency).get(plan__is_default=True)


class PlanVersion(models.Model):
    """One edition of a plan. `None` in a limit means without limit."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    effective_from = models.DateTimeField(_("effective from"), default=timezone.now)
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    # Minor units a month. NULL: negotiated, nothing is charged by itself.
    price_minor = models.PositiveIntegerField(_("price a month"), null=True, blank=True)
    calls_per_period = models.PositiveIntegerField(_("calls a month"), null=True, blank=True)
    # Usage up to this much costs the customer nothing each period.
    included_credit_nano = models.BigIntegerField(_("included credit"), default=0)
    # True: past the included calls and credit, usage is charged. False: calls stop.
    overage = models.BooleanField(_("pay as you go"), default=False)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens a minute"), null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("calls at once"), null=True, blank=True)
    price_ceiling_nano = models.BigIntegerField(
        _("price ceiling"), null=True, blank=True, help_text=_("Nano-units per million output tokens.")
    )
    max_body_bytes = models.PositiveIntegerField(_("largest request body"), default=1_000_000)
    max_output_tokens = models.PositiveIntegerField(_("most output tokens a call"), default=1024)
    fails_closed = models.BooleanField(_("stops without a limiter"), default=True)
    # What becomes of a stream whose client left: True reads it to its end and charges that; False stops it.
    drains = models.BooleanField(_("reads on after a disconnect"), default=False)
    # Dunning, in days: from the first failed payment (or a due date that passed) until calls are refused with
    # 402 `payment_overdue`, and from there until the account is suspended. NULL: never, by itself.
    grace_days = models.PositiveSmallIntegerField(_("days of grace"), null=True, blank=True, default=7)
    suspend_days = models.PositiveSmallIntegerField(
        _("days until suspended"), null=True, blank=True, default=14
    )
    # Where invoices are sent rather than charged: how long the customer has to pay.
    days_until_due = models.PositiveSmallIntegerField(_("days to pay"), default=14)
    # Lines for the price list that are no limits, such as "Dedicated support".
    features = models.JSONField(_("also"), default=list, blank=True)

    objects = PlanVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("plan version")
        verbose_name_plural = _("plan versions")
        ordering = ["plan__position", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "currency", "number"], name="one_row_per_plan_version")
        ]

    def __str__(self) -> str:
        edition = f"{self.plan.name} v{self.number}"
        return edition if self.currency == DEFAULT_CURRENCY else f"{edition} {self.currency}"


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """Questions about subscriptions."""

    def in_force(self, at: datetime) -> "SubscriptionQuerySet":
        """Subscriptions that cover a moment."""
        covering = self.filter(started_at__lte=at).filter(Q(ended_at=None) | Q(ended_at__gt=at))
        return covering.select_related("plan_version__plan").order_by("-started_at")


class Subscription(models.Model):
    """An account's stay on a plan version, from a moment to a moment. A change of plan is a new row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="subscriptions")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    # NULL while it lasts. May lie ahead: the stay ends with the period, and that can still be taken back.
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # Set where Stripe charges the fee in advance: its subscription. Then no statement of ours charges it.
    stripe_subscription_id = models.CharField(_("Stripe subscription"), max_length=64, blank=True)
    # Since when Stripe charges it: in its first period, fee and included credit are the share from here on.
    paid_from = models.DateTimeField(_("paid from"), null=True, blank=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ["-started_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(ended_at=None), name="one_open_subscription_per_account"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=models.F("started_at")),
                name="subscription_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.plan_version}"
