"""The staff admin's site: who may enter, what its pages may load, and how its menu is ordered."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from csp.constants import NONCE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from billing.models import DeadEvent

# unfold drives its pages with Alpine's standard build, which evaluates attributes, and writes its colours
# into an inline <style>. Both are allowed here and nowhere else; scripts still come from this origin only.
relaxed = csp_replace({"script-src": [SELF, NONCE, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]})

# The menu: heading, then models with their Material symbols. What a person may not see is left out.
MENU: list[tuple[Any, list[tuple[str, str]]]] = [
    (
        _("Customers"),
        [
            ("accounts.Account", "apartment"),
            ("accounts.User", "person"),
            ("accounts.ApiKey", "key"),
            ("billing.Subscription", "loyalty"),
            ("billing.Budget", "savings"),
            ("billing.EntitlementOverride", "tune"),
        ],
    ),
    (
        _("What they are told"),
        [
            ("billing.AlertFired", "notifications"),
            ("accounts.OutgoingMail", "outgoing_mail"),
            ("accounts.WebhookEndpoint", "webhook"),
            ("accounts.WebhookDelivery", "send"),
        ],
    ),
    (
        _("Money"),
        [
            ("billing.Statement", "receipt_long"),
            ("billing.Plan", "sell"),
            ("billing.PlanVersion", "history"),
            ("billing.PriceVersion", "menu_book"),
            ("billing.CreditGrant", "redeem"),
            ("billing.CreditBurn", "local_fire_department"),
            ("billing.TopUp", "add_card"),
            ("billing.TopUpRefund", "undo"),
            ("billing.AutoTopUp", "autorenew"),
            ("billing.CreditNote", "assignment_return"),
            ("billing.Adjustment", "exposure"),
            ("billing.JournalEntry", "balance"),
            ("billing.Discrepancy", "difference"),
            ("billing.ReconciliationRun", "fact_check"),
            ("billing.NumberSeries", "tag"),
            ("billing.CreditNoteSeries", "tag"),
        ],
    ),
    (
        _("Payment"),
        [
            ("billing.BillingAlarm", "notification_important"),
            ("billing.Dispute", "gavel"),
            ("billing.Dunning", "event_busy"),
            ("billing.StripeInvoice", "request_quote"),
            ("billing.StripeSubscription", "autorenew"),
            ("billing.StripePrice", "price_check"),
            ("billing.StripeOperation", "sync_alt"),
            ("billing.WebhookInbox", "inbox"),
        ],
    ),
    (
        _("Usage"),
        [
            ("billing.UsageEvent", "receipt"),
            ("billing.UsageHour", "schedule"),
            ("billing.UsagePeriod", "calendar_month"),
            ("billing.UsageAllocation", "link"),
        ],
    ),
    (
        _("Operation"),
        [
            ("gateway.CatalogModel", "deployed_code"),
            ("gateway.Serving", "alt_route"),
            ("gateway.Upstream", "dns"),
            ("gateway.CatalogChange", "published_with_changes"),
            ("billing.DeadEvent", "report"),
            ("billing.RollupMark", "pending_actions"),
            ("billing.AlertMark", "notification_important"),
        ],
    ),
    (
        _("Entry"),
        [
            ("auth.Group", "groups"),
            ("account.EmailAddress", "mark_email_read"),
            ("mfa.Authenticator", "phonelink_lock"),
        ],
    ),
]


class StaffAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold ships no types
    """The admin at /admin/. Needs `is_staff`; what one may do there follows Django's permissions."""

    index_title = _("Dashboard")

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register as usual, but leave out the plain admin classes that libraries bring along.

        They would look foreign and some show secrets; what staff need of them is in `accounts/admin/people.py`.
        """
        if admin_class is not None and issubclass(admin_class, ModelAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Wrap a view as Django does, and loosen the content security policy for what it answers."""
        return relaxed(super().admin_view(view, cacheable))

    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send visitors to the common sign-in page, with its MFA and throttling; 403 for non-staff."""
        answer: HttpResponse = super().login(request, extra_context)
        return answer

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign out and go where everybody goes after it."""
        answer: HttpResponse = LogoutView.as_view(next_page=settings.ACCOUNT_LOGOUT_REDIRECT_URL)(request)
        return answer


# The one instance (Django makes it from `StaffAdminConfig.default_site`): gateway/urls.py mounts it.
admin_site = admin.site


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu as unfold wants it: what this person may see, dashboard first."""
    start = {"title": _("Dashboard"), "icon": "monitoring", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [start]}]
    for heading, entries in MENU:
        items = [_entry(label, icon) for label, icon in entries if _may_see(request, label)]
        groups.append({"title": heading, "separator": True, "items": items})
    return groups


def _may_see(request: HttpRequest, label: str) -> bool:
    model_admin = admin.site._registry.get(apps.get_model(label))
    return model_admin is not None and model_admin.has_view_permission(request)


def _entry(label: str, icon: str) -> dict[str, Any]:
    options = apps.get_model(label)._meta
    url = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    entry: dict[str, Any] = {"title": capfirst(options.verbose_name_plural), "icon": icon, "link": url}
    waiting = DeadEvent.objects.filter(resolved_at=None).count() if label == "billing.DeadEvent" else 0
    if waiting:
        entry["badge"] = str(waiting)
    return entry


def account_links(_request: HttpRequest) -> list[dict[str, Any]]:
    """What stands under a staff member's own name."""
    return [
        {"title": _("Change password"), "link": reverse("account_change_password")},
        {"title": _("Second factor"), "link": reverse("mfa_index")},
    ]


def icon(_request: HttpRequest) -> str:
    """The mark beside the name and in the browser's tab."""
    return static("favicon.svg")


def stylesheet(_request: HttpRequest) -> str:
    """The few rules that unfold's own stylesheet lacks."""
    return static("admin.css")


def environment(_request: HttpRequest) -> list[Any] | None:
    """The tag that tells a trial installation from the real one."""
    return [_("Local"), "info"] if settings.LOCAL else None
