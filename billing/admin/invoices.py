"""Statements: what they say is fixed; staff say that one was paid, void it, or look at its PDF."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.base import (
    LargeTableAdmin,
    ReadOnlyAdmin,
    ReadOnlyTabular,
    ReasonDialog,
    action,
    display,
    tag,
)
from accounts.ids import uuid7
from billing import payments
from billing.admin import columns
from billing.admin.filters import CodeFilter
from billing.credit_notes import PayBack, credit_statement
from billing.creditable import CreditNoteError, read_lines
from billing.models import CreditNote, NumberSeries, Statement, StatementLine, UsageAllocation
from billing.payments.states import OWED
from billing.pdf import statement_pdf

STATE_LABELS = {
    Statement.State.FROZEN: "warning",
    Statement.State.FINALIZED: "info",
    Statement.State.PAID: "success",
}


class LineInline(ReadOnlyTabular):
    """The lines, as the customer sees them, with the exact amount beside the rounded one."""

    model = StatementLine
    fields = ("position", "kind", "description", "exact_amount", "amount")

    ordering = ("position",)
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[StatementLine]:
        """Lines with their statement, which knows the currency."""
        lines: QuerySet[StatementLine] = super().get_queryset(request)
        return lines.select_related("statement")

    @display(description=_("Exact amount"))
    def exact_amount(self, line: StatementLine) -> str:
        """The sum of the line's events."""
        return columns.exact(line.nano_amount, line.statement.currency)

    @display(description=_("Amount"))
    def amount(self, line: StatementLine) -> str:
        """That, rounded once, half up."""
        return columns.minor(line.amount_minor, line.statement.currency)


