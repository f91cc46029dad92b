"""What may be stuck, for the operator's first page: looked at, said in words, with the place to go to."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min
from django.db.models.functions import TruncHour
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import BillingAlarm, DeadEvent, Discrepancy, RollupMark, Statement, WebhookInbox

# Roll-up and issuing run every few seconds or minutes; what waits longer than this is stuck.
STUCK_AFTER = timedelta(minutes=10)
# At Stripe a statement may wait for its renewal (drafts.RENEWAL_WITHIN).
ISSUED_WITHIN = timedelta(hours=7)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must not wait: fine or not, said in words, and where to look."""

    fine: bool
    text: str
    url: str


def checks(now: datetime) -> list[Check]:
    """What may be stuck: roll-up, entries, statements, webhooks; and what is off: the books, alarms."""
    return [_rollup(now), _dead(), _frozen(now), _discrepancies(), *_stripe(now)]


def _rollup(now: datetime) -> Check:
    marks = RollupMark.objects.aggregate(
        oldest=TruncHour(Min("minute")), count=Count(TruncHour("minute"), distinct=True)
    )
    oldest: datetime | None = marks["oldest"]
    url = reverse("admin:billing_rollupmark_changelist")
    if oldest is None:
        return Check(True, _("Totals are up to date."), url)
    text = ngettext(
        "%(count)d hour waits for its total", "%(count)d hours wait for their totals", marks["count"]
    )
    text = _("%(what)s, the oldest of %(hour)s UTC.") % {
        "what": text % {"count": marks["count"]},
        "hour": f"{oldest:%Y-%m-%d %H:00}",
    }
    # The running hour always has news; one that ended must not.
    return Check(now < oldest + timedelta(hours=1) + STUCK_AFTER, text, url)


def _dead() -> Check:
    count = DeadEvent.objects.filter(resolved_at=None).count()
    url = reverse("admin:billing_deadevent_changelist", query={"state": "waiting"})
    if not count:
        return Check(True, _("No dead usage events."), url)
    text = ngettext(
        "%(count)d call could not be recorded. Try it again or resolve it.",
        "%(count)d calls could not be recorded. Try them again or resolve them.",
        count,
    )
    return Check(False, text % {"count": count}, url)


def _frozen(now: datetime) -> Check:
    wait = ISSUED_WITHIN if settings.STRIPE_SECRET_KEY else STUCK_AFTER
    stuck = Statement.objects.filter(state__in=Statement.UNISSUED, created_at__lt=now - wait).count()
    url = reverse("admin:billing_statement_changelist", query={"state__exact": Statement.State.FROZEN})
    if not stuck:
        return Check(True, _("No statement waits to be issued."), url)
    text = ngettext(
        "%(count)d statement has waited to be issued for more than 10 minutes.",
        "%(count)d statements have waited to be issued for more than 10 minutes.",
        stuck,
    )
    return Check(False, text % {"count": stuck}, url)


def _discrepancies() -> Check:
    count = Discrepancy.objects.filter(closed_at=None).count()
    url = reverse("admin:billing_discrepancy_changelist", query={"open": "yes"})
    if not count:
        return Check(True, _("Reconciliation found no open difference."), url)
    text = ngettext(
        "%(count)d difference in the books is open. Find out why, then close it with a note.",
        "%(count)d differences in the books are open. Find out why, then close each with a note.",
        count,
    )
    return Check(False, text % {"count": count}, url)


def _stripe(now: datetime) -> list[Check]:
    """Only where Stripe collects: open alarms, and webhooks that were not worked on."""
    if not settings.STRIPE_SECRET_KEY:
        return []
    alarms = BillingAlarm.objects.filter(closed_at=None).count()
    text = ngettext("%(count)d billing alarm is open.", "%(count)d billing alarms are open.", alarms)
    said = text % {"count": alarms} if alarms else _("No billing alarm is open.")
    late = WebhookInbox.objects.filter(done_at=None, received_at__lt=now - STUCK_AFTER).count()
    text = ngettext("%(count)d webhook waits.", "%(count)d webhooks wait.", late)
    waiting = text % {"count": late} if late else _("No webhook waits.")
    return [
        Check(not alarms, said, reverse("admin:billing_billingalarm_changelist")),
        Check(not late, waiting, reverse("admin:billing_webhookinbox_changelist")),
    ]
