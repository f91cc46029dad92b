"""The ledger: one row per call, added and never changed, and the totals that are computed from it.

`UsageEvent` is partitioned by month (migration `0002` makes it so; `billing/partitions.py` adds months).
A unique constraint on a partitioned table must contain the partition key, so `occurred_at` is derived
from the version-7 request id: the same call always lands on the same row.
"""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.models.prices import PriceVersion


class UsageEvent(models.Model):
    """One call: what it used, what it costs the customer, what it cost us."""

    class Kind(models.TextChoices):
        FINAL = "final", _("Final")  # the call ended and was settled
        ABANDONED = "abandoned", _("Abandoned")  # its process died; the hold expired; no charge
        LATE = "late", _("Late")  # settled after its hold had been swept as abandoned; charged, once

    id = models.BigAutoField(primary_key=True)
    request_id = models.UUIDField(_("request id"))
    # 1 for the first record of a call (final or abandoned), 2 for a late one. Unique with request_id.
    seq = models.PositiveSmallIntegerField(default=1)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind, default=Kind.FINAL)
    # When the call began: the time inside request_id, never now().
    occurred_at = models.DateTimeField(_("time"))
    # The period whose quota the call was held against, "2026-11"; statements follow it.
    period = models.CharField(_("period"), max_length=7)
    # No constraint and no index of their own: the writer must never wait for a lock on an account or a price.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    api_key_id = models.UUIDField(_("API key"), null=True, blank=True)
    endpoint = models.CharField(_("endpoint"), max_length=60)
    task = models.CharField(_("task"), max_length=40)
    model = models.CharField(_("model"), max_length=200)
    upstream = models.CharField(_("upstream"), max_length=60)
    status = models.PositiveSmallIntegerField(_("status"))
    error_code = models.CharField(_("error"), max_length=40, blank=True)
    stream = models.BooleanField(_("streamed"), default=False)
    # True where the upstream reported no usage and a stated rule stood in for it.
    estimated = models.BooleanField(_("estimated"), default=False)
    # True where the meter was away and the call lived on a lease: it may have passed a limit, within a bound.
    degraded = models.BooleanField(_("without the meter"), default=False, db_default=False)
    # The quote that the call redeemed: nothing else is kept of it here.
    quote_id = models.UUIDField(_("quote"), null=True, blank=True)
    price_version = models.ForeignKey(
        PriceVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    # {unit: [quantity, nano]}; quantities as billing.pricing.SCALE counts them, nanos add up to nano_cost.
    units = models.JSONField(_("units"), default=dict)
    # What the customer is charged, integer nano-units; 0 unless the answer was 2xx.
    nano_cost = models.BigIntegerField(_("cost"), default=0)
    # What the call cost us at the upstream, integer nano-units, also when the customer was not charged.
    upstream_nano_cost = models.BigIntegerField(_("upstream cost"), default=0)
    latency_ms = models.PositiveIntegerField(_("latency"), default=0)
    first_byte_ms = models.PositiveIntegerField(_("time to first byte"), null=True, blank=True)
    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now)

    class Meta:
        verbose_name = _("usage event")
        verbose_name_plural = _("usage events")
        ordering = ["-occurred_at"]
        indexes: ClassVar = [
            models.Index(fields=["account", "-occurred_at"], name="usage_by_account_and_time"),
            models.Index(fields=["account", "period"], name="usage_by_account_and_period"),
            # Of quoted calls alone: the rest pays nothing for it.
            models.Index(
                fields=["account", "-occurred_at"],
                name="usage_by_quote",
                condition=models.Q(quote_id__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request_id", "seq", "occurred_at"], name="one_event_per_call"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.model}"


class UsageTotal(models.Model):
    """What an account used in one stretch of time of one model with one key: absolute totals, computed from events.

    Recomputed as a whole whenever an event of that stretch arrives, so running it again changes nothing.
    """

    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    period = models.CharField(max_length=7)
    api_key_id = models.UUIDField(null=True)
    model = models.CharField(max_length=200)
    task = models.CharField(max_length=40)
    upstream = models.CharField(max_length=60)
    currency = models.CharField(max_length=3)
    # A call that was recorded twice (abandoned, then late) is one call. The three need not add up: a call
    # may be neither (3xx) or both (abandoned, then settled late).
    calls = models.PositiveIntegerField(default=0)
    charged_calls = models.PositiveIntegerField(default=0)  # answered with 2xx
    failures = models.PositiveIntegerField(default=0)  # status 400 or above, or abandoned
    quantities = models.JSONField(default=dict)  # {unit: quantity}
    nano_cost = models.BigIntegerField(default=0)
    upstream_nano_cost = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageHour(UsageTotal):
    """The totals of one hour: what screens, budgets and the operator's figures are made of."""

    hour = models.DateTimeField(_("hour"))

    class Meta:
        verbose_name = _("hourly total")
        verbose_name_plural = _("hourly totals")
        ordering = ["-hour"]
        indexes: ClassVar = [
            models.Index(fields=["account", "hour"], name="hours_by_account"),
            models.Index(fields=["hour"], name="hours_by_time"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "period", "hour", "api_key_id", "model", "task", "upstream", "currency"],
                name="one_total_per_hour",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.hour:%Y-%m-%d %H}h {self.model}"


class UsageMinute(UsageTotal):
    """The totals of one minute of an hour that still fills, so that news of a busy hour costs one of its minutes.

    Written and removed by `billing/aggregation.py`, and read by nobody else.
    """

    minute = models.DateTimeField(_("minute"))

    class Meta:
        verbose_name = _("total of a minute")
        verbose_name_plural = _("totals of minutes")
        indexes: ClassVar = [models.Index(fields=["minute"], name="minutes_by_time")]
        constraints: ClassVar = [
            models.UniqueConstraint(  # begins with what an hour is put together by
                fields=["account", "minute", "period", "api_key_id", "model", "task", "upstream", "currency"],
                name="one_total_per_minute",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.minute:%Y-%m-%d %H:%M} {self.model}"


class UsagePeriod(models.Model):
    """What an account used in one billing period: the sum of its hours. Recomputed as a whole."""

    # No constraint: one account that is gone must not stop the roll-up of all the others.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="usage_periods", db_constraint=False
    )
    period = models.CharField(_("period"), max_length=7)
    currency = models.CharField(max_length=3)
    calls = models.PositiveIntegerField(default=0)
    charged_calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    nano_cost = models.BigIntegerField(default=0)
    upstream_nano_cost = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("period total")
        verbose_name_plural = _("period totals")
        ordering = ["-period"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "period", "currency"], name="one_total_per_period")
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.period}"


class RollupMark(models.Model):
    """Says that a minute of an account has news. Written with the events, removed by their roll-up."""

    account_id = models.UUIDField()
    minute = models.DateTimeField(_("minute"))

    class Meta:
        verbose_name = _("minute to total")
        verbose_name_plural = _("minutes to total")

    def __str__(self) -> str:
        return f"{self.account_id} {self.minute:%Y-%m-%d %H:%M}"


class DeadEvent(models.Model):
    """An entry of the usage stream that could not be recorded. Kept whole, for a person to look at."""

    stream_id = models.CharField(_("stream entry"), max_length=80, unique=True)
    payload = models.TextField(_("payload"))
    error = models.TextField(_("error"))
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)

    class Meta:
        verbose_name = _("dead usage event")
        verbose_name_plural = _("dead usage events")

    def __str__(self) -> str:
        return self.stream_id
