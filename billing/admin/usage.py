"""The ledger to look at, and the entries that did not make it there."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    SingleNumericFilter,
)

from accounts.admin.base import (
    LargeTableAdmin,
    display,
    moment,
    tag,
    uuid_or_none,
)
from accounts.ids import moment_of
from billing.admin import columns
from billing.admin.filters import CodeFilter, TimeFilter
from billing.models import RollupMark, UsageEvent, UsageHour, UsagePeriod

KIND_LABELS = {UsageEvent.Kind.ABANDONED: "danger", UsageEvent.Kind.LATE: "warning"}


class AmountColumns:
    """Charge and upstream cost of a row that has both and a currency."""

    @display(description=_("Charged"), ordering="nano_cost")
    def charged(self, row: Any) -> str:
        """What the customer pays."""
        return columns.exact(row.nano_cost, row.currency)

    @display(description=_("Upstream cost"), ordering="upstream_nano_cost")
    def cost(self, row: Any) -> str:
        """What the upstream takes."""
        return columns.exact(row.upstream_nano_cost, row.currency)


@admin.register(UsageEvent)
class UsageEventAdmin(AmountColumns, LargeTableAdmin):
    """Calls, newest first. Found by request id, or narrowed by account and time.

    The table is partitioned by month and has no index on time alone, so lists follow its primary key.
    """

    list_display = (
        "occurred",
        "account",
        "model",
        "task",
        "answer",
        "kind_of",
        "charged",
        "cost",
        "latency_ms",
    )
    list_filter = (
        ("account", AutocompleteSelectFilter),
        ("occurred_at", TimeFilter),
        ("status", SingleNumericFilter),
        ("model", CodeFilter),
        ("error_code", CodeFilter),
        ("kind", ChoicesDropdownFilter),
        ("estimated", BooleanRadioFilter),
    )
    ordering = ("-id",)
    search_fields = ("request_id",)
    search_help_text = _("The whole request id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "request_id",
                    "occurred",
                    "account",
                    "key",
                    "model",
                    "task",
                    "endpoint",
                    "upstream",
                    "answer",
                )
            },
        ),
        (
            _("Amounts"),
            {
                "fields": (
                    "charged",
                    "cost",
                    "parts",
                    "price_version",
                    "period",
                    "kind_of",
                    "estimated",
                    "quote_id",
                )
            },
        ),
        (_("Times"), {"fields": ("latency_ms", "first_byte_ms", "stream", "recorded_at", "seq")}),
    )
    list_display_links = ("occurred",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageEvent], search_term: str
    ) -> tuple[QuerySet[UsageEvent], bool]:
        """Find a call by its request id: one index probe, in the one partition that its id names."""
        if not search_term:
            return queryset, False
        wanted = uuid_or_none(search_term)
        if wanted is None or wanted.version != 7:
            messages.warning(
                request,
                _("Search by a whole request id; narrow by account, time and model with the filters."),
            )
            return queryset.none(), False
        return queryset.filter(request_id=wanted, occurred_at=moment_of(wanted)), False

    @display(description=_("Time (UTC)"))
    def occurred(self, event: UsageEvent) -> str:
        """When the call began."""
        return moment(event.occurred_at)

    @display(description=_("Answer"))
    def answer(self, event: UsageEvent) -> str:
        """Status and, if it failed, the code."""
        return f"{event.status} {event.error_code}".strip()

    @display(description=_("Kind"))
    def kind_of(self, event: UsageEvent) -> str:
        """Final, abandoned or late."""
        return tag(event.get_kind_display(), KIND_LABELS.get(UsageEvent.Kind(event.kind), "default"))

    @display(description=_("API key"))
    def key(self, event: UsageEvent) -> str:
        """A link to the key."""
        return (
            columns.link("accounts_apikey_change", event.api_key_id, event.api_key_id)
            if event.api_key_id
            else "—"
        )

    @display(description=_("Units"))
    def parts(self, event: UsageEvent) -> str:
        """Quantity and charge of each unit."""
        rows = (
            f"{unit}: {columns.number(quantity)} → {columns.exact(nano, event.currency)}"
            for unit, (quantity, nano) in event.units.items()
        )
        return "; ".join(rows) or "—"


@admin.register(UsageHour)
class UsageHourAdmin(AmountColumns, LargeTableAdmin):
    """Totals by hour, computed from the events and computed again when more arrive."""

    list_display = ("hour_of", "account", "model", "task", "upstream", "calls", "failures", "charged", "cost")
    list_filter = (
        ("account", AutocompleteSelectFilter),
        ("hour", TimeFilter),
        ("model", CodeFilter),
        ("upstream", CodeFilter),
    )
    list_select_related = ("account",)
    ordering = ("-hour", "-id")
    fields = (*list_display, "period", "api_key_id", "quantities")

    @display(description=_("Hour (UTC)"))
    def hour_of(self, row: UsageHour) -> str:
        """The hour's beginning."""
        return f"{row.hour:%Y-%m-%d %H}h"


@admin.register(UsagePeriod)
class UsagePeriodAdmin(AmountColumns, LargeTableAdmin):
    """Totals by billing period: what quotas and statements are held against."""

    list_display = ("period", "account", "calls", "charged_calls", "failures", "charged", "cost")
    list_filter = (("account", AutocompleteSelectFilter), ("period", CodeFilter))
    list_select_related = ("account",)
    search_fields = ("account__name", "=period")
    fields = ("account", "period", "currency", "calls", "charged_calls", "failures", "charged", "cost")


@admin.register(RollupMark)
class RollupMarkAdmin(LargeTableAdmin):
    """Minutes whose totals wait to be computed. Normally none older than a few seconds."""

    list_display = ("minute", "account_id")
    ordering = ("id",)
