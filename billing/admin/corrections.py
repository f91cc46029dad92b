"""Credit notes and adjustments, to look at. A credit note is made on its statement's page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.admin.base import ReadOnlyAdmin, ReadOnlyTabular, action, display
from billing.admin import columns
from billing.models import Adjustment, CreditNote, CreditNoteLine, CreditNoteSeries
from billing.pdf import credit_note_pdf


class CreditedInline(ReadOnlyTabular):
    """The lines that the note takes back, with their own sign."""

    model = CreditNoteLine
    fields = ("statement_line", "amount")
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNoteLine]:
        """Lines with their note, which knows the currency."""
        lines: QuerySet[CreditNoteLine] = super().get_queryset(request)
        return lines.select_related("note", "statement_line")

    @display(description=_("Amount"))
    def amount(self, line: CreditNoteLine) -> str:
        """How much of the line."""
        return columns.minor(line.amount_minor, line.note.currency)


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    """What was taken back of statements. Notes are history; the database holds that."""

    list_display = ("number", "account", "statement", "reason", "total", "created_at", "sent_at")
    list_filter = (("account", AutocompleteSelectFilter), ("reason", ChoicesDropdownFilter))
    list_select_related = ("account", "statement")
    search_fields = ("number", "statement__number", "account__name", "note")
    ordering = ("-created_at",)
    inlines = (CreditedInline,)
    fields = (
        "number", "account", "statement", "reason", "note", "total", "due", "refund", "out_of_band", "balance",
        "issued_by", "created_at", "sent_at", "provider_reference", "provider_error",
    )  # fmt: skip
    actions_detail = actions_row = ("download",)

    @display(description=_("Total"), ordering="total_minor")
    def total(self, note: CreditNote) -> str:
        """What it comes to."""
        return columns.minor(note.total_minor, note.currency)

    @display(description=_("Comes off what is owed"))
    def due(self, note: CreditNote) -> str:
        """The part that is not owed any more."""
        return columns.minor(note.due_minor, note.currency)

    @display(description=_("Refunded"))
    def refund(self, note: CreditNote) -> str:
        """The part that goes back the way it was paid."""
        return columns.minor(note.refund_minor, note.currency)

    @display(description=_("Paid back by other means"))
    def out_of_band(self, note: CreditNote) -> str:
        """The part that staff pay back."""
        return columns.minor(note.out_of_band_minor, note.currency)

    @display(description=_("Comes off the next statement"))
    def balance(self, note: CreditNote) -> str:
        """The part that waits."""
        return columns.minor(note.balance_minor, note.currency)

    @action(description=_("Download PDF"), icon="download", permissions=["view"], url_path="pdf")
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer the PDF that the customer gets. Writes nothing."""
        note = get_object_or_404(CreditNote, pk=object_id)
        headers = {"Content-Disposition": f'attachment; filename="{note.number}.pdf"'}
        return HttpResponse(credit_note_pdf(note), content_type="application/pdf", headers=headers)


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    """What waits for an account's next statement, or was on one."""

    list_display = ("account", "kind", "amount", "period", "model", "unit", "created_at")
    list_filter = (("account", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("account",)
    search_fields = ("account__name", "reference", "note")
    fields = (
        "account", "kind", "amount", "credit_note", "period", "model", "unit", "price_version", "note",
        "reference", "created_by", "created_at",
    )  # fmt: skip

    @display(description=_("Amount"), ordering="amount_minor")
    def amount(self, row: Adjustment) -> Any:
        """Below zero it takes off."""
        return columns.minor(row.amount_minor, row.currency)


@admin.register(CreditNoteSeries)
class CreditNoteSeriesAdmin(ReadOnlyAdmin):
    """How far the numbering of credit notes has come, a row a year."""

    list_display = ("year", "last")
    fields = ("year", "last")
