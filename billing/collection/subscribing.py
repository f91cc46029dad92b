"""The customer acts: subscribes on a Checkout page, changes the plan with a preview, cancels, comes back, edits cards.

Every subscription renews on the 1st, 00:00 UTC, with our periods; its first fee is the share of the month that is
left. A dearer plan is charged from the start of what is paid already, so that the difference does not depend on
the second of the click and the preview is the charge (docs/adr/0029).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing.collection.following import LIVE, follow_invoice, follow_subscription
from billing.collection.plans import price_for
from billing.models import PlanVersion, StripeCheckout, StripeInvoice, StripeSubscription
from billing.payments.customers import customer_of
from billing.payments.mirror import id_of
from billing.payments.operations import perform
from billing.payments.provider import Declined, PaymentError
from billing.payments.stripe import Refused, api, is_live
from billing.payments.stripe_provider import open_checkout
from billing.period import BillingPeriod

ASKS_TO_CONFIRM = ("authentication_required", "subscription_payment_intent_requires_action")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change charges now, in minor units, and each of its lines."""

    total_minor: int
    currency: str
    lines: list[tuple[str, int]]


def subscription_of(account: Account) -> StripeSubscription | None:
    """Return the account's subscription at Stripe that lasts, if it has one."""
    lasting = StripeSubscription.objects.filter(account=account, livemode=is_live(), status__in=LIVE)
    return lasting.order_by("starts_at").first()


def subscribe_page(
    account: Account, version: PlanVersion, *, key: str, back_url: str, from_next: bool = False
) -> str:
    """Return the address of a Checkout page that subscribes to a plan, now or from the next period on.

    PaymentError where the account has a subscription already or the plan is not sold at Stripe; ProviderAway.
    """
    if subscription_of(account):
        raise PaymentError(gettext("You have a subscription already. Change its plan instead."))
    now = timezone.now()
    renews = BillingPeriod.containing(now).end
    begins = renews if from_next else now
    body: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer_of(account),
        "line_items": [{"price": price_for(version).pk, "quantity": 1}],
        "subscription_data": {
            "billing_cycle_anchor": int(renews.timestamp()),
            "proration_behavior": "none" if from_next else "create_prorations",
            "metadata": {
                "turnpike_account": str(account.pk),
                **({"turnpike_starts_at": begins.isoformat()} if from_next else {}),
            },
        },
        "metadata": {"turnpike_account": str(account.pk)},
    }
    if settings.STRIPE_TAX:
        body |= {"automatic_tax": {"enabled": True}, "customer_update": {"address": "auto", "name": "auto"}}
    return open_checkout(account, StripeCheckout.Purpose.SUBSCRIBE, body, key=key, back_url=back_url)


def preview_change(account: Account, version: PlanVersion) -> Preview:
    """Say what a change to a dearer plan charges now: Stripe's own figures. PaymentError, ProviderAway."""
    row = _required(account)
    details = {
        "items": [{"id": row.item_id, "price": price_for(version).pk}],
        "proration_behavior": "always_invoice",
        "proration_date": _since(row),
    }
    body = {"subscription": row.pk, "subscription_details": details}
    found = api().look("/v1/invoices/create_preview", body)
    lines = [(str(line.get("description") or ""), int(line["amount"])) for line in found["lines"]["data"]]
    return Preview(int(found["total"]), str(found["currency"]).upper(), lines)


def change(account: Account, version: PlanVersion, *, key: str) -> StripeSubscription:
    """Change the plan: dearer at once and charged now, cheaper with the next period, the same takes a change back.

    Declined leaves the plan as it was; with an address, the plan changes once the payment is confirmed there.
    PaymentError, ProviderAway.
    """
    row = _required(account)
    if version.plan.is_default:
        return _update(account, row, {"cancel_at_period_end": True}, key)
    present = _present(account)
    body: dict[str, Any] = {"items": [{"id": row.item_id, "price": price_for(version).pk}]}
    if present and (version.price_minor or 0) > (present.price_minor or 0):
        body |= {"proration_behavior": "always_invoice", "proration_date": _since(row)}
        changed = _charge_now(account, row, body, key)
    else:
        changed = _update(account, row, body | {"proration_behavior": "none"}, key)
    if changed.cancel_at:  # whoever chooses a paid plan does not want to end
        changed = _update(account, changed, {"cancel_at_period_end": False}, f"{key}:resume")
    return changed


