"""Chargebacks: fetched when a webhook speaks of one, an alarm while somebody must look, booked when they are lost.

Nothing is taken from the customer by itself but unused credit of the very payment: whether somebody may stay is
for a person to decide.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Account
from billing import journal
from billing.credit_balances import left_of
from billing.credits import withdraw
from billing.models import BillingAlarm, CreditGrant, Dispute, StripeCustomer, TopUp
from billing.money import from_minor, nano_per_minor
from billing.payments.alarms import raise_alarm
from billing.payments.mirror import id_of, moment
from billing.payments.stripe import Found, api, is_live

LOST = "lost"


def follow_dispute(dispute_id: str) -> Dispute | None:
    """Fetch a chargeback and bring its row, its alarm and the journal in line. None if its customer is not ours.

    One transaction under the account's lock: a dispute is booked in the transaction that writes `lost`, so once.
    Refused, ProviderAway.
    """
    found = api().get(f"/v1/disputes/{dispute_id}", expand=["charge"])
    customer = StripeCustomer.objects.filter(pk=id_of(found["charge"].get("customer"))).first()
    if customer is None:
        return None
    with transaction.atomic():
        account = Account.objects.select_for_update(no_key=True).get(pk=customer.account_id)
        before = Dispute.objects.filter(pk=dispute_id).first()
        dispute = _write(account, found)
        if before is None or before.status != dispute.status:
            if dispute.status == LOST:
                _book(dispute)
            raise_alarm(BillingAlarm.Kind.CHARGEBACK, dispute.pk, _detail(dispute), account)
    return dispute


def _write(account: Account, found: Found) -> Dispute:
    facts: dict[str, Any] = {
        "account": account,
        "livemode": bool(found.get("livemode", is_live())),
        "payment": id_of(found.get("payment_intent")),
        "amount_minor": found["amount"],
        "currency": str(found["currency"]).upper(),
        "reason": str(found.get("reason") or "")[:60],
        "status": found["status"],
        "answer_by": moment((found.get("evidence_details") or {}).get("due_by")),
        "created_at": moment(found["created"]),
        "synced_at": timezone.now(),
    }
    dispute, _ = Dispute.objects.update_or_create(pk=found["id"], defaults=facts)
    return dispute


def _book(dispute: Dispute) -> None:
    """The money is gone: what is left of credit that it bought is withdrawn, the rest is our loss."""
    withdrawn = 0
    bought = TopUp.objects.filter(payment=dispute.payment, account=dispute.account).first()
    grant = bought and CreditGrant.objects.filter(reference=bought.key).select_related("account").first()
    if grant:
        left = left_of(grant.pk) // nano_per_minor(grant.currency)
        withdrawn = min(left, dispute.amount_minor)
    if grant and withdrawn:
        withdraw(grant, from_minor(withdrawn, grant.currency), note=dispute.pk)
    journal.chargeback_lost(dispute, dispute.amount_minor - withdrawn)


def _detail(dispute: Dispute) -> str:
    what = f"{dispute.account}: {dispute.amount_minor} {dispute.currency} (minor units) of {dispute.payment}"
    if dispute.status == LOST:
        return f"{what} were charged back for good. It is booked. Decide whether the account may go on."
    if dispute.status == "won":
        return f"{what} were charged back, and we won: nothing is booked. Close this."
    until = f" until {dispute.answer_by:%Y-%m-%d %H:%M} UTC" if dispute.answer_by else ""
    return f"{what} are charged back ({dispute.reason}, {dispute.status}). Answer it at Stripe{until}."
