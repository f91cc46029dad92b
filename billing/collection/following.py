"""What Stripe says of subscriptions and Checkout pages, brought into our own stays. Always fetched, never believed.

Our stays are what an account may do; a subscription at Stripe begins, changes and ends them, under the rule of
`billing/subscriptions.py`: a dearer plan at once, a cheaper one with the next period.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import Account
from billing import dunning, subscriptions
from billing.models import (
    BillingAlarm,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripePrice,
    StripeSubscription,
    Subscription,
)
from billing.payments.alarms import raise_alarm
from billing.payments.customers import sync_customer
from billing.payments.drafts import hold
from billing.payments.finalizing import release_drafts
from billing.payments.mirror import id_of, moment, payment_intent_of, sync_invoice
from billing.payments.operations import perform
from billing.payments.provider import ChargeReceipt, ChargeState, ProviderAway
from billing.payments.signals import top_up_paid
from billing.payments.stripe import Found, Refused, api, is_live

log = logging.getLogger(__name__)

# What no webhook told us of is found within this; so many at once, the longest unseen first.
FOLLOW_AGAIN = timedelta(minutes=30)
AT_ONCE = 500
LIVE = ("active", "trialing", "past_due", "unpaid")
OVER = ("canceled", "incomplete_expired")


def follow_subscription(subscription_id: str) -> StripeSubscription | None:
    """Fetch a subscription and bring its row and the account's stay in line. None if its customer is not ours.

    1. Fetch. 2. One transaction under the account's lock: row and stay; if we die before its commit, the next
    fetch does both. 3. Let Stripe charge the same card for our own invoices; collect old ones after an end.
    """
    found = api().get(f"/v1/subscriptions/{subscription_id}")
    customer = StripeCustomer.objects.filter(pk=id_of(found.get("customer"))).first()
    if customer is None:
        return None
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=customer.account_id)
        row = _write(account, found)
        _bring_stay_in_line(account, row)
    if row.status in LIVE:
        _charge_the_same_card(customer, found)
    elif row.status == "canceled":
        collect_again(account, row)
    return row


def follow_invoice(invoice_id: str) -> StripeInvoice | None:
    """Mirror an invoice, hold a renewal's draft, and see what it means for dunning."""
    invoice = sync_invoice(invoice_id)
    if invoice:
        if invoice.status == "draft" and invoice.usage_period and invoice.held_at is None:
            hold(invoice.pk)
        _follow_waiting_change(invoice)
        dunning.review(invoice.account)
    return invoice


def _follow_waiting_change(invoice: StripeInvoice) -> None:
    """A change of plan may wait for this invoice; paid, it is in force, and void, it is dropped."""
    waits = StripeSubscription.objects.filter(account=invoice.account, pending_invoice=invoice.pk)
    may_wait = invoice.status == "open" and invoice.reason == "subscription_update"
    if invoice.subscription_id and (may_wait or waits.exists()):
        follow_subscription(invoice.subscription_id)


def follow_checkout(session_id: str) -> StripeCheckout | None:
    """Fetch a Checkout page; what was bought on it begins. None if it is not one of ours."""
    page = StripeCheckout.objects.filter(pk=session_id).select_related("account").first()
    if page is None:
        return None
    found = api().get(f"/v1/checkout/sessions/{session_id}")
    if found["status"] == "complete":
        if page.purpose == StripeCheckout.Purpose.SUBSCRIBE:
            follow_subscription(id_of(found.get("subscription")))
            if found.get("invoice"):
                follow_invoice(id_of(found["invoice"]))
        elif found.get("payment_status") == "paid":
            _tell_top_up(page, found)
        sync_customer(id_of(found.get("customer")))
    # If we die here, the page is still open for us and is followed again.
    StripeCheckout.objects.filter(pk=page.pk).update(status=found["status"], url=found.get("url") or "")
    page.refresh_from_db()
    return page


def follow_all(now: datetime | None = None) -> None:
    """What webhooks only speed up: open pages, subscriptions that renew, whatever was not looked at for a while.

    One that fails is logged, and looked at again next time; ProviderAway ends the round.
    """
    now = now or timezone.now()
    again = Q(synced_at__lte=now - FOLLOW_AGAIN)
    _each(follow_checkout, StripeCheckout.objects.filter(status="open"))
    mine = StripeSubscription.objects.filter(livemode=is_live()).exclude(status__in=OVER)
    due = mine.filter(again | Q(period_end__lte=now)).order_by("synced_at")
    _each(_follow_with_invoices, due)
    waiting = StripeInvoice.objects.filter(again, livemode=is_live(), status__in=("draft", "open"))
    _each(follow_invoice, waiting.order_by("synced_at"))
    release_drafts()


def _each(follow: Callable[[str], object], rows: QuerySet[Any]) -> None:
    for key in list(rows.values_list("pk", flat=True)[:AT_ONCE]):
        try:
            follow(key)
        except ProviderAway:
            raise
        except Exception:
            log.exception("follow_failed", extra={"object": key})


def _follow_with_invoices(subscription_id: str) -> None:
    before = StripeSubscription.objects.get(pk=subscription_id)
    follow_subscription(subscription_id)
    if before.period_end and before.period_end <= timezone.now():
        _find_invoices(before)


def _find_invoices(subscription: StripeSubscription) -> None:
    """The renewal's invoice, where its webhook was lost."""
    since = int(subscription.period_end.timestamp()) - 86_400 if subscription.period_end else 0
    for found in api().pages("/v1/invoices", subscription=subscription.pk, created={"gte": since}):
        follow_invoice(found["id"])


