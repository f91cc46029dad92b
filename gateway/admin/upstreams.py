"""Where calls go. A token goes in here and is never shown again, to anybody."""

from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminURLInputWidget, UnfoldBooleanSwitchWidget

from accounts.admin.base import StaffAdmin, action, display, tag
from gateway.catalog import server_of
from gateway.errors import Refusal
from gateway.models import Upstream
from gateway.upstream import Upstreams


class UpstreamForm(forms.ModelForm[Upstream]):
    """An upstream with a field for a new token: empty keeps the one that is there."""

    base_url = forms.URLField(
        label=_("Address"),
        required=False,
        max_length=200,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget(),
        help_text=_("Empty for the local model and the router: the settings say where they are."),
    )
    new_secret = forms.CharField(
        label=_("New secret"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("The token or key that this upstream takes. Leave it empty to keep the one that is set."),
    )
    remove_secret = forms.BooleanField(
        label=_("Remove the secret"), required=False, widget=UnfoldBooleanSwitchWidget()
    )

    def clean(self) -> dict[str, Any]:
        """A token belongs to the address that it was given for: whoever moves it must know it."""
        data: dict[str, Any] = super().clean() or {}
        new, removed = data.get("new_secret"), data.get("remove_secret")
        if new and removed:
            self.add_error("remove_secret", _("Give a new secret or remove it, not both."))
        moved = {"base_url", "dialect"} & set(self.changed_data)
        if self.instance.sealed_secret and moved and not new and not removed:
            self.add_error(
                "new_secret",
                _("The secret that is set belongs to the old address. Give it again, or remove it."),
            )
        return data


@admin.register(Upstream)
class UpstreamAdmin(StaffAdmin):
    """Servers that answer calls. Never removed, since usage names them: disabled instead."""

    form = UpstreamForm
    list_display = ("name", "slug", "dialect", "address", "account", "secret_state", "position", "enabled")
    list_filter = ("dialect", "enabled", ("account", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("account",)
    search_fields = ("slug", "name", "base_url")
    autocomplete_fields = ("account",)
    actions_detail = ("probe",)
    fieldsets = (
        (None, {"fields": ("slug", "name", "dialect", "base_url", "account", "enabled", "position")}),
        (_("Secret"), {"fields": ("secret_state", "new_secret", "remove_secret", "bill_to")}),
        (_("Limits and cost"), {"fields": ("silence_seconds", "total_seconds", "hourly_nano_cost")}),
    )

    @method_decorator(sensitive_post_parameters("new_secret"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual, with the token left out of error reports."""
        return super().changeform_view(request, *args, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Upstream | None = None) -> list[str]:
        """The code is fixed once made: usage and prices name it, and the secret is sealed for it."""
        return ["secret_state", *(["slug"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:
        """Seal the new token, or take the old one away, with the row."""
        if form.cleaned_data["new_secret"]:
            obj.set_secret(form.cleaned_data["new_secret"])
        elif form.cleaned_data["remove_secret"]:
            obj.set_secret("")
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody removes an upstream."""
        return False

    @display(description=_("Address"))
    def address(self, upstream: Upstream) -> str:
        """Where it is, from the settings where the row does not say."""
        return server_of(upstream).base_url or "—"

    @display(description=_("Secret"))
    def secret_state(self, upstream: Upstream) -> str:
        """Whether there is one; never which."""
        if upstream.sealed_secret:
            return tag(gettext("Set"), "success")
        if server_of(upstream).secret:
            return tag(gettext("HF_TOKEN"), "info")
        return tag(gettext("None"))

    @action(description=_("Send a test request"), icon="network_ping", permissions=["act"])
    def probe(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask the upstream whether it is there, with its token, and say how it answered."""
        upstream = get_object_or_404(Upstream, pk=object_id)
        try:
            status, milliseconds = async_to_sync(_probe)(upstream)
        except Refusal as refusal:
            return self.refused(request, upstream, gettext("No answer: %s") % refusal.message)
        words = gettext("It answered %(status)s in %(ms)s ms.") % {"status": status, "ms": milliseconds}
        self.message_user(request, words, messages.SUCCESS if status < 300 else messages.WARNING)
        return self.back(request, upstream)


async def _probe(upstream: Upstream) -> tuple[int, int]:
    client = Upstreams()
    try:
        return await client.probe(server_of(upstream))
    finally:
        await client.close()
