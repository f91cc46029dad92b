"""Money of a top-up goes back: its unused credit is withdrawn first, then the provider pays it back.

1 withdraw the credit and write the refund   one transaction; from here on nobody can use it
2 ask the provider, by the refund's key      if we die here: asked again, it happens once
3 write that it was told
"""

import logging

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing.credit_balances import balances
from billing.credits import CreditError, withdraw
from billing.models import CreditGrant, TopUp, TopUpRefund
from billing.money import from_minor, nano_per_minor
from billing.payments import PaymentError, ProviderAway, payment_provider

log = logging.getLogger(__name__)


def refundable_minor(bought: TopUp) -> int:
    """Return how much of a top-up's credit neither statements nor this period's usage took, in minor units."""
    left = sum(row.left for row in balances(bought.account) if row.grant.reference == bought.key)
    return left // nano_per_minor(bought.currency)


def refund_top_up(
    bought: TopUp, amount_minor: int, *, reference: str, note: str = "", by: str = ""
) -> TopUpRefund:
    """Give back `amount_minor` of a paid top-up, once for each `reference`. The provider hears of it afterwards.

    CreditError where it was not paid, or so much of its credit is not left.
    """
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=bought.account_id)
        known = TopUpRefund.objects.filter(reference=reference).first()
        if known:
            return known
        _require_left(bought, amount_minor)
        grant = CreditGrant.objects.select_related("account").get(reference=bought.key)
        withdraw(grant, from_minor(amount_minor, bought.currency), note=note[:200] or reference)
        return TopUpRefund.objects.create(
            top_up=bought, amount_minor=amount_minor, reference=reference, note=note[:200], issued_by=by
        )


def send_refunds() -> int:
    """Tell the provider of every refund that it has not heard of; return how many. One that fails waits."""
    told = 0
    for row in TopUpRefund.objects.filter(sent_at=None).select_related("top_up__account"):
        bought = row.top_up
        try:
            reference = payment_provider().refund(
                bought.payment, row.amount_minor, account=bought.account, key=str(row.pk)
            )
        except (PaymentError, ProviderAway) as failure:
            log.warning("refund_waits", extra={"refund": str(row.pk), "error": str(failure)})
            TopUpRefund.objects.filter(pk=row.pk).update(provider_error=str(failure)[:300])
            continue
        facts = {"sent_at": timezone.now(), "provider_reference": reference, "provider_error": ""}
        told += TopUpRefund.objects.filter(pk=row.pk, sent_at=None).update(**facts)
    return told


def _require_left(bought: TopUp, amount_minor: int) -> None:
    if bought.state != TopUp.State.PAID:
        raise CreditError(gettext("It was not paid, so there is nothing to give back."))
    left = refundable_minor(bought)
    if not 0 < amount_minor <= left:
        raise CreditError(
            gettext("%(left)s of it are left, in minor units. Write from 1 to that.") % {"left": left}
        )
