"""The form of a webhook endpoint."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import WebhookEndpoint
from accounts.webhooks.endpoints import check_address
from accounts.webhooks.events import EVENTS


class EndpointForm(forms.Form):
    """Asks where messages go and which."""

    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("Your server answers there, over https, with a 2xx status within ten seconds."),
        error_messages={"required": _("Enter the address that takes the messages.")},
    )
    description = forms.CharField(label=_("What it is for"), max_length=120, required=False)
    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(name, name) for name in EVENTS],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "checkbox checkbox-sm"}),
        error_messages={"required": _("Choose at least one event.")},
    )

    def __init__(self, *args: Any, endpoint: WebhookEndpoint | None = None, **kwargs: Any) -> None:
        self.endpoint = endpoint
        if endpoint:
            kwargs["initial"] = {
                "url": endpoint.url, "description": endpoint.description, "events": endpoint.events
            }  # fmt: skip
        super().__init__(*args, **kwargs)
        events = self.fields["events"]
        assert isinstance(events, forms.MultipleChoiceField)
        events.choices = [(name, f"{words} ({name})") for name, words in EVENTS.items()]

    def clean_url(self) -> str:
        """Refuse an address that messages cannot go to. One that was accepted before is not looked up again."""
        url: str = self.cleaned_data["url"].strip()
        if not self.endpoint or url != self.endpoint.url:
            try:
                check_address(url)
            except ValueError as failure:
                raise forms.ValidationError(str(failure)) from None
        return url
