"""A frozen statement becomes lines of a Stripe invoice: the whole state machine, step by step.

FROZEN --1--> HELD --2,3--> ATTACHED --4--> FINALIZED. Each step may be run again: what was done is found.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.models import Statement, StatementLine, StripeInvoice
from billing.payments import states
from billing.payments.comparing import compare, line_id, note_lines
from billing.payments.drafts import choose_invoice, own_invoice
from billing.payments.finalizing import issue_draft
from billing.payments.mirror import sync_invoice
from billing.payments.operations import perform
from billing.payments.provider import PaymentError
from billing.payments.stripe import Refused, api
from billing.period import BillingPeriod

LINES_AT_ONCE = 100

State = Statement.State


def bring_forward(statement: Statement) -> Statement:
    """Take a statement as far towards issued as it goes now; return it as it is then. Safe to run again.

    1. Choose the invoice: the renewal's draft, held, else one of its own. If we die here, the draft is there and
       is found again (the operation), with no lines.
    2. Add the lines that are not on it. If we die here, those that are on it are found by their ids.
    3. Fetch and compare: each line once, with its amount; nothing that is not ours but the fee; a draft.
    4. Finalise, and let Stripe collect. If we die here, the mirror finds it issued.
    """
    if statement.total_minor == 0 and statement.state == State.FROZEN:
        now = timezone.now()  # nothing to collect: no invoice at Stripe
        return states.finalize(statement, provider="stripe", at=now, due_at=now)
    if statement.state == State.FROZEN:
        statement = choose_invoice(statement)
    if statement.state == State.HELD:
        statement = _attach(statement)
    if statement.state == State.ATTACHED:
        statement = _finalize(statement)
    return statement


# --- 2 and 3 -------------------------------------------------------------------------------------


def _attach(statement: Statement) -> Statement:
    invoice = _as_it_is(statement)
    if invoice.status != "draft":
        return _look_elsewhere(statement, invoice)
    lines = list(statement.lines.filter(stripe_line=None).order_by("position"))
    for batch in range(0, len(lines), LINES_AT_ONCE):
        try:
            _send(statement, invoice, lines[batch : batch + LINES_AT_ONCE])
        except Refused:
            if _as_it_is(statement).status != "draft":
                break  # it was finalised in between: what is on it counts, the rest goes on another one
            raise
    found = list(api().pages(f"/v1/invoices/{invoice.pk}/lines"))
    note_lines(invoice, found)
    invoice = _as_it_is(statement)
    if invoice.status != "draft":
        return _look_elsewhere(statement, invoice)
    compare(invoice, found)
    return _move(statement, State.HELD, State.ATTACHED)


def _send(statement: Statement, invoice: StripeInvoice, lines: Sequence[StatementLine]) -> None:
    """Add a batch. Its key names its first line: the same lines make the same batch, however often we come."""
    stem = f"st:{statement.pk}:add_lines:{invoice.pk}.{lines[0].position}"

    def missing() -> list[StatementLine]:
        there = {line_id(found) for found in api().pages(f"/v1/invoices/{invoice.pk}/lines")}
        return [line for line in lines if str(line.pk) not in there]

    perform(
        stem,
        f"/v1/invoices/{invoice.pk}/add_lines",
        {"lines": [line_body(statement, line) for line in lines]},
        account=statement.account,
        find=lambda: None if missing() else invoice.pk,
        again=lambda: {"lines": [line_body(statement, line) for line in missing()]},
    )


def line_body(statement: Statement, line: StatementLine) -> dict[str, Any]:
    """A line as Stripe gets it: a finished integer amount, the period, and our id to find it again."""
    period = BillingPeriod.parse(line.period)
    return {
        "amount": line.amount_minor,
        "description": line.description,
        "period": {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())},
        "metadata": {"turnpike_line": str(line.pk), "turnpike_statement": str(statement.pk)},
    }


def _look_elsewhere(statement: Statement, invoice: StripeInvoice) -> Statement:
    """The draft is gone. What is on it stays with it; whatever is not there goes on an invoice of its own."""
    if invoice.status != "deleted":
        note_lines(invoice, list(api().pages(f"/v1/invoices/{invoice.pk}/lines")))
    if not statement.lines.filter(stripe_line=None).exists():
        statement = _move(statement, State.HELD, State.ATTACHED)
        sync_invoice(invoice.pk)
        return Statement.objects.get(pk=statement.pk)
    own = own_invoice(statement)
    sync_invoice(own)
    with transaction.atomic():
        statement = states.locked(statement.pk)
        statement.stripe_invoice_id = own
        statement.save(update_fields=["stripe_invoice"])
    return statement  # the next round attaches what is left


# --- 4 -------------------------------------------------------------------------------------------


def _finalize(statement: Statement) -> Statement:
    """Finalise the invoice when every statement of it is attached; the mirror moves them all."""
    invoice = _as_it_is(statement)
    if invoice.status == "deleted":
        return _move(statement, State.ATTACHED, State.HELD)  # the next round finds it another invoice
    if invoice.status == "draft":
        if Statement.objects.filter(stripe_invoice=invoice, state=State.HELD).exists():
            return statement
        compare(invoice, list(api().pages(f"/v1/invoices/{invoice.pk}/lines")))
        issue_draft(invoice)
    return Statement.objects.get(pk=statement.pk)


def _as_it_is(statement: Statement) -> StripeInvoice:
    invoice = sync_invoice(str(statement.stripe_invoice_id))
    if invoice is None:
        raise PaymentError(f"{statement}: {statement.stripe_invoice_id} is not an invoice of this account.")
    return invoice


@transaction.atomic
def _move(statement: Statement, source: State, target: State) -> Statement:
    statement = states.locked(statement.pk)
    if statement.state == source:
        statement.state = target
        statement.save(update_fields=["state"])
    return statement
