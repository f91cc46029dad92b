"""What accounts were told of their budgets and plans, and who is to be looked at next."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from accounts.admin.base import ReadOnlyAdmin, display
from billing.admin import columns
from billing.models import AlertFired, AlertMark


@admin.register(AlertFired)
class AlertFiredAdmin(ReadOnlyAdmin):
    """Thresholds that were reached, each told once a window."""

    list_display = ("account", "measure", "budget", "threshold", "how_much", "of", "carried", "created_at")
    list_filter = (("account", AutocompleteSelectFilter), "measure", "threshold")
    list_select_related = ("account", "budget__account")
    search_fields = ("account__name",)
    date_hierarchy = "created_at"
    fields = (*list_display, "window_start")

    @display(description=_("Used"))
    def how_much(self, alert: AlertFired) -> str:
        """What was used when it was told."""
        return _written(alert, alert.used)

    @display(description=_("Limit"))
    def of(self, alert: AlertFired) -> str:
        """The limit at that time."""
        return _written(alert, alert.limit)


@admin.register(AlertMark)
class AlertMarkAdmin(ReadOnlyAdmin):
    """Accounts with news that nobody has looked at yet: empty within a second, unless the worker is away."""

    list_display = ("account_id",)
    fields = ("account_id",)


def _written(alert: AlertFired, amount: int) -> str:
    if alert.measure == AlertFired.Measure.PLAN_CALLS:
        return str(amount)
    return columns.money(amount, alert.account.currency)
