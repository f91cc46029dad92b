"""Statements: what an account owes for a period. Lines are rounded once; a finalised one never changes."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account
from billing.models.plans import PlanVersion
from billing.models.prices import PriceVersion


class Statement(models.Model):
    """What an account owes for one stretch of one period. Its states: `billing/README.md`."""

    class State(models.TextChoices):
        FROZEN = "frozen", _("Frozen")  # lines and totals written; not yet with the payment provider
        HELD = "held", _("Held")  # Stripe only: an invoice draft is ours, and nobody else finalises it
        ATTACHED = "attached", _("Attached")  # Stripe only: every line stands on the draft, once; checked
        FINALIZED = "finalized", _("Issued")  # has a number; the customer owes it
        PAID = "paid", _("Paid")
        UNCOLLECTIBLE = "uncollectible", _("Uncollectible")  # given up; may still be paid
        VOID = "void", _("Void")

    class Kind(models.TextChoices):
        USAGE = "usage", _("Usage")  # closes a stretch of a period
        FEE = "fee", _("Fee")  # mirrors the plan's fee where Stripe charges it in advance; no stretch

    # The customer has not seen these yet.
    UNISSUED = (State.FROZEN, State.HELD, State.ATTACHED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="statements")
    period = models.CharField(_("period"), max_length=7)
    # 1 for the period's first statement. More where an interim one was made while the period ran, or a fee
    # was charged in advance.
    sequence = models.PositiveSmallIntegerField(_("part"), default=1)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.USAGE)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(_("currency"), max_length=3)
    # The stretch of usage covered: [starts_at, ends_at).
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.FROZEN)
    # Given when issued, in order, without gaps: "TP-2026-000001". Never reused.
    number = models.CharField(_("number"), max_length=24, unique=True, null=True, blank=True)
    # Sum of the lines' amount_minor, written with them; never changes.
    total_minor = models.BigIntegerField(_("total"), default=0)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    finalized_at = models.DateTimeField(_("issued"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)
    # Which provider issued it: "manual" or "stripe".
    provider = models.CharField(_("provider"), max_length=16, default="manual")
    # The Stripe invoice that carries it. Of several (a draft that was finalised too early) the last one.
    stripe_invoice = models.ForeignKey(
        "billing.StripeInvoice", on_delete=models.PROTECT, null=True, blank=True, related_name="statements"
    )

    class Meta:
        verbose_name = _("statement")
        verbose_name_plural = _("statements")
        ordering = ["-period", "-sequence"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "period", "sequence"], name="one_statement_per_part"),
            models.CheckConstraint(
                condition=Q(state__in=["frozen", "held", "attached"]) | Q(number__isnull=False),
                name="an_issued_statement_has_a_number",
            ),
            # Stripe's fee lines become one statement per invoice, however often it is mirrored.
            models.UniqueConstraint(
                fields=["stripe_invoice"], condition=Q(kind="fee"), name="one_fee_statement_per_invoice"
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"{self.account} {self.period}/{self.sequence}"


class StatementLine(models.Model):
    """One line: its exact amount is the sum of its events; `amount_minor` is that, rounded once, half up."""

    class Kind(models.TextChoices):
        PLAN = "plan", _("Plan")
        USAGE = "usage", _("Usage")
        CREDIT = "credit", _("Credit")
        ADJUSTMENT = "adjust", _("Adjustment")  # what waited for this statement: `adjustments.py`

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    # Credit lines: whose credit, a `CreditSource`. Empty for other kinds, and for included credit before 0004.
    credit_source = models.CharField(_("credit source"), max_length=12, blank=True)
    adjustment = models.ForeignKey(
        "billing.Adjustment", on_delete=models.PROTECT, null=True, blank=True, related_name="lines"
    )
    description = models.CharField(_("description"), max_length=300)
    # The period that the usage, the fee or the credit belongs to: the statement's own, or an earlier one
    # where usage arrived late.
    period = models.CharField(_("period"), max_length=7)
    # Usage lines: which model, unit and price version; quantity as billing.pricing.SCALE counts it.
    # A line of many models (`invoicing.MAX_USAGE_LINES`) has none of the three, and counts its groups.
    model = models.CharField(_("model"), max_length=200, blank=True)
    unit = models.CharField(_("unit"), max_length=24, blank=True)
    price_version = models.ForeignKey(
        PriceVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    quantity = models.BigIntegerField(_("quantity"), default=1)
    unit_price = models.DecimalField(_("unit price"), max_digits=24, decimal_places=15, null=True, blank=True)
    nano_amount = models.BigIntegerField(_("exact amount"))
    amount_minor = models.BigIntegerField(_("amount"))

    class Meta:
        verbose_name = _("statement line")
        verbose_name_plural = _("statement lines")
        ordering = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["statement", "position"], name="one_line_per_position")
        ]

    def __str__(self) -> str:
        return self.description


class UsageAllocation(models.Model):
    """Says which statement bills a usage event. `event_id` is the key: an event is billed at most once."""

    event_id = models.BigIntegerField(primary_key=True)
    # No constraint: it would look at the statement once for each call, a fifth of closing a period. The statement is
    # written by the same transaction (`billing/invoicing.py`), and the database lets nobody remove one.
    statement = models.ForeignKey(
        Statement, on_delete=models.PROTECT, related_name="allocations", db_constraint=False
    )

    class Meta:
        verbose_name = _("billed call")
        verbose_name_plural = _("billed calls")

    def __str__(self) -> str:
        return f"{self.event_id} -> {self.statement_id}"


class NumberSeries(models.Model):
    """Counts statement numbers, one row per year, taken under a lock so that there are no gaps."""

    year = models.PositiveSmallIntegerField(_("year"), primary_key=True)
    last = models.PositiveIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("number series")
        verbose_name_plural = _("number series")

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"
