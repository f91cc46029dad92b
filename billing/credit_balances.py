"""What is left of an account's credit beyond the included one, and what admission may count on. Only looks.

The rules of burning are in `billing/burning.py`; statements burn in `billing/lines.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q, Sum
from django.utils import timezone

from accounts.models import Account
from billing.burning import Pot, Stretch, after, burn
from billing.due import billed_periods
from billing.models import (
    CreditBurn,
    CreditGrant,
    CreditNoteLine,
    CreditSource,
    PlanVersion,
    Statement,
    StatementLine,
    UsageEvent,
    UsageHour,
    UsagePeriod,
)
from billing.money import from_minor, whole_minor
from billing.period import BillingPeriod
from billing.plan_in_force import included_credit_nano, plan_version_of, stay_of
from billing.ranges import hour_of


@dataclass(frozen=True, slots=True)
class Balance:
    """One grant and what is left of it for usage that is not billed yet, in nano-units."""

    grant: CreditGrant
    left: int


def prepaid_nano(account: Account, at: datetime | None = None) -> int:
    """Return how much usage beyond the plan's included credit the running period's counters may show.

    The grants in force, less what was burned, less what usage of earlier periods will still burn; plus what
    grants covered of the running period already (on an interim statement, or before they expired), since the
    counters count that usage too. Nano-units of the account's currency; 0 without a grant, by one query.

    Reads the totals, which trail a call by a second or two. While a period runs, nothing of it is subtracted
    here (the counters do that), so the answer does not move with the calls. When a period ends, it drops by
    what the period burned: whoever keeps an answer across that moment may let through, once, as much as was
    burned in the period that ended.
    """
    at = at or timezone.now()
    pots = pots_of(account)
    if not pots:
        return 0
    period = BillingPeriod.containing(at)
    for earlier in reversed(billed_periods(period)[1:]):
        pots = after(pots, burn(pots, open_stretch(account, earlier)))
    expired = [pot for pot in pots if pot.expires_at and pot.expires_at <= at]
    covered = burn(expired, open_stretch(account, period)) if expired else {}
    in_force = [pot for pot in pots if pot not in expired and pot.starts_at <= at]
    return _burned(account, period) + sum(covered.values()) + sum(pot.left for pot in in_force)


def grants_cover_nano(account: Account, at: datetime) -> int:
    """Return the same, also where grants are used up: what statements of the running period took of them."""
    return prepaid_nano(account, at) or _burned(account, BillingPeriod.containing(at))


def balances(account: Account, at: datetime | None = None) -> list[Balance]:
    """Return the account's grants with what is left of each, in the order of burning; used up ones last.

    What the running period's usage will take of them is gone already. Expired ones have nothing left.
    """
    at = at or timezone.now()
    pots = pots_of(account)
    for period in reversed(billed_periods(BillingPeriod.containing(at))) if pots else ():
        pots = after(pots, burn(pots, open_stretch(account, period)))
    left = {pot.grant: pot.left for pot in pots if pot.expires_at is None or pot.expires_at > at}
    place = {pot.grant: number for number, pot in enumerate(sorted(pots, key=lambda pot: pot.order))}
    grants = CreditGrant.objects.filter(account=account)
    rows = [Balance(grant, left.get(grant.pk, 0)) for grant in grants]
    return sorted(rows, key=lambda row: (row.left == 0, place.get(row.grant.pk, len(place))))


def pots_of(account: Account) -> list[Pot]:
    """Return the account's grants that are not used up by statements, expiry or staff. One query."""
    grants = CreditGrant.objects.filter(account=account).order_by()
    rows = grants.annotate(burned=Sum("burns__nano_amount", default=0)).filter(burned__lt=F("nano_amount"))
    return [
        Pot(row.pk, row.source, row.nano_amount - row.burned, row.starts_at, row.expires_at) for row in rows
    ]


def open_stretch(account: Account, period: BillingPeriod) -> Stretch:
    """Return what `account` used in a period and no statement billed, with the included credit left for it."""
    used = UsagePeriod.objects.filter(account=account, period=period.key, currency=account.currency)
    billed = _billed(account, period)
    nano = max((used.aggregate(nano=Sum("nano_cost"))["nano"] or 0) - billed, 0)
    included = from_minor(included_left(account, period), account.currency) if nano else 0
    return Stretch(
        period,
        nano,
        min(included, nano),
        lambda moment: max(used_before(account, period, moment) - billed, 0),
    )


def included_left(account: Account, period: BillingPeriod, version: PlanVersion | None = None) -> int:
    """Return what no statement gave yet of a period's included credit, in minor units. A void one gave none.

    `version` is the plan whose credit it is; if not given, its last statement's or the one at its end.
    """
    version = version or _plan_version(account, period)
    lines = StatementLine.objects.filter(
        statement__account=account, period=period.key, kind=StatementLine.Kind.CREDIT
    )
    given = lines.filter(credit_source__in=("", CreditSource.INCLUDED)).exclude(
        statement__state=Statement.State.VOID
    )
    minor = given.aggregate(total=Sum("amount_minor"))["total"] or 0
    # What a credit note took back of it is free again.
    minor -= CreditNoteLine.objects.filter(statement_line__in=given).aggregate(
        total=Sum("amount_minor", default=0)
    )["total"]
    stay = stay_of(account, period.end - timedelta(microseconds=1))
    included = whole_minor(included_credit_nano(version, stay, period), account.currency)
    return max(included + int(minor), 0)


def used_before(account: Account, period: BillingPeriod, moment: datetime) -> int:
    """Return what the usage of a period that began before `moment` cost, in nano-units.

    Whole hours from their totals, the moment's own hour from the events: two narrow queries.
    """
    hour = hour_of(moment)
    whole = UsageHour.objects.filter(account=account, period=period.key, hour__lt=hour)
    rest = UsageEvent.objects.filter(
        account=account, period=period.key, occurred_at__gte=hour, occurred_at__lt=moment
    )
    sums = (rows.order_by().aggregate(nano=Sum("nano_cost"))["nano"] or 0 for rows in (whole, rest))
    return sum(sums)


def _plan_version(account: Account, period: BillingPeriod) -> PlanVersion:
    """Return the plan whose credit covers a period: its last statement's, or the one in force at its end."""
    earlier = Statement.objects.filter(account=account, period=period.key).order_by("-sequence").first()
    if earlier:
        return earlier.plan_version
    return plan_version_of(account, min(period.end - timedelta(microseconds=1), timezone.now()))[0]


def _billed(account: Account, period: BillingPeriod) -> int:
    lines = StatementLine.objects.filter(
        statement__account=account, period=period.key, kind=StatementLine.Kind.USAGE
    )
    return int(lines.aggregate(nano=Sum("nano_amount"))["nano"] or 0)


def _burned(account: Account, period: BillingPeriod) -> int:
    """Return what statements burned of grants for usage of a period."""
    burns = CreditBurn.objects.filter(Q(line__period=period.key), grant__account=account)
    return int(burns.aggregate(nano=Sum("nano_amount"))["nano"] or 0)


def left_of(grant_id: UUID) -> int:
    """Return what no burn took yet of a grant, in nano-units."""
    grant = CreditGrant.objects.annotate(burned=Sum("burns__nano_amount", default=0)).get(pk=grant_id)
    return int(grant.nano_amount - grant.burned)
