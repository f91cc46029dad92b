"""Credit notes: a part of an issued statement is taken back, by line, in amounts that the statement stored.

What a note comes to: `billing/creditable.py`. The usage itself stays allocated to its statement and is not
billed again.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import Account
from billing import journal
from billing.creditable import CreditNoteError, net_lines, preview
from billing.credits import give_back
from billing.models import (
    Adjustment,
    CreditBurn,
    CreditNote,
    CreditNoteLine,
    CreditNoteSeries,
    Statement,
    StatementLine,
)
from billing.money import from_minor
from billing.payments import PaymentError, ProviderAway, provider_of, states
from billing.payments.provider import CreditedLine

log = logging.getLogger(__name__)


class PayBack(StrEnum):
    """What becomes of a credit on a statement that is paid."""

    BALANCE = "balance"  # a negative line on the next statement
    REFUND = "refund"  # back the way it was paid, by the provider
    OUT_OF_BAND = "out_of_band"  # paid back by hand


def credit_statement(
    statement: Statement,
    asked: Mapping[UUID, int] | None = None,
    *,
    reason: CreditNote.Reason,
    reference: str,
    pay_back: PayBack = PayBack.BALANCE,
    note: str = "",
    by: str = "",
) -> CreditNote:
    """Credit lines of an issued statement, or all of it; once for each `reference`.

    On a statement that is owed it comes off what is due; on a paid one `pay_back` says what becomes of it.
    CreditNoteError for what cannot be credited. One transaction: number, lines, freed credit, what waits for
    the next statement and the journal are written together. The provider hears of it afterwards
    (`send_credit_notes`).
    """
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=statement.account_id)
        statement = Statement.objects.select_for_update().get(pk=statement.pk)
        known = CreditNote.objects.filter(reference=reference).first()
        if known:
            return known
        _require_creditable(statement)
        plan = preview(statement, asked)
        if not plan.amounts:
            raise CreditNoteError(
                gettext("All of %(statement)s is credited already.") % {"statement": statement}
            )
        written = CreditNote.objects.create(
            account=statement.account,
            statement=statement,
            number=_next_number(timezone.now()),
            reason=reason,
            note=note,
            currency=statement.currency,
            total_minor=plan.total_minor,
            reference=reference,
            issued_by=by,
            **_split(statement, plan.total_minor, pay_back),
        )
        _write_lines(written, plan.amounts)
        _free_credit(written)
        _let_wait(written)
        journal.credit_note_issued(written)
        _settle_if_nothing_is_due(statement)
    return written


def due_minor(statement: Statement) -> int:
    """Return what is still owed of a statement: its total less what credit notes took off it."""
    credited = statement.credit_notes.aggregate(minor=Sum("due_minor"))["minor"] or 0
    return int(statement.total_minor - credited)


def _require_creditable(statement: Statement) -> None:
    if statement.number is None or statement.state == Statement.State.VOID:
        raise CreditNoteError(
            gettext("%(statement)s is %(state)s. Only an issued statement can be credited.")
            % {"statement": statement, "state": statement.get_state_display().lower()}
        )
    if statement.provider == "stripe" and statement.state == Statement.State.UNCOLLECTIBLE:
        raise CreditNoteError(
            gettext("Stripe has given it up and credits only what is open or paid. Void it instead.")
        )


def _split(statement: Statement, total: int, pay_back: PayBack) -> dict[str, int]:
    """Say what becomes of the note's total. On a paid statement all of it is paid back."""
    if statement.state != Statement.State.PAID:
        return {"due_minor": total}
    if statement.provider == "stripe" and pay_back == PayBack.OUT_OF_BAND:
        raise CreditNoteError(gettext("Stripe collected it: pay it back there, or to the balance."))
    return {f"{pay_back}_minor": total}


def _write_lines(note: CreditNote, amounts: Mapping[UUID, int]) -> None:
    lines = StatementLine.objects.in_bulk(amounts)
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(
            note=note,
            statement_line=lines[pk],
            amount_minor=minor,
            # A whole line gives back its exact amount, so that the two cancel to the nano-unit.
            nano_amount=lines[pk].nano_amount
            if minor == lines[pk].amount_minor
            else from_minor(minor, note.currency),
        )
        for pk, minor in amounts.items()
    )


def _free_credit(note: CreditNote) -> None:
    """Give back to grants what the note's credit lines had burned of them, what was burned last first."""
    for credited in note.lines.filter(amount_minor__lt=0).select_related("statement_line"):
        nano = from_minor(-credited.amount_minor, note.currency)
        burns = CreditBurn.objects.filter(line=credited.statement_line, reason=CreditBurn.Reason.USED)
        for burn in burns.select_related("grant__account").order_by("-created_at", "-pk"):
            nano -= give_back(burn, nano, note.number)


def _let_wait(note: CreditNote) -> None:
    # Where Stripe collects, what stays with the customer is on their balance there.
    if note.balance_minor and note.statement.provider != "stripe":
        Adjustment.objects.create(
            account=note.account,
            kind=Adjustment.Kind.BALANCE,
            currency=note.currency,
            amount_minor=-note.balance_minor,
            credit_note=note,
            period=note.statement.period,
            note=note.number,
            reference=f"credit-note:{note.pk}",
            created_by=note.issued_by,
        )


def _settle_if_nothing_is_due(statement: Statement) -> None:
    """A statement that is credited to nothing is paid: nobody owes it."""
    if statement.state in states.OWED and due_minor(statement) == 0:
        states.settle(statement)


def _next_number(now: datetime) -> str:
    """Take the year's next number. Whoever comes next waits until this transaction ends."""
    year = now.astimezone(UTC).year
    CreditNoteSeries.objects.get_or_create(year=year)
    series = CreditNoteSeries.objects.select_for_update().get(year=year)
    series.last += 1
    series.save(update_fields=["last"])
    return f"CN-{year}-{series.last:06d}"


def send_credit_notes() -> int:
    """Tell the provider of every note that it has not heard of; return how many. One that fails waits.

    1 ask the provider, outside of any transaction     if we die here: asked again with the same key, it happens once
    2 write that it was told
    """
    told = 0
    for note in CreditNote.objects.filter(sent_at=None).select_related("statement").order_by("created_at"):
        try:
            receipt = _tell(note)
        except (PaymentError, ProviderAway) as failure:
            log.warning("credit_note_waits", extra={"note": note.number, "error": str(failure)})
            CreditNote.objects.filter(pk=note.pk).update(provider_error=str(failure)[:300])
            continue
        facts = {"sent_at": timezone.now(), "provider_reference": receipt, "provider_error": ""}
        told += CreditNote.objects.filter(pk=note.pk, sent_at=None).update(**facts)
    return told


def _tell(note: CreditNote) -> str:
    """Return the provider's reference. A note that comes to nothing only freed credit: nobody need hear of it.

    What came off an owed statement goes back to the card if it was paid before the provider heard of the note.
    """
    lines = [CreditedLine(line, minor) for line, minor in net_lines(note)]
    if not lines:
        return ""
    refund = note.refund_minor + note.due_minor
    receipt = provider_of(note.statement).credit_note(
        note.statement, lines, key=str(note.pk), memo=note.number, refund_minor=refund
    )
    return receipt.reference
