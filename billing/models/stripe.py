"""What we know of Stripe: its objects as last seen, what we asked of it, and what it told us.

Stripe's objects are mirrored, never trusted from a webhook: each row here was fetched by `synced_at`.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.models.plans import PlanVersion


class StripeCustomer(models.Model):
    """An account as Stripe knows it. One that was deleted there stays here, and a new one is made."""

    id = models.CharField(primary_key=True, max_length=64)  # "cus_…"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="stripe_customers")
    livemode = models.BooleanField(_("live"), default=False)
    # The card that Stripe charges, as last seen: what the Billing page warns about before it expires.
    card_brand = models.CharField(_("card"), max_length=24, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_expires = models.CharField(_("card expires"), max_length=7, blank=True)  # "2027-04"
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    synced_at = models.DateTimeField(_("fetched"), default=timezone.now)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)

    class Meta:
        verbose_name = _("Stripe customer")
        verbose_name_plural = _("Stripe customers")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "livemode"],
                condition=Q(deleted_at=None),
                name="one_stripe_customer_per_account",
            )
        ]

    def __str__(self) -> str:
        return self.id


class StripePrice(models.Model):
    """A plan version's price at Stripe. One that somebody edited there is named in `problem` and not sold."""

    id = models.CharField(primary_key=True, max_length=64)  # "price_…"
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="stripe_prices")
    livemode = models.BooleanField(_("live"), default=False)
    product_id = models.CharField(_("product"), max_length=64)
    lookup_key = models.CharField(_("lookup key"), max_length=120)
    checked_at = models.DateTimeField(_("checked"), default=timezone.now)
    # Empty while Stripe's row says what ours says.
    problem = models.CharField(_("problem"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("Stripe price")
        verbose_name_plural = _("Stripe prices")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["plan_version", "livemode"], name="one_stripe_price_per_plan_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.plan_version} = {self.id}"


class StripeSubscription(models.Model):
    """A subscription at Stripe, as last fetched. What an account may do follows our own stays, not this row."""

    id = models.CharField(primary_key=True, max_length=64)  # "sub_…"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="stripe_subscriptions")
    livemode = models.BooleanField(_("live"), default=False)
    status = models.CharField(_("status"), max_length=24)
    item_id = models.CharField(max_length=64, blank=True)
    price_id = models.CharField(_("price"), max_length=64, blank=True)
    period_start = models.DateTimeField(_("period from"), null=True, blank=True)
    period_end = models.DateTimeField(_("period until"), null=True, blank=True)
    cancel_at = models.DateTimeField(_("ends"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # The invoice of a change that waits for the customer's bank; the plan stays until it is paid.
    pending_invoice = models.CharField(_("change waits for"), max_length=64, blank=True)
    # The stay begins then: at once, or with the next period (metadata of the subscription).
    starts_at = models.DateTimeField(_("starts"), default=timezone.now)
    synced_at = models.DateTimeField(_("fetched"), default=timezone.now)

    class Meta:
        verbose_name = _("Stripe subscription")
        verbose_name_plural = _("Stripe subscriptions")

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"


class StripeCheckout(models.Model):
    """A Checkout page that we sent somebody to. Polled while open, so that a lost webhook does not matter."""

    class Purpose(models.TextChoices):
        SUBSCRIBE = "subscribe", _("Subscribe")
        TOP_UP = "top_up", _("Top up")

    id = models.CharField(primary_key=True, max_length=120)  # "cs_…"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="stripe_checkouts")
    purpose = models.CharField(_("purpose"), max_length=12, choices=Purpose)
    # What the purpose needs to know again: {"key": …}. Never anything secret.
    details = models.JSONField(_("details"), default=dict)
    status = models.CharField(_("status"), max_length=12, default="open")  # open, complete, expired
    url = models.URLField(_("address"), max_length=2000, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("Checkout page")
        verbose_name_plural = _("Checkout pages")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.id


class StripeInvoice(models.Model):
    """An invoice at Stripe, as last fetched. Which statements it carries: `Statement.stripe_invoice`."""

    id = models.CharField(primary_key=True, max_length=64)  # "in_…"
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="stripe_invoices")
    livemode = models.BooleanField(_("live"), default=False)
    subscription_id = models.CharField(_("subscription"), max_length=64, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)  # Stripe's billing_reason
    status = models.CharField(_("status"), max_length=16)  # draft, open, paid, uncollectible, void, deleted
    # The period whose usage this invoice may carry: the one before a renewal. Empty for all others.
    usage_period = models.CharField(_("usage of"), max_length=7, blank=True)
    # True: Stripe charges a card. False: it is sent, and due on a date.
    is_charged = models.BooleanField(_("charged"), default=True)
    currency = models.CharField(_("currency"), max_length=3)
    # Minor units. The subtotal is the sum of the lines before tax: what statements must add up to.
    subtotal_minor = models.BigIntegerField(_("subtotal"), default=0)
    tax_minor = models.BigIntegerField(_("tax"), default=0)
    total_minor = models.BigIntegerField(_("total"), default=0)
    due_minor = models.BigIntegerField(_("still due"), default=0)
    number = models.CharField(_("number"), max_length=64, blank=True)
    hosted_url = models.URLField(_("page"), max_length=2000, blank=True)
    pdf_url = models.URLField(_("PDF"), max_length=2000, blank=True)
    payment_intent = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    # When we told Stripe not to finalise the draft by itself (auto_advance=false).
    held_at = models.DateTimeField(_("held"), null=True, blank=True)
    finalized_at = models.DateTimeField(_("issued"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True)
    # The first attempt that failed and is not mended yet. Dunning counts from here.
    failed_at = models.DateTimeField(_("payment failed"), null=True, blank=True)
    failure = models.CharField(_("failure"), max_length=60, blank=True)  # Stripe's code: "card_declined", …
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    # Why Stripe could not finalise it, such as a tax location that it cannot use. It stays a draft.
    finalization_error = models.CharField(_("not finalised"), max_length=300, blank=True)
    synced_at = models.DateTimeField(_("fetched"), default=timezone.now)

    class Meta:
        verbose_name = _("Stripe invoice")
        verbose_name_plural = _("Stripe invoices")
        ordering = ["-created_at"]
        indexes: ClassVar = [models.Index(fields=["account", "status"], name="invoices_by_state")]

    def __str__(self) -> str:
        return self.number or self.id


class StripeLine(models.Model):
    """Says on which invoice a statement's line stands. The line is the key: it is sent once."""

    line = models.OneToOneField(
        "billing.StatementLine", on_delete=models.PROTECT, primary_key=True, related_name="stripe_line"
    )
    invoice = models.ForeignKey(StripeInvoice, on_delete=models.PROTECT, related_name="our_lines")
    stripe_id = models.CharField(_("Stripe's line"), max_length=64)  # "il_…"

    class Meta:
        verbose_name = _("line at Stripe")
        verbose_name_plural = _("lines at Stripe")

    def __str__(self) -> str:
        return self.stripe_id


class StripeOperation(models.Model):
    """One request that changes something at Stripe: written before it is sent, answered after.

    The protocol is in `billing/payments/operations.py`. `body` is what is sent, always again the same.
    """

    class State(models.TextChoices):
        SENT = "sent", _("Sent")  # perhaps; the answer is not known
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")  # Stripe refused it, and nothing happened
        SUPERSEDED = "superseded", _("Superseded")  # in doubt; looked at, and sent again as a new generation

    # The idempotency key: "st:{statement}:{op}:{batch}:g{generation}" and its like.
    key = models.CharField(_("key"), max_length=255, unique=True)
    stem = models.CharField(_("stem"), max_length=240)  # the key without its generation
    generation = models.PositiveSmallIntegerField(_("generation"), default=1)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    path = models.CharField(_("path"), max_length=200)
    body = models.JSONField(_("body"), default=dict)
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.SENT)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    # The id of the object that Stripe answered with, and the error where it refused.
    answer = models.CharField(_("answer"), max_length=120, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)
    stripe_request_id = models.CharField(_("Stripe's request id"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    answered_at = models.DateTimeField(_("answered"), null=True, blank=True)

    class Meta:
        verbose_name = _("Stripe operation")
        verbose_name_plural = _("Stripe operations")
        ordering = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["stem", "-generation"], name="operations_by_stem"),
            models.Index(fields=["state", "created_at"], name="operations_by_state"),
        ]

    def __str__(self) -> str:
        return self.key


class WebhookInbox(models.Model):
    """One event that Stripe told us of. The event id is the key, so a replay is the same row.

    Only what the event is about is kept: the object is fetched again when the event is worked on.
    """

    event_id = models.CharField(_("event"), primary_key=True, max_length=80)
    type = models.CharField(_("type"), max_length=80)
    object_id = models.CharField(_("object"), max_length=120)
    livemode = models.BooleanField(_("live"), default=False)
    occurred_at = models.DateTimeField(_("occurred"))
    received_at = models.DateTimeField(_("received"), default=timezone.now, editable=False)
    # By which door it came: the webhook, or the hourly catch-up of what was not delivered.
    source = models.CharField(_("source"), max_length=12, default="webhook")
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_try_at = models.DateTimeField(_("next try"), default=timezone.now)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["-received_at"]
        indexes: ClassVar = [
            models.Index(fields=["next_try_at"], condition=Q(done_at=None), name="webhooks_to_work_on")
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class BillingAlarm(models.Model):
    """Something about money that must not go on by itself. Stays until somebody closes it with a reason."""

    class Kind(models.TextChoices):
        INVOICE_MISMATCH = "invoice_mismatch", _("Invoice differs from its statements")
        EDITED_PRICE = "edited_price", _("Price was edited at Stripe")
        UNKNOWN_PRICE = "unknown_price", _("Subscription with a price that is not ours")
        TWO_SUBSCRIPTIONS = "two_subscriptions", _("Account with two subscriptions")
        NOT_FINALIZED = "not_finalized", _("Stripe could not finalise an invoice")
        CUSTOMER_DELETED = "customer_deleted", _("Customer was deleted at Stripe")
        LOST_INVOICE = "lost_invoice", _("Invoice disappeared at Stripe")
        CHARGEBACK = "chargeback", _("Payment was charged back")
        REFUSED_CALL = "refused_call", _("Stripe refused a request of ours")

    kind = models.CharField(_("kind"), max_length=24, choices=Kind)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    # What it is about: an id of ours or of Stripe's. One open alarm for each kind and subject.
    subject = models.CharField(_("subject"), max_length=120)
    detail = models.TextField(_("detail"))
    created_at = models.DateTimeField(_("raised"), default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    closing_note = models.CharField(_("how it was closed"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("billing alarm")
        verbose_name_plural = _("billing alarms")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="one_open_alarm_per_subject"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"