def _write(account: Account, found: Found) -> StripeSubscription:
    item = found["items"]["data"][0]
    begins = parse_datetime((found.get("metadata") or {}).get("turnpike_starts_at") or "")
    facts: dict[str, Any] = {
        "account": account,
        "livemode": bool(found.get("livemode", is_live())),
        "status": found["status"],
        "item_id": item["id"],
        "price_id": id_of(item.get("price")),
        "period_start": moment(item.get("current_period_start")),
        "period_end": moment(item.get("current_period_end")),
        "cancel_at": moment(found.get("cancel_at")),
        "ended_at": moment(found.get("ended_at")),
        "pending_invoice": id_of(found.get("latest_invoice")) if found.get("pending_update") else "",
        "starts_at": begins or moment(found["start_date"]),
        "synced_at": timezone.now(),
    }
    row, _ = StripeSubscription.objects.update_or_create(pk=found["id"], defaults=facts)
    return row


def _bring_stay_in_line(account: Account, row: StripeSubscription) -> None:
    stays = Subscription.objects.filter(account=account, stripe_subscription_id=row.pk)
    if row.status in OVER:
        for stay in stays.exclude(ended_at__lte=row.ended_at or timezone.now()):
            _end(stay, row.ended_at or timezone.now())
        return
    if row.status not in LIVE or _has_another(account, row):
        return
    price = StripePrice.objects.filter(pk=row.price_id).select_related("plan_version__plan").first()
    if price is None:
        detail = f"{account}: {row.pk} has the price {row.price_id}, which is none of ours. The plan stays."
        raise_alarm(BillingAlarm.Kind.UNKNOWN_PRICE, row.pk, detail, account)
        return
    _follow_price(account, row, price, list(stays.order_by("started_at")))


def _follow_price(
    account: Account, row: StripeSubscription, price: StripePrice, stays: list[Subscription]
) -> None:
    """Begin, change, prolong or end the stay as the subscription says."""
    now, version = timezone.now(), price.plan_version
    lasting = [stay for stay in stays if stay.ended_at is None or stay.ended_at > max(now, stay.started_at)]
    if not lasting:
        _begin(account, row, price, max(row.starts_at, stays[-1].ended_at or now) if stays else row.starts_at)
    else:
        present, last = lasting[0], lasting[-1]
        if last.plan_version_id != version.pk:
            if present.plan_version_id == version.pk:  # a change that had not begun is taken back
                _end(last, last.started_at)
                _end(present, None)
            else:
                at = subscriptions.starting_moment(present.plan_version, version, now)
                _begin(account, row, price, at, paid_from=present.paid_from)
    _end_as_agreed(account, row)


def _begin(
    account: Account,
    row: StripeSubscription,
    price: StripePrice,
    at: datetime,
    paid_from: datetime | None = None,
) -> None:
    stay = subscriptions.start_subscription(account, price.plan_version, at=at)
    stay.stripe_subscription_id, stay.paid_from = row.pk, paid_from or at
    stay.save(update_fields=["stripe_subscription_id", "paid_from"])


def _end_as_agreed(account: Account, row: StripeSubscription) -> None:
    """Let the last stay end when the subscription does; a cancellation that was taken back ends nothing."""
    last = (
        Subscription.objects.filter(account=account, stripe_subscription_id=row.pk)
        .exclude(ended_at=F("started_at"))
        .order_by("started_at")
        .last()
    )
    if last and last.ended_at != row.cancel_at:
        _end(last, row.cancel_at)


def _end(stay: Subscription, at: datetime | None) -> None:
    stay.ended_at = at if at is None else max(at, stay.started_at)
    stay.save(update_fields=["ended_at"])  # save(), not update(): the gateway listens to the signal


def _has_another(account: Account, row: StripeSubscription) -> bool:
    """Two at once would charge two fees. The first one counts; a person decides about the other."""
    others = StripeSubscription.objects.filter(account=account, livemode=row.livemode, status__in=LIVE)
    first = others.exclude(pk=row.pk).filter(starts_at__lt=row.starts_at).first()
    if first is None:
        return False
    detail = (
        f"{account} has {first.pk} and {row.pk}. The first one counts. Cancel one at Stripe and refund it."
    )
    raise_alarm(BillingAlarm.Kind.TWO_SUBSCRIPTIONS, row.pk, detail, account)
    return True


def _charge_the_same_card(customer: StripeCustomer, found: Found) -> None:
    """An invoice of ours is charged to the customer's default card, which Checkout sets only on the subscription."""
    method = id_of(found.get("default_payment_method"))
    if method and not customer.card_last4:
        body = {"invoice_settings": {"default_payment_method": method}}
        try:
            perform(f"cu:{customer.pk}:card:{method}", f"/v1/customers/{customer.pk}", body)
        except Refused:
            return  # the card is gone already; the next one comes by the portal
        sync_customer(customer.pk)


def collect_again(account: Account, row: StripeSubscription) -> None:
    """Cancelling stops collecting every finalised invoice of the customer; what was used is still owed."""
    waiting = StripeInvoice.objects.filter(account=account, status="open", is_charged=True)
    for invoice in waiting:
        path, body = f"/v1/invoices/{invoice.pk}", {"auto_advance": True}
        perform(f"in:{invoice.pk}:collect_after:{row.pk}", path, body, account=account)


def _tell_top_up(page: StripeCheckout, found: Found) -> None:
    payment = id_of(found.get("payment_intent")) or str(payment_intent_of(found).get("id", ""))
    receipt = ChargeReceipt(page.pk, ChargeState.PAID, payment)
    top_up_paid.send(StripeCheckout, account=page.account, key=page.details["key"], receipt=receipt)
