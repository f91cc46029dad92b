"""An account's customer at Stripe: made when first needed, fetched again when Stripe says it changed."""

from typing import Any

from django.utils import timezone

from accounts.models import Account
from billing.letters import address_of
from billing.models import BillingAlarm, StripeCustomer
from billing.payments.alarms import raise_alarm
from billing.payments.operations import perform
from billing.payments.stripe import Found, Refused, api, is_live


def customer_of(account: Account) -> str:
    """Return the id of the account's customer, making one if there is none. Refused, ProviderAway.

    1. Ask Stripe. If we die here, the operation is asked again and gives the same customer.
    2. Write the row.
    """
    known = StripeCustomer.objects.filter(account=account, livemode=is_live())
    if current := known.filter(deleted_at=None).first():
        return current.pk
    stem = f"ac:{account.pk}:customer:{known.count() + 1}"
    found = perform(stem, "/v1/customers", _body(account), account=account, find=lambda: _find(account))
    StripeCustomer.objects.get_or_create(id=found, defaults={"account": account, "livemode": is_live()})
    return found


def update_details(account: Account) -> None:
    """Tell Stripe the account's name, address and e-mail, if it knows the account. Refused, ProviderAway."""
    customer = StripeCustomer.objects.filter(account=account, livemode=is_live(), deleted_at=None).first()
    if customer:
        body = _body(account)
        stem = f"ac:{account.pk}:details:{timezone.now():%Y%m%d%H%M%S%f}"
        perform(stem, f"/v1/customers/{customer.pk}", body, account=account)


def sync_customer(customer_id: str) -> None:
    """Fetch a customer again: is it still there, and which card does it pay with? Unknown ones are ignored."""
    customer = StripeCustomer.objects.filter(pk=customer_id).select_related("account").first()
    if customer is None:
        return
    try:
        found = api().get(f"/v1/customers/{customer_id}", expand=["invoice_settings.default_payment_method"])
    except Refused as refusal:
        if not refusal.is_missing:
            raise
        found = {"deleted": True}
    if found.get("deleted"):
        _deleted(customer)
        return
    _note_card(customer, found)


def _deleted(customer: StripeCustomer) -> None:
    """Somebody removed the customer there, and with it its subscriptions. A new one is made when needed."""
    gone = StripeCustomer.objects.filter(pk=customer.pk, deleted_at=None)
    if gone.update(deleted_at=timezone.now()):
        detail = (
            f"{customer.account} was {customer.pk}. Its subscription and card are gone with it; the customer has "
            "to subscribe again. Open invoices can be collected only by hand."
        )
        raise_alarm(BillingAlarm.Kind.CUSTOMER_DELETED, customer.pk, detail, customer.account)


def _note_card(customer: StripeCustomer, found: Found) -> None:
    method: Any = (found.get("invoice_settings") or {}).get("default_payment_method")
    card: dict[str, Any] = (method.get("card") or {}) if isinstance(method, dict) else {}
    expires = f"{card['exp_year']:04d}-{card['exp_month']:02d}" if card.get("exp_year") else ""
    StripeCustomer.objects.filter(pk=customer.pk).update(
        card_brand=card.get("brand") or "",
        card_last4=card.get("last4") or "",
        card_expires=expires,
        synced_at=timezone.now(),
    )


def _body(account: Account) -> dict[str, Any]:
    body: dict[str, Any] = {"name": account.name, "metadata": {"turnpike_account": str(account.pk)}}
    if email := address_of(account):
        body["email"] = email
    return body


def _find(account: Account) -> str | None:
    """Look whether a customer was made for the account by a request whose answer we never saw."""
    for found in api().pages("/v1/customers", email=address_of(account)):
        if (found.get("metadata") or {}).get("turnpike_account") == str(account.pk):
            known = StripeCustomer.objects.filter(pk=found["id"]).exists()
            if not known:
                return str(found["id"])
    return None
