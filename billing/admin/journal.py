"""The journal to look at, with the trial balance above its list."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.admin.base import LargeTableAdmin, ReadOnlyTabular, display
from billing.admin import columns
from billing.journal import trial_balance
from billing.models import JournalEntry, JournalLine


class SidesInline(ReadOnlyTabular):
    """The two sides."""

    model = JournalLine
    fields = ("ledger_account", "debit", "credit")
    show_change_link = False

    @display(description=_("Debit"))
    def debit(self, line: JournalLine) -> str:
        """The amount on the debit."""
        return columns.minor(line.debit_minor or None, line.currency)

    @display(description=_("Credit"))
    def credit(self, line: JournalLine) -> str:
        """The amount on the credit."""
        return columns.minor(line.credit_minor or None, line.currency)


@admin.register(JournalEntry)
class JournalEntryAdmin(LargeTableAdmin):
    """Every event about money. Each entry balances; the database holds that."""

    list_display = ("reference", "kind", "account", "memo", "created_at")
    list_filter = (("account", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("account",)
    search_fields = ("reference", "memo")
    ordering = ("-id",)
    inlines = (SidesInline,)
    fields = ("kind", "reference", "account", "memo", "created_at")
    list_before_template = "admin/billing/trial_balance.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """The list, with the sums of every ledger account above it."""
        rows = [
            (name.label, columns.minor(debit, currency), columns.minor(credit, currency))
            for currency, name, debit, credit in trial_balance()
        ]
        answer: HttpResponse = super().changelist_view(
            request, {"trial_balance": rows, **(extra_context or {})}
        )
        return answer
