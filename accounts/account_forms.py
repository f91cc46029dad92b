"""The form of an account's own settings: calendar and allow-lists. And lists written one entry a line."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from accounts.restrictions import validate_models, validate_networks, validate_tasks


class LinesField(forms.CharField):
    """A list of texts, one a line or parted by commas. Cleans to a list without repetitions, in their order."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """Write a list as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Read lines into a list."""
        words = (super().to_python(value) or "").replace(",", "\n").split()
        return list(dict.fromkeys(words))


def models_field() -> LinesField:
    """The models that may be called."""
    return LinesField(
        label=_("Allowed models"),
        validators=[validate_models],
        help_text=_("One a line, such as meta-llama/*. Leave it empty to allow every model of the plan."),
    )


def tasks_field() -> LinesField:
    """The tasks that may be called."""
    return LinesField(
        label=_("Allowed tasks"),
        validators=[validate_tasks],
        help_text=_("One a line, such as text-generation. Leave it empty to allow every task."),
    )


def networks_field() -> LinesField:
    """The addresses from which calls may come."""
    return LinesField(
        label=_("Allowed addresses"),
        validators=[validate_networks],
        help_text=_(
            "One a line, such as 203.0.113.0/24. Calls from elsewhere get 403. Leave it empty to allow any."
        ),
    )


class AccountForm(forms.ModelForm[Account]):
    """Asks for the account's time zone and for what all of its keys are limited to."""

    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=lambda: [(name, name.replace("_", " ")) for name in sorted(available_timezones())],
        help_text=_("Budgets begin at midnight there. Statements stay in UTC."),
    )
    allowed_models = models_field()
    allowed_networks = networks_field()

    class Meta:
        model = Account
        fields = ["time_zone", "allowed_models", "allowed_networks"]
