"""The screens of statements: the list, one with its lines, its PDF."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.db.models import QuerySet, Sum
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.decorators import MemberRequest, member_required
from accounts.models import Account
from billing import annex, wording
from billing.credit_notes import due_minor
from billing.models import CreditNote, Statement, StatementLine
from billing.pdf import credit_note_pdf, statement_pdf


@require_GET
@member_required("see_billing")
def statement_list(request: MemberRequest) -> HttpResponse:
    """The account's issued statements, newest first, with what is still to be paid."""
    statements = _issued(request.membership.account)
    due = statements.filter(state=Statement.State.FINALIZED).aggregate(total=Sum("total_minor", default=0))
    context = {"statements": statements, "due_minor": due["total"], "now": timezone.now()}
    return render(request, "billing/statements.html", context)


@require_GET
@member_required("see_billing")
def statement_detail(request: MemberRequest, statement_id: uuid.UUID) -> HttpResponse:
    """One statement: lines with quantity, unit price and amount, total, due date. 404 for another account's."""
    statement = get_object_or_404(_issued(request.membership.account), pk=statement_id)
    lines = statement.lines.select_related("statement__plan_version__plan", "adjustment__credit_note")
    context = {
        "statement": statement,
        "lines": [_written(line, statement) for line in lines],
        "now": timezone.now(),
        "credit_notes": statement.credit_notes.all(),
        "due_minor": due_minor(statement),
    }
    return render(request, "billing/statement.html", context)


@require_GET
@member_required("see_billing")
def statement_download(request: MemberRequest, statement_id: uuid.UUID) -> HttpResponse:
    """The statement as PDF in the reader's language. 404 for another account's."""
    statement = get_object_or_404(_issued(request.membership.account), pk=statement_id)
    response = HttpResponse(statement_pdf(statement, request.LANGUAGE_CODE), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{statement.number}.pdf"'
    return response


@require_GET
@member_required("see_billing")
def credit_note_download(request: MemberRequest, note_id: uuid.UUID) -> HttpResponse:
    """A credit note as PDF in the reader's language. 404 for another account's."""
    note = get_object_or_404(CreditNote, pk=note_id, account=request.membership.account)
    response = HttpResponse(credit_note_pdf(note, request.LANGUAGE_CODE), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{note.number}.pdf"'
    return response


@require_GET
@member_required("see_billing")
def statement_annex(request: MemberRequest, statement_id: uuid.UUID) -> HttpResponseBase:
    """Every call of the statement as CSV, sent as it is read. 404 for another account's."""
    statement = get_object_or_404(_issued(request.membership.account), pk=statement_id)
    response = StreamingHttpResponse(_annex(statement), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{statement.number}-calls.csv"'
    return response


async def _annex(statement: Statement) -> AsyncIterator[str]:
    yield annex.header()
    after = 0
    while found := await sync_to_async(annex.page)(statement, after):
        after, lines = found
        yield lines


def _issued(account: Account) -> QuerySet[Statement]:
    """Frozen statements have no number yet and are not the customer's business before they are issued."""
    issued = Statement.objects.filter(account=account, number__isnull=False)
    return issued.select_related("plan_version__plan", "stripe_invoice")


@dataclass(frozen=True)
class WrittenLine:
    """A line in the reader's language, in the words of the PDF."""

    title: str
    unit: str
    period: str  # empty where it is the statement's own
    quantity: str
    unit_price: str
    amount: str


def _written(line: StatementLine, statement: Statement) -> WrittenLine:
    counted = bool(line.unit)
    return WrittenLine(
        title=wording.title(line),
        unit=wording.unit_name(line),
        period="" if line.period == statement.period else wording.month(line.period),
        quantity=wording.quantity(line) if counted else "",
        unit_price=wording.unit_price(line, statement.currency) if counted else "",
        amount=wording.amount(line.amount_minor, statement.currency),
    )
