"""Buying credit: on a page of the provider, or by itself when little is left, up to a cap a month.

1 write the TopUp                    if we die here: nothing was asked; an automatic one is asked again, by its key
2 ask the provider, by its key       if we die here: asked again, the provider says how that charge stands
3 write that it is paid, and grant   one transaction; the grant's reference is the key, so it is granted once
"""

import logging
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext, override

from accounts.models import Account
from billing.credit_balances import balances
from billing.credits import grant_credit
from billing.models import AutoTopUp, CreditSource, TopUp
from billing.money import from_minor, to_minor
from billing.payments import PaymentError, ProviderAway, payment_provider
from billing.payments.provider import ChargeReceipt, ChargeState
from billing.payments.signals import top_up_paid
from billing.period import BillingPeriod

log = logging.getLogger(__name__)

# How long bought credit can be used.
PREPAID_DAYS = 365


def start_top_up(account: Account, amount_minor: int, back_url: str) -> str:
    """Return the address of the page where the customer pays. PaymentError where nothing collects."""
    provider = payment_provider()
    if not provider.collects:
        raise PaymentError(
            gettext("This installation has no payment provider. Write to us to pay in advance.")
        )
    bought = TopUp.objects.create(account=account, amount_minor=amount_minor, currency=account.currency)
    description = gettext("Prepaid credit")
    return provider.top_up_page(
        account, amount_minor, key=bought.key, description=description, back_url=back_url
    )


@receiver(top_up_paid, dispatch_uid="billing.topups")
def credit_what_was_paid(account: Account, key: str, receipt: ChargeReceipt, **_: object) -> None:
    """Grant what a top-up bought, once, however often we are told."""
    settle(TopUp.objects.get(pk=key.removeprefix("top-up:"), account=account), receipt)


def settle(bought: TopUp, receipt: ChargeReceipt) -> None:
    """Write how a top-up ended; grant its credit if it is paid. One that still waits stays as it is."""
    if receipt.state == ChargeState.PENDING:
        return
    with transaction.atomic():
        bought = TopUp.objects.select_for_update().select_related("account").get(pk=bought.pk)
        if bought.state == TopUp.State.PAID:
            return
        paid = receipt.state == ChargeState.PAID
        bought.state = TopUp.State.PAID if paid else TopUp.State.FAILED
        bought.payment, bought.message = receipt.payment, receipt.message[:300]
        bought.settled_at = timezone.now()
        bought.save()
        if paid:
            grant_credit(
                bought.account,
                CreditSource.PREPAID,
                from_minor(bought.amount_minor, bought.currency),
                reference=bought.key,
                expires_at=timezone.now() + timedelta(days=PREPAID_DAYS),
                note=receipt.reference[:200],
                by="automatic top-up" if bought.automatic else "top-up",
            )
        elif bought.automatic:
            _pause(bought.account, receipt.message)


def top_up_due_accounts() -> int:
    """Buy credit for every account that asked for it and has less left than it wants; return how many were paid.

    One that fails is paused until the customer looks: a card that declines is not tried every minute.
    """
    if not payment_provider().collects:
        return 0
    paid = 0
    for row in AutoTopUp.objects.filter(enabled=True, paused_at=None).select_related("account"):
        try:
            if bought := _due(row):
                paid += _charge(bought)
        except ProviderAway as away:
            log.warning("top_up_waits", extra={"account": str(row.account_id), "error": str(away)})
    return paid


def bought_this_month(account: Account) -> int:
    """Return what automatic top-ups bought, or are about to buy, in this period: minor units."""
    start = BillingPeriod.containing(timezone.now()).start
    mine = TopUp.objects.filter(account=account, automatic=True, created_at__gte=start)
    return int(mine.exclude(state=TopUp.State.FAILED).aggregate(minor=Sum("amount_minor"))["minor"] or 0)


def left_minor(account: Account) -> int:
    """Return what is left of the account's credit, in minor units, rounded."""
    return to_minor(sum(row.left for row in balances(account)), account.currency)


def _due(row: AutoTopUp) -> TopUp | None:
    """Return the top-up to charge now: one that waits, or a new one if little is left and the cap allows it."""
    waiting = TopUp.objects.filter(account=row.account, automatic=True, state=TopUp.State.PENDING).first()
    if waiting:
        return waiting
    if left_minor(row.account) >= row.threshold_minor:
        return None
    if bought_this_month(row.account) + row.amount_minor > row.monthly_cap_minor:
        return None
    try:
        with transaction.atomic():
            return TopUp.objects.create(
                account=row.account,
                amount_minor=row.amount_minor,
                currency=row.account.currency,
                automatic=True,
            )
    except IntegrityError:
        return None  # another tick is at it


def _charge(bought: TopUp) -> bool:
    with override("en"):
        description = gettext("Prepaid credit")
    try:
        receipt = payment_provider().charge(
            bought.account, bought.amount_minor, key=bought.key, description=description
        )
    except PaymentError as refusal:
        receipt = ChargeReceipt("", ChargeState.FAILED, message=str(refusal))
    settle(bought, receipt)
    return receipt.state == ChargeState.PAID


def _pause(account: Account, why: str) -> None:
    AutoTopUp.objects.filter(account=account).update(paused_at=timezone.now(), pause_reason=why[:300])
