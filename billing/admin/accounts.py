"""The account's page as billing sees it: plan, usage and statements added to what the accounts room shows."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.admin.accounts import AccountAdmin
from accounts.admin.base import ReadOnlyTabular, ReasonDialog, action, display
from accounts.ids import uuid7
from accounts.models import Account
from billing.admin import columns
from billing.admin.dialogs import AmountField
from billing.credits import CreditError, grant_credit
from billing.models import CreditSource, PlanVersion, Subscription, UsagePeriod
from billing.money import to_nano
from billing.subscriptions import start_subscription


class PlanDialog(ReasonDialog):
    """Asks for the plan version to put the account on."""

    version = forms.ModelChoiceField(
        label=_("Plan"), queryset=PlanVersion.objects.none(), widget=UnfoldAdminSelectWidget()
    )
    field_order = ("_form_submitted", "version", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["version"]
        field.queryset = PlanVersion.objects.current(currency=None)


class CreditDialog(ReasonDialog):
    """Asks for how much credit to give, of which kind, and until when."""

    source = forms.ChoiceField(
        label=_("Source"),
        choices=[(source, source.label) for source in CreditSource if source != CreditSource.INCLUDED],
        initial=CreditSource.GRANTED,
        widget=UnfoldAdminSelectWidget(),
    )
    amount = AmountField(help_text=_("In the account's currency. Prepaid: only what was paid."))
    days = forms.IntegerField(
        label=_("Days until it expires"),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Leave it empty for credit that does not expire."),
    )
    reference = forms.CharField(
        label=_("Reference"),
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Such as the bank's. The same reference grants once."),
    )
    field_order = ("_form_submitted", "source", "amount", "days", "reference", "reason")


class SubscriptionInline(ReadOnlyTabular):
    """The account's stays on plans."""

    model = Subscription
    fields = ("plan_version", "started_at", "ended_at", "created_by")
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        """Stays with their plan's name."""
        stays: QuerySet[Subscription] = super().get_queryset(request)
        return stays.select_related("plan_version__plan", "created_by")


admin.site.unregister(Account)


@admin.register(Account)
class BilledAccountAdmin(AccountAdmin):
    """Accounts with what they are on and what they owe."""

    list_display: Any = (
        "name",
        "kind",
        "owners",
        "member_count",
        "plan",
        "currency",
        "state",
        "created_at",
    )
    inlines: ClassVar[Any] = (*AccountAdmin.inlines, SubscriptionInline)
    actions_detail: ClassVar[Any] = ("put_on_plan", "grant_credit", *AccountAdmin.actions_detail)
    readonly_fields: ClassVar[Any] = (*AccountAdmin.readonly_fields, "plan", "see")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "kind", "plan", "currency", "state", "see", "id", "created_at")}),
        *AccountAdmin.fieldsets[1:],
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Accounts with the stays that cover this moment."""
        now = Subscription.objects.in_force(timezone.now())
        return super().get_queryset(request).prefetch_related(Prefetch("subscriptions", now, to_attr="stays"))

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> list[str]:
        """The currency is fixed once there is usage: its counters carry none."""
        fixed = list(super().get_readonly_fields(request, obj))
        used = obj is not None and UsagePeriod.objects.filter(account=obj).exists()
        return [*fixed, "currency"] if used else fixed

    @display(description=_("Plan"))
    def plan(self, account: Account) -> str:
        """The plan version in force."""
        stays: list[Subscription] = getattr(account, "stays", [])
        return str(stays[0].plan_version) if stays else gettext("Default plan")

    @display(description=_("See also"))
    def see(self, account: Account) -> str:
        """The account's rows in the other lists."""
        if account._state.adding:
            return "—"
        this = {"account__id__exact": account.pk}
        links = [
            columns.link("billing_usageevent_changelist", gettext("Calls"), **this),
            columns.link("billing_usagehour_changelist", gettext("Hourly totals"), **this),
            columns.link("billing_usageperiod_changelist", gettext("Period totals"), **this),
            columns.link("billing_statement_changelist", gettext("Statements"), **this),
            columns.link("billing_creditgrant_changelist", gettext("Credit"), **this),
        ]
        return format_html_join(" · ", "{}", ((it,) for it in links))

    @action(
        description=_("Put on a plan"),
        icon="loyalty",
        permissions=["act"],
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": _("Put this account on a plan?"),
            "description": _("It begins now and ends the present stay. What was used so far stays as it is."),
            "form_class": PlanDialog,
            "form_submit_text": _("Put on this plan"),
        },
    )
    def put_on_plan(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Start a stay on the chosen plan version; also the way to a plan that is sold by agreement."""
        account = get_object_or_404(Account, pk=object_id)
        version: PlanVersion = form.cleaned_data["version"]
        if version.currency != account.currency:
            why = _(
                "%(plan)s is priced in %(theirs)s, the account pays in %(ours)s. Add a version in %(ours)s."
            )
            return self.refused(
                request,
                account,
                why % {"plan": version, "theirs": version.currency, "ours": account.currency},
            )
        by = None if isinstance(request.user, AnonymousUser) else request.user
        start_subscription(account, version, by=by)
        logged = f"Put on {version}: {form.cleaned_data['reason']}"
        return self.done(
            request, account, _("%(who)s is on %(plan)s now.") % {"who": account, "plan": version}, logged
        )

    @action(
        description=_("Grant credit"),
        icon="redeem",
        permissions=["act"],
        dialog={
            "title": _("Grant credit to this account?"),
            "description": _(
                "It counts within a second. A grant is never edited; what is wrong is withdrawn."
            ),
            "form_class": CreditDialog,
            "form_submit_text": _("Grant credit"),
        },
    )
    def grant_credit(self, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        """Write the grant; in manual mode also the way to a top-up that was paid by transfer."""
        account = get_object_or_404(Account, pk=object_id)
        data = form.cleaned_data
        days: int | None = data["days"]
        try:
            grant = grant_credit(
                account,
                CreditSource(data["source"]),
                to_nano(data["amount"]),
                reference=data["reference"] or f"staff:{uuid7()}",
                expires_at=timezone.now() + timedelta(days=days) if days else None,
                note=data["reason"],
                by=str(request.user),
            )
        except CreditError as error:
            return self.refused(request, account, str(error))
        said = _("%(amount)s granted to %(who)s.") % {
            "amount": columns.money(grant.nano_amount, grant.currency),
            "who": account,
        }
        return self.done(request, account, said, f"Granted {grant}: {data['reason']}")
