"""Plans, their versions, and who is on which."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter, RelatedDropdownFilter

from accounts.admin.base import ReadOnlyAdmin, ReadOnlyTabular, StaffAdmin, display, tag
from billing.admin import columns
from billing.admin.versions import VersionAdmin, state_of, with_newest
from billing.models import Plan, PlanVersion, Subscription


class PlanVersionInline(ReadOnlyTabular):
    """The plan's editions, newest first."""

    model = PlanVersion
    fields = ("number", "effective_from", "price", "calls_per_period", "overage")
    tab = True

    @display(description=_("Price a month"))
    def price(self, version: PlanVersion) -> str:
        """Its monthly price."""
        return columns.minor(version.price_minor, version.currency)


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    """Names and order on the price list. What a plan offers is in its versions."""

    list_display = ("name", "slug", "position", "is_default", "by_agreement", "subscribers")
    search_fields = ("name", "slug")
    inlines = (PlanVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        """Plans with how many accounts hold an open subscription."""
        plans: QuerySet[Plan] = super().get_queryset(request)
        running = Count("versions__subscriptions", filter=Q(versions__subscriptions__ended_at=None))
        return plans.annotate(running=running)

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        """The code is fixed once made: links and settings name it."""
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        """A plan with versions is history."""
        return super().has_delete_permission(request, obj) and not (obj and obj.versions.exists())

    @display(description=_("Subscribers"), ordering="running")
    def subscribers(self, plan: Plan) -> int:
        """Open subscriptions. Accounts without one are on the default plan and are not counted."""
        return int(plan.running)  # type: ignore[attr-defined]  # annotated above


@admin.register(PlanVersion)
class PlanVersionAdmin(VersionAdmin):
    """What a plan costs and allows, edition by edition."""

    list_display = (
        "__str__",
        "state",
        "effective_from",
        "price",
        "calls_per_period",
        "credit",
        "overage",
        "subscribers",
    )
    list_filter = (("plan", RelatedDropdownFilter), "overage")
    list_select_related = ("plan",)
    search_fields = ("plan__name", "plan__slug")
    date_hierarchy = "effective_from"
    fieldsets = (
        (None, {"fields": ("plan", "effective_from", "currency", "price_minor", "by_hand")}),
        (
            _("Included"),
            {
                "fields": (
                    "calls_per_period",
                    "included_credit_nano",
                    "overage",
                    "price_ceiling_nano",
                    "features",
                )
            },
        ),
        (
            _("Limits"),
            {
                "fields": (
                    "requests_per_minute",
                    "tokens_per_minute",
                    "concurrency",
                    "max_body_bytes",
                    "max_output_tokens",
                    "fails_closed",
                ),
                "description": _("An empty limit means without limit."),
            },
        ),
    )
    readonly_fields = ("by_hand",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanVersion]:
        """Versions with the newest of their plan, and how many accounts hold an open subscription to them."""
        running = Count("subscriptions", filter=Q(subscriptions__ended_at=None))
        versions: QuerySet[PlanVersion] = super().get_queryset(request).annotate(running=running)
        return with_newest(versions, "plan")

    @transaction.atomic
    def save_model(
        self, request: HttpRequest, obj: PlanVersion, form: forms.ModelForm[Any], change: bool
    ) -> None:
        """Write the plan's next version. Its row is locked, so that two people get two numbers."""
        plan = Plan.objects.select_for_update().get(pk=obj.plan_id)
        same = plan.versions.filter(currency=obj.currency)
        obj.number = (same.aggregate(last=Max("number"))["last"] or 0) + 1
        super().save_model(request, obj, form, change)

    @display(description=_("Status"))
    def state(self, version: PlanVersion) -> str:
        """Whether it is in force."""
        return state_of(version)

    @display(description=_("Price a month"), ordering="price_minor")
    def price(self, version: PlanVersion) -> str:
        """Its monthly price; a dash where it is negotiated."""
        return columns.minor(version.price_minor, version.currency)

    @display(description=_("Credit"), ordering="included_credit_nano")
    def credit(self, version: PlanVersion) -> str:
        """Usage that costs the customer nothing each period."""
        return columns.money(version.included_credit_nano, version.currency)

    @display(description=_("Subscribers"), ordering="running")
    def subscribers(self, version: PlanVersion) -> int:
        """Open subscriptions to this very version."""
        return int(version.running)  # type: ignore[attr-defined]  # annotated above

    @display(description=_("In words"))
    def by_hand(self, version: PlanVersion) -> str:
        """Price and credit as people write them; the fields hold minor and nano-units."""
        if version._state.adding:
            return gettext(
                "Prices are in minor units (900 is $9.00), credit and ceiling in nano-units (1e-9)."
            )
        parts = (self.price(version), self.credit(version))
        return gettext("%(price)s a month, %(credit)s credit included") % dict(
            zip(("price", "credit"), parts, strict=True)
        )


class OpenFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Running or ended."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two states."""
        return [("open", _("Running")), ("ended", _("Ended"))]

    def queryset(self, request: HttpRequest, subscriptions: QuerySet[Subscription]) -> QuerySet[Subscription]:
        """Keep the subscriptions in the chosen state."""
        if self.value() not in ("open", "ended"):
            return subscriptions
        return subscriptions.filter(ended_at__isnull=self.value() == "open")


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Stays on plans. A change of plan is a new row, made on the account's page."""

    list_display = ("account", "plan_version", "state", "started_at", "ended_at", "created_by")
    list_filter = (
        ("account", AutocompleteSelectFilter),
        OpenFilter,
        ("plan_version__plan", RelatedDropdownFilter),
    )
    list_select_related = ("account", "plan_version__plan", "created_by")
    search_fields = ("account__name", "account__billing_email")
    date_hierarchy = "started_at"
    fields = ("account", "plan_version", "state", "started_at", "ended_at", "created_by")

    @display(description=_("Status"))
    def state(self, subscription: Subscription) -> str:
        """Running or ended (or to end: the moment is set beforehand)."""
        return tag(gettext("Ended")) if subscription.ended_at else tag(gettext("Running"), "success")