class CreditDialog(ReasonDialog):
    """Asks for what to take back, and what becomes of it."""

    lines = forms.CharField(
        label=_("Lines"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Position and amount, such as 1=4.00, 3=0.25. Leave it empty for all that is left."),
    )
    why = forms.ChoiceField(
        label=_("Why"), choices=CreditNote.Reason.choices, widget=UnfoldAdminSelectWidget()
    )
    pay_back = forms.ChoiceField(
        label=_("Where it is paid"),
        choices=[
            (PayBack.BALANCE, _("Comes off the next statement")),
            (PayBack.REFUND, _("Refunded")),
            (PayBack.OUT_OF_BAND, _("Paid back by other means")),
        ],
        help_text=_("On a statement that is owed it comes off what is due, whatever you choose."),
        widget=UnfoldAdminSelectWidget(),
    )
    field_order = ("_form_submitted", "lines", "why", "pay_back", "reason")


class OverdueFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Past its due date and not paid."""

    title = _("overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Only one choice: the list without it shows all."""
        return [("yes", _("Overdue only"))]

    def queryset(self, request: HttpRequest, statements: QuerySet[Statement]) -> QuerySet[Statement]:
        """Keep what is owed and late."""
        late = Q(state=Statement.State.FINALIZED, due_at__lt=timezone.now())
        return statements.filter(late) if self.value() == "yes" else statements


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    """What accounts owe. Money, lines and numbers never change here; the database holds that too."""

    list_display = ("__str__", "account", "period", "state_of", "total", "due_at", "paid_at")
    list_filter = (
        ("account", AutocompleteSelectFilter),
        ("state", ChoicesDropdownFilter),
        OverdueFilter,
        ("period", CodeFilter),
        "provider",
    )
    list_select_related = ("account",)
    search_fields = ("number", "account__name", "account__billing_email")
    search_help_text = _("Number, account, or billing e-mail")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    inlines = (LineInline,)
    fieldsets = (
        (None, {"fields": ("number", "account", "period", "sequence", "state_of", "total", "plan_version")}),
        (
            _("Times (UTC)"),
            {"fields": ("starts_at", "ends_at", "created_at", "finalized_at", "due_at", "paid_at")},
        ),
        (_("Payment"), {"fields": ("provider", "events")}),
    )
    actions_detail = actions_row = ("download", "mark_paid", "credit", "void")

    @display(description=_("Status"), ordering="state")
    def state_of(self, statement: Statement) -> str:
        """Its state; a late one says so."""
        due: datetime | None = statement.due_at
        if statement.state == Statement.State.FINALIZED and due and due < timezone.now():
            return tag(gettext("Overdue"), "danger")
        return tag(
            statement.get_state_display(), STATE_LABELS.get(Statement.State(statement.state), "default")
        )

    @display(description=_("Total"), ordering="total_minor")
    def total(self, statement: Statement) -> str:
        """What is owed."""
        return columns.minor(statement.total_minor, statement.currency)

    @display(description=_("Billed calls"))
    def events(self, statement: Statement) -> str:
        """A link to the calls that this statement bills."""
        return columns.link(
            "billing_usageallocation_changelist", gettext("Show"), statement__id__exact=statement.pk
        )

    @action(description=_("Download PDF"), icon="download", permissions=["view"], url_path="pdf")
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer the PDF that the customer gets. Writes nothing."""
        statement = get_object_or_404(Statement, pk=object_id)
        headers = {"Content-Disposition": f'attachment; filename="{statement.number or statement.pk}.pdf"'}
        return HttpResponse(statement_pdf(statement), content_type="application/pdf", headers=headers)

    @action(
        description=_("Mark as paid"),
        icon="paid",
        permissions=["settle"],
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": _("Has this statement been paid?"),
            "description": _("Say how you know: a bank reference, a receipt. It cannot be taken back."),
            "form_class": ReasonDialog,
            "form_submit_text": _("Mark as paid"),
        },
    )
    def mark_paid(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Write that it was paid, with the reason."""
        return self._move(request, form, object_id, payments.mark_paid, _("%s is paid."), "Marked as paid")

    @action(
        description=_("Void"),
        icon="cancel",
        permissions=["settle"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": _("Void this statement?"),
            "description": _(
                "Nobody owes it any more. Its number is not used again. It cannot be taken back."
            ),
            "form_class": ReasonDialog,
            "form_submit_text": _("Void statement"),
        },
    )
    def void(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Write that nobody owes it, with the reason."""
        return self._move(request, form, object_id, payments.void, _("%s is void."), "Voided")

    @action(
        description=_("Credit"),
        icon="assignment_return",
        permissions=["credit"],
        dialog={
            "title": _("Take back a part of this statement?"),
            "description": _("It makes a credit note with a number. The statement stays as it is."),
            "form_class": CreditDialog,
            "form_submit_text": _("Issue credit note"),
        },
    )
    def credit(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Write the credit note, with the reason."""
        statement = get_object_or_404(Statement, pk=object_id)
        data = form.cleaned_data
        try:
            note = credit_statement(
                statement,
                read_lines(statement, data["lines"]),
                reason=CreditNote.Reason(data["why"]),
                reference=f"staff:{uuid7()}",
                pay_back=PayBack(data["pay_back"]),
                note=data["reason"],
                by=str(request.user),
            )
        except CreditNoteError as error:
            return self.refused(request, statement, str(error))
        said = _("%(note)s is issued: %(amount)s.") % {
            "note": note.number,
            "amount": columns.minor(note.total_minor, note.currency),
        }
        return self.done(request, statement, said, f"Credited by {note.number}: {data['reason']}")

    def has_credit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer it for a statement that is issued and not void; in a list, for every row."""
        issued = Statement.objects.filter(pk=object_id, number__isnull=False)
        return self.has_act_permission(request) and (
            object_id is None or issued.exclude(state=Statement.State.VOID).exists()
        )

    def _move(
        self, request: HttpRequest, form: forms.Form, object_id: str, move: Any, said: Any, logged: str
    ) -> HttpResponse:
        statement = get_object_or_404(Statement, pk=object_id)
        try:
            moved = move(statement)
        except payments.PaymentError as error:
            return self.refused(request, statement, str(error))
        return self.done(request, moved, said % moved, f"{logged}: {form.cleaned_data['reason']}")

    def has_settle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer both for a statement that is owed; in a list, for every row."""
        owed = Statement.objects.filter(pk=object_id, state__in=OWED)
        return self.has_act_permission(request) and (object_id is None or owed.exists())


@admin.register(UsageAllocation)
class UsageAllocationAdmin(LargeTableAdmin):
    """Which statement bills which call."""

    list_display = ("event", "statement")
    list_filter = (("statement", AutocompleteSelectFilter),)
    list_select_related = ("statement__account",)
    ordering = ("-event_id",)
    fields = ("event", "statement")

    @display(description=_("Call"), ordering="event_id")
    def event(self, allocation: UsageAllocation) -> str:
        """A link to the call."""
        return columns.link("billing_usageevent_change", allocation.event_id, allocation.event_id)


@admin.register(NumberSeries)
class NumberSeriesAdmin(ReadOnlyAdmin):
    """How far the numbering of statements has come, a row a year."""

    list_display = ("year", "last")
    fields = ("year", "last")
