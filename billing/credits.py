"""Credit beyond a plan's included one: granting it, giving it back, taking it back, writing it off.

What is left of it: `billing/credit_balances.py`.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing import journal
from billing.credit_balances import left_of, open_stretch
from billing.models import CreditBurn, CreditGrant, CreditSource, Statement
from billing.money import nano_per_minor
from billing.period import BillingPeriod

# How long restored credit can be used where its own grant has expired.
RESTORED_DAYS = 90


class CreditError(ValueError):
    """The credit cannot be granted; the message says why and what to do."""


def grant_credit(
    account: Account,
    source: CreditSource,
    nano: int,
    *,
    reference: str,
    starts_at: datetime | None = None,
    expires_at: datetime | None = None,
    note: str = "",
    by: str = "",
) -> CreditGrant:
    """Give `account` credit, once for each `reference`: asked again, return the grant that there is.

    `nano` is in the account's currency and whole minor units. `by` is who did it, an e-mail address or a
    name. CreditError if the amount is none, the dates are in the wrong order, or the reference has granted
    something else before.
    """
    if nano <= 0 or nano % nano_per_minor(account.currency):
        raise CreditError(gettext("Grant a positive amount in whole cents (or won, or yen)."))
    starts_at = starts_at or timezone.now()
    if expires_at is not None and expires_at <= starts_at:
        raise CreditError(gettext("Credit must expire after it starts. Choose a later day."))
    grant = CreditGrant(
        account=account, source=source, nano_amount=nano, currency=account.currency,
        starts_at=starts_at, expires_at=expires_at, note=note, granted_by=by, reference=reference,
    )  # fmt: skip
    try:
        with transaction.atomic():
            grant.save(force_insert=True)
            journal.credit_granted(grant)
    except IntegrityError:
        return _granted_before(grant)
    return grant


def _granted_before(asked: CreditGrant) -> CreditGrant:
    """Return the grant of the same reference. CreditError if it is another one."""
    grant = CreditGrant.objects.get(reference=asked.reference)
    for field in ("account_id", "source", "nano_amount", "currency"):
        if getattr(grant, field) != getattr(asked, field):
            raise CreditError(
                gettext("%(reference)s has granted something else already. Use another reference.")
                % {"reference": asked.reference}
            )
    return grant


def give_back(burn: CreditBurn, most: int, note: str) -> int:
    """Make credit that a statement used free again, at most `most` nano-units; return how much that was.

    Credit of a grant that has expired since comes back as a new grant with RESTORED_DAYS to use it.
    """
    restored = CreditBurn.objects.filter(grant=burn.grant, line=burn.line, reason=CreditBurn.Reason.RESTORED)
    nano = min(most, burn.nano_amount + (restored.aggregate(nano=Sum("nano_amount"))["nano"] or 0))
    if nano <= 0:
        return 0
    grant, now = burn.grant, timezone.now()
    back = CreditBurn.objects.create(
        grant=grant, line=burn.line, reason=CreditBurn.Reason.RESTORED, nano_amount=-nano, note=note
    )
    journal.credit_restored(back)
    if grant.expires_at and grant.expires_at <= now:
        withdraw(grant, nano, note=note, renewed=True)
    return nano


def give_back_all(statement: Statement) -> None:
    """Make all credit that a statement used free again: it is void."""
    burns = CreditBurn.objects.filter(line__statement=statement, reason=CreditBurn.Reason.USED)
    for used in burns.select_related("grant__account"):
        give_back(used, used.nano_amount, str(statement.number or ""))


def withdraw(grant: CreditGrant, nano: int, *, note: str, renewed: bool = False) -> CreditBurn:
    """Take back what is left of a grant, as after a chargeback. IntegrityError if so much is not left.

    `renewed`: give it again at once, with RESTORED_DAYS to use it, since the grant itself has expired.
    """
    with transaction.atomic():
        burn = CreditBurn.objects.create(
            grant=grant, reason=CreditBurn.Reason.WITHDRAWN, nano_amount=nano, note=note
        )
        journal.credit_withdrawn(burn)
        if renewed:
            grant_credit(
                grant.account, CreditSource(grant.source), nano,
                reference=f"renewed:{burn.pk}", expires_at=timezone.now() + timedelta(days=RESTORED_DAYS), note=note,
            )  # fmt: skip
    return burn


def expire_credits(now: datetime) -> int:
    """Write off what is left of grants that nobody can use any more; return how many there were.

    Usage from before the expiry still burns them, so a grant waits until its expiry's period is closed for
    the account (or has nothing to close), with the time that closing takes.
    """
    closed_by = BillingPeriod.containing(now - timedelta(seconds=settings.CLOSE_GRACE_SECONDS)).start
    ended = CreditGrant.objects.filter(expires_at__lte=closed_by).annotate(
        burned=Sum("burns__nano_amount", default=0)
    )
    return sum(_expire(grant.pk) for grant in ended.filter(burned__lt=F("nano_amount")))


def _expire(grant_id: UUID) -> bool:
    """Expire one grant, under the lock that closing takes. False if its period still has usage to bill."""
    with transaction.atomic():
        grant = CreditGrant.objects.select_related("account").get(pk=grant_id)
        Account.objects.select_for_update(no_key=True).get(pk=grant.account_id)
        assert grant.expires_at
        left, period = left_of(grant_id), BillingPeriod.containing(grant.expires_at)
        if not left or open_stretch(grant.account, period).nano:
            return False
        expired = CreditBurn.objects.create(grant=grant, reason=CreditBurn.Reason.EXPIRED, nano_amount=left)
        journal.credit_expired(expired)
    return True
