"""What the Billing page says about paying at Stripe: subscription, card, invoices, what is overdue. Only looks."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import Account
from billing.models import Dunning, StripeCustomer, StripeInvoice, StripeSubscription

# A card is named before it expires, in time to save another one.
EXPIRES_SOON = timedelta(days=31)
LIVE = ("active", "trialing", "past_due", "unpaid")


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """What of an account is known from Stripe; without Stripe only `dunning` is."""

    is_fake: bool
    subscription: StripeSubscription | None
    customer: StripeCustomer | None
    failed: StripeInvoice | None  # the oldest that could not be charged
    confirm: StripeInvoice | None  # one that the bank wants confirmed before the plan changes
    waiting: StripeInvoice | None  # one that Stripe cannot finalise, since its tax cannot be worked out
    dunning: Dunning | None
    stops_at: datetime | None  # when calls will stop, if nothing is paid
    card_expires_soon: bool


def payment_standing_of(account: Account, now: datetime) -> PaymentStanding:
    """Work it out. Six queries."""
    customer = StripeCustomer.objects.filter(account=account, deleted_at=None).first()
    lasting = StripeSubscription.objects.filter(account=account, status__in=LIVE)
    invoices = StripeInvoice.objects.filter(account=account)
    pending = lasting.exclude(pending_invoice="").values("pending_invoice")
    dunning = Dunning.objects.filter(account=account, ended_at=None).select_related("plan_version").first()
    return PaymentStanding(
        is_fake=bool(settings.STRIPE_SECRET_KEY and settings.STRIPE_API_BASE),
        subscription=lasting.order_by("starts_at").first(),
        customer=customer,
        failed=_first(invoices.filter(status="open", failed_at__isnull=False).exclude(pk__in=pending)),
        confirm=_first(invoices.filter(status="open", pk__in=pending)),
        waiting=_first(invoices.filter(status="draft").exclude(finalization_error="")),
        dunning=dunning,
        stops_at=_stops_at(dunning),
        card_expires_soon=bool(customer and customer.card_expires and _is_soon(customer.card_expires, now)),
    )


def _first(invoices: "QuerySet[StripeInvoice]") -> StripeInvoice | None:
    return invoices.order_by("created_at").first()


def _stops_at(dunning: Dunning | None) -> datetime | None:
    if dunning is None or dunning.limited_at or dunning.plan_version.grace_days is None:
        return None
    return dunning.began_at + timedelta(days=dunning.plan_version.grace_days)


def _is_soon(month: str, now: datetime) -> bool:
    """A card is good to the end of its month."""
    soon = now + EXPIRES_SOON
    return month < f"{soon:%Y-%m}"