def _charge_now(
    account: Account, row: StripeSubscription, body: dict[str, Any], key: str
) -> StripeSubscription:
    """Change the plan if the card pays for it. Where the bank wants a confirmation, the change waits for that.

    Until then, for 23 hours, Stripe keeps the change and its open invoice beside the subscription.
    """
    try:
        return _update(account, row, body | {"payment_behavior": "error_if_incomplete"}, key)
    except Declined as refusal:
        if refusal.code not in ASKS_TO_CONFIRM:
            raise
        code = refusal.code
    waiting = body | {"payment_behavior": "pending_if_incomplete"}
    changed = _update(account, row, waiting, f"{key}:confirm")
    invoice = StripeInvoice.objects.filter(pk=changed.pending_invoice).first()
    if invoice is None:
        return changed
    text = gettext("Your bank wants you to confirm the payment. The plan changes as soon as you have.")
    raise Declined(text, code, invoice.hosted_url)


def cancel(account: Account, *, key: str) -> StripeSubscription:
    """End with the period; until then it can be taken back (`resume`)."""
    return _update(account, _required(account), {"cancel_at_period_end": True}, key)


def resume(account: Account, *, key: str) -> StripeSubscription:
    """Take a cancellation back."""
    return _update(account, _required(account), {"cancel_at_period_end": False}, key)


def portal_page(account: Account, *, back_url: str, key: str) -> str:
    """Return the address of Stripe's page for cards, address and old invoices. Plans are changed here, not there."""
    body = {
        "customer": customer_of(account),
        "configuration": _portal_configuration(),
        "return_url": back_url,
    }
    return str(api().post("/v1/billing_portal/sessions", body, key=f"portal:{key}")["url"])


def _portal_configuration() -> str:
    features = {
        "payment_method_update": {"enabled": True},
        "invoice_history": {"enabled": True},
        "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
        "subscription_cancel": {"enabled": False},
        "subscription_update": {"enabled": False},
    }
    return perform("portal:configuration:1", "/v1/billing_portal/configurations", {"features": features})


def _update(account: Account, row: StripeSubscription, body: dict[str, Any], key: str) -> StripeSubscription:
    """Ask, and follow what came of it. A card that is refused becomes Declined."""
    try:
        perform(f"su:{row.pk}:{key}", f"/v1/subscriptions/{row.pk}", body, account=account)
    except Refused as refusal:
        raise _declined(refusal) if refusal.status == 402 else refusal from refusal
    followed = follow_subscription(row.pk)
    if followed is None:
        raise PaymentError(gettext("Your subscription is not there any more. Subscribe again."))
    _follow_latest_invoice(row.pk)
    return followed


def _declined(refusal: Refused) -> Declined:
    code = refusal.decline or refusal.code
    if code in ASKS_TO_CONFIRM:
        text = gettext(
            "Your bank wants you to confirm the payment. Save your card again, confirm, then try again."
        )
    elif code == "expired_card":
        text = gettext("Your card has expired. Save another one, then try again.")
    else:
        text = gettext("Your card was declined. Nothing has changed. Save another one, then try again.")
    return Declined(text, code)


def _follow_latest_invoice(subscription_id: str) -> None:
    latest = id_of(api().get(f"/v1/subscriptions/{subscription_id}").get("latest_invoice"))
    if latest and not StripeInvoice.objects.filter(pk=latest, status="paid").exists():
        follow_invoice(latest)


def _required(account: Account) -> StripeSubscription:
    row = subscription_of(account)
    if row is None:
        raise PaymentError(gettext("You have no subscription yet."))
    return row


def _present(account: Account) -> PlanVersion | None:
    """The plan version that is paid for now, whatever comes next."""
    now = timezone.now()
    stays = account.subscriptions.filter(started_at__lte=now).exclude(ended_at__lte=now)
    stay = stays.select_related("plan_version").order_by("-started_at").first()
    return stay.plan_version if stay else None


def _since(row: StripeSubscription) -> int:
    """The start of what is paid already: the whole difference is charged, whenever in the month it is asked."""
    start: datetime = row.period_start or row.starts_at
    return int(start.timestamp())
