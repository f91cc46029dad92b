"""Step 10: Redis counters = ledger = totals = statements = provider's invoices = journal. Drift is an alarm.

Each check is a question of its own (`billing/reconciliation_checks.py`); what the meter says comes in as
plain values (`gateway/reconciling.py`). A difference becomes a `Discrepancy` that somebody must close with a
note: one for each drift, however many checks see it. Nothing is mended here: money that is off is looked at
by a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db import IntegrityError, transaction
from django.utils import timezone

from billing import reconciliation_checks as checks
from billing.models import Discrepancy, ReconciliationRun
from billing.period import BillingPeriod
from billing.reconciliation_checks import Compared, Difference

Check = Discrepancy.Check
Totals = tuple[int, int]  # (answered calls, nano-units)

__all__ = ["CounterReading", "close_discrepancy", "open_discrepancies", "reconcile"]


@dataclass(frozen=True, slots=True)
class CounterReading:
    """One account's counters read before and after the ledger was: with calls going on, it must lie between."""

    account_id: str
    first: Totals
    ledger: Totals
    last: Totals

    @property
    def agrees(self) -> bool:
        """Whether what the ledger says lies between the two readings."""
        return all(
            low <= here <= high for low, here, high in zip(self.first, self.ledger, self.last, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What others must tell: the meter's counters, and what upstreams billed {upstream: nano USD}."""

    counters: Sequence[CounterReading] = ()
    upstream_bills: Mapping[str, int] = field(default_factory=dict)


def reconcile(period: BillingPeriod, evidence: Evidence | None = None) -> ReconciliationRun:
    """Compare everything that is known of a period, record what differs, and return the run.

    Safe to run at any time and again. If we die on the way, the run has no end, and what was found before is
    recorded.
    """
    evidence = evidence or Evidence()
    run = ReconciliationRun.objects.create(period=period.key)
    results = {
        Check.ROLLUPS: checks.rollups(period),
        Check.STATEMENTS: checks.statements(period),
        Check.TOTALS: checks.totals(period),
        Check.PROVIDER: checks.provider(period),
        Check.JOURNAL: checks.journal(period),
        Check.CREDIT: checks.credit(),
        Check.UPSTREAM: checks.upstream(period, evidence.upstream_bills),
        # Last: it is not always asked, and what it sees of a drift in the ledger is seen above as well.
        Check.COUNTERS: _compare_counters(evidence.counters),
    }
    found = _one_for_each_drift(results)
    for check, difference in found:
        _record(check, period, difference)
    run.compared = {check.value: compared.count for check, compared in results.items()}
    run.found = len(found)
    run.finished_at = timezone.now()
    run.save()
    return run


def open_discrepancies() -> Iterable[Discrepancy]:
    """Return what nobody has closed yet, oldest first."""
    return Discrepancy.objects.filter(closed_at=None).select_related("account").order_by("first_seen_at")


def close_discrepancy(discrepancy: Discrepancy, note: str, by: str) -> None:
    """Close a discrepancy, saying why. It opens again, as a new row, only if its figures change."""
    discrepancy.closed_at, discrepancy.closed_by, discrepancy.note = timezone.now(), by, note
    discrepancy.save(update_fields=["closed_at", "closed_by", "note"])


def _compare_counters(readings: Sequence[CounterReading]) -> Compared:
    differences = []
    for reading in readings:
        for position, unit in enumerate(("calls", "nano")):
            low, here, high = reading.first[position], reading.ledger[position], reading.last[position]
            if not low <= here <= high:
                differences.append(
                    Difference(
                        f"{reading.account_id} {unit}",
                        reading.account_id,
                        here,
                        low,
                        unit,
                        "The counters say something else than the ledger.",
                    )
                )
    return Compared(len(readings), differences)


def _one_for_each_drift(results: Mapping[Check, Compared]) -> list[tuple[Check, Difference]]:
    """Return what differs, the first sight of each drift: the others are named in its detail.

    One drift of an account shows in every check that reads the figure, by the same amount of the same unit. If two
    happened to be as large, the second is seen once the first is mended.
    """
    found: dict[object, tuple[Check, Difference]] = {}
    for check, compared in results.items():
        for difference in compared.differences:
            drift = _drift_of(check, difference)
            if drift in found:
                first_check, first = found[drift]
                also = f"{first.detail} {check.label}, {difference.subject}: the same."
                found[drift] = first_check, replace(first, detail=also)
            else:
                found[drift] = check, difference
    return list(found.values())


def _drift_of(check: Check, difference: Difference) -> object:
    """What makes two differences the same drift. Where there is no account, each stands for itself."""
    if difference.account_id is None:
        return check, difference.subject
    unit = " ".join(word for word in difference.unit.split() if not word.isupper())  # without the currency
    return difference.account_id, unit, abs(difference.found - difference.expected)


def _record(check: Discrepancy.Check, period: BillingPeriod, difference: Difference) -> None:
    same = Discrepancy.objects.filter(check_name=check, period=period.key, subject=difference.subject)
    figures = {"expected": difference.expected, "found": difference.found}
    if same.exclude(closed_at=None).filter(**figures).exists():
        return
    facts = figures | {"detail": difference.detail[:400], "last_seen_at": timezone.now()}
    if not same.filter(closed_at=None).update(**facts):
        _open(check, period, difference, facts)


def _open(
    check: Discrepancy.Check, period: BillingPeriod, difference: Difference, facts: dict[str, object]
) -> None:
    try:
        with transaction.atomic():
            Discrepancy.objects.create(
                check_name=check,
                period=period.key,
                subject=difference.subject,
                account_id=difference.account_id,
                unit=difference.unit,
                **facts,
            )
    except IntegrityError:
        return  # another run opened it this moment
