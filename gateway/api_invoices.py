"""/api/v1/invoices: the statements that were issued, with their lines. For members who may see billing."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account
from billing.models import CreditNote, Statement, StatementLine
from gateway import errors
from gateway.api_access import member_of
from gateway.api_budgets import CHANGED

TAGS = ["Invoices"]
_SEEN = {401: CHANGED[401], 403: CHANGED[403]}
STATES = [state for state in Statement.State.values if state not in Statement.UNISSUED]


class InvoiceLineSerializer(serializers.Serializer[Any]):
    """A line. `amount_minor` is `amount_nano`, rounded once."""

    kind = serializers.ChoiceField(choices=StatementLine.Kind.choices)
    description = serializers.CharField()
    period = serializers.CharField(help_text="Earlier than the invoice's own where usage arrived late.")
    model = serializers.CharField(help_text="Of usage; empty otherwise.")
    unit = serializers.CharField(help_text="Of usage; empty otherwise.")
    quantity = serializers.IntegerField(help_text="Seconds are counted in millionths.")
    unit_price = serializers.DecimalField(max_digits=24, decimal_places=15, allow_null=True)
    amount_nano = serializers.IntegerField()
    amount_minor = serializers.IntegerField()


class CreditNoteSerializer(serializers.Serializer[Any]):
    """What was taken off an invoice afterwards."""

    number = serializers.CharField()
    reason = serializers.ChoiceField(choices=CreditNote.Reason.values)
    total_minor = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    pdf_url = serializers.URLField()


class InvoiceSerializer(serializers.Serializer[Any]):
    """An invoice. Amounts in the currency's smallest unit: 900 is $9.00, or 900 won."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    kind = serializers.ChoiceField(choices=Statement.Kind.choices)
    state = serializers.ChoiceField(choices=STATES)
    period = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    currency = serializers.CharField()
    total_minor = serializers.IntegerField()
    due_minor = serializers.IntegerField(help_text="The total, less what credit notes took off it.")
    finalized_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)
    paid_at = serializers.DateTimeField(allow_null=True)
    pdf_url = serializers.URLField(help_text="For who is signed in.")


class WholeInvoiceSerializer(InvoiceSerializer):
    """An invoice with its lines."""

    lines = InvoiceLineSerializer(many=True)
    credit_notes = CreditNoteSerializer(many=True)


class InvoiceListSerializer(serializers.Serializer[Any]):
    """A list."""

    object = serializers.CharField(default="list")
    data = InvoiceSerializer(many=True)  # type: ignore[assignment]


class Invoices(APIView):
    """GET /api/v1/invoices."""

    @extend_schema(
        operation_id="invoices", summary="List your invoices", tags=TAGS,
        responses={200: InvoiceListSerializer} | _SEEN,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return every invoice, newest first."""
        found = _issued(member_of(request, "see_billing").account)
        return Response({"object": "list", "data": [described(statement) for statement in found]})


class OneInvoice(APIView):
    """GET /api/v1/invoices/{id}."""

    @extend_schema(
        operation_id="invoice", summary="Look at one invoice", tags=TAGS,
        responses={200: WholeInvoiceSerializer, 404: CHANGED[404]} | _SEEN,
    )  # fmt: skip
    def get(self, request: Request, invoice_id: UUID) -> Response:
        """Return one invoice with its lines and credit notes."""
        statement = _issued(member_of(request, "see_billing").account).filter(pk=invoice_id).first()
        if statement is None:
            raise errors.not_found("invoice")
        lines = [_line(line) for line in statement.lines.all()]
        notes = [_note(note) for note in statement.credit_notes.all()]
        return Response(described(statement) | {"lines": lines, "credit_notes": notes})


def described(statement: Any) -> dict[str, Any]:
    """Return an invoice, of `_issued`, as the API tells it."""
    told = (
        "number", "kind", "state", "period", "starts_at", "ends_at", "currency", "total_minor", "finalized_at",
        "due_at", "paid_at",
    )  # fmt: skip
    return {"id": str(statement.pk)} | {name: getattr(statement, name) for name in told} | {
        "due_minor": statement.total_minor - statement.credited_minor,
        "pdf_url": _url("statement-pdf", statement.pk),
    }  # fmt: skip


def _issued(account: Account) -> QuerySet[Any]:
    """What is not issued yet is not the customer's business."""
    issued = Statement.objects.filter(account=account, number__isnull=False)
    return issued.annotate(credited_minor=Sum("credit_notes__due_minor", default=0))


def _line(line: StatementLine) -> dict[str, Any]:
    told = ("kind", "description", "period", "model", "unit", "quantity", "amount_minor")
    price = None if line.unit_price is None else f"{line.unit_price:f}"
    return {name: getattr(line, name) for name in told} | {
        "unit_price": price,
        "amount_nano": line.nano_amount,
    }


def _note(note: CreditNote) -> dict[str, Any]:
    told = ("number", "reason", "total_minor", "created_at")
    return {name: getattr(note, name) for name in told} | {"pdf_url": _url("credit-note-pdf", note.pk)}


def _url(name: str, pk: UUID) -> str:
    return f"{settings.SITE_URL.rstrip('/')}{reverse(name, args=[pk])}"
