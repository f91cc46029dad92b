"""A statement moves from state to state: the only code that writes one. What moves when: `billing/README.md`.

Each function locks the row, moves it if it may, and returns it; called again it changes nothing.
"""

from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from billing import journal
from billing.credits import give_back_all
from billing.models import NumberSeries, Statement
from billing.payments.provider import PaymentError

State = Statement.State
OWED = (State.FINALIZED, State.UNCOLLECTIBLE)


@transaction.atomic
def finalize(statement: Statement, *, provider: str, at: datetime, due_at: datetime) -> Statement:
    """Number the statement and make it due. With nothing to pay it is paid at once.

    Number and state are written in one transaction: if we die before its commit, the number is free again,
    and the numbers stay without gaps.
    """
    statement = locked(statement.pk)
    if statement.state not in Statement.UNISSUED:
        return statement
    statement.number = _next_number(at)
    statement.provider = provider
    statement.finalized_at, statement.due_at = at, due_at
    if statement.total_minor == 0:
        statement.state, statement.paid_at = State.PAID, at
    else:
        statement.state = State.FINALIZED
    statement.save()
    journal.statement_issued(statement)
    return statement


@transaction.atomic
def settle(statement: Statement, at: datetime | None = None) -> Statement:
    """Say that an issued statement is paid (now, if not given). PaymentError unless it is owed or paid."""
    statement = locked(statement.pk)
    if statement.state == State.PAID:
        return statement
    _require_owed(
        statement, gettext("%(statement)s is %(state)s. Only an issued statement can be marked as paid.")
    )
    statement.state, statement.paid_at = State.PAID, at or timezone.now()
    statement.save(update_fields=["state", "paid_at"])
    journal.statement_paid(statement)
    return statement


@transaction.atomic
def take_back(statement: Statement) -> Statement:
    """Void an issued statement: the customer owes nothing for it. PaymentError unless it is owed or void.

    Its usage stays allocated to it and is not billed again; its number is not given to another. Credit that it
    used is free again.
    """
    statement = locked(statement.pk)
    if statement.state == State.VOID:
        return statement
    _require_owed(statement, gettext("%(statement)s is %(state)s. Only an issued statement can be voided."))
    statement.state = State.VOID
    statement.save(update_fields=["state"])
    give_back_all(statement)
    journal.statement_voided(statement)
    return statement


@transaction.atomic
def give_up(statement: Statement) -> Statement:
    """Say that an issued statement is not expected to be paid. One that is paid or void stays so."""
    statement = locked(statement.pk)
    if statement.state == State.FINALIZED:
        statement.state = State.UNCOLLECTIBLE
        statement.save(update_fields=["state"])
    return statement


def locked(pk: UUID) -> Statement:
    """Read the statement again, under a lock that lasts to the end of the transaction."""
    return Statement.objects.select_for_update().get(pk=pk)


def _require_owed(statement: Statement, refusal: str) -> None:
    if statement.state not in OWED:
        raise PaymentError(refusal % {"statement": statement, "state": statement.get_state_display().lower()})


def _next_number(now: datetime) -> str:
    """Take the year's next number. Whoever comes next waits until this transaction ends."""
    year = now.astimezone(UTC).year
    NumberSeries.objects.get_or_create(year=year)
    series = NumberSeries.objects.select_for_update().get(year=year)
    series.last += 1
    series.save(update_fields=["last"])
    return f"TP-{year}-{series.last:06d}"
