"""The forms of keys, members and settings. Every message says what to do."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise, cached_property
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.account_forms import models_field, networks_field, tasks_field
from accounts.currencies import CURRENCIES, currency_for
from accounts.models import Account, ApiKey, Membership, Role, User

LIFETIMES = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
EXPIRIES = [
    ("never", _("Never")),
    ("1d", _("In 1 day")),
    ("7d", _("In 1 week")),
    ("30d", _("In 30 days")),
    ("custom", _("On a day that you choose")),
]


class DateInput(forms.DateInput):
    """The browser's own date picker; it wants and sends YYYY-MM-DD whatever the language."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class CurrencyField(forms.ChoiceField):
    """Asks for the currency of a new account; without an answer it is the one of the reader's language."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Currency"),
            required=False,
            choices=list(CURRENCIES.items()),
            initial=lambda: currency_for(get_language()),
            help_text=_("Prices, credit and statements are in it. It cannot be changed later."),
            error_messages={"invalid_choice": _("Choose a currency from the list.")},
        )

    def clean(self, value: Any) -> str:
        """Return the chosen currency, or the one that was proposed."""
        return str(super().clean(value) or currency_for(get_language()))


class SignupForm(forms.Form):
    """What sign-up asks beside e-mail address and password (`ACCOUNT_SIGNUP_FORM_CLASS`)."""

    currency = CurrencyField()

    def signup(self, request: HttpRequest, user: User) -> None:
        """allauth calls this when the user is written; the account is opened by `accounts/adapter.py`."""


class KeyForm(forms.Form):
    """Asks what a new key is for and how long it lives."""

    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        help_text=_("Say where the key is used, such as “shop backend” or “Alice's laptop”."),
        error_messages={"required": _("Give the key a name, so that you recognise it later.")},
    )
    expiry = forms.ChoiceField(label=_("Expires"), choices=EXPIRIES, initial="never")
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=DateInput,
        help_text=_("Only for a day that you choose. The key works until the end of that day, UTC."),
        error_messages={"invalid": _("Write the day as YYYY-MM-DD, such as 2027-01-31.")},
    )

    def clean(self) -> dict[str, Any]:
        """Hold the custom day against the choice: it is needed there, and must not be past."""
        data = super().clean() or {}
        if data.get("expiry") == "custom" and "expires_on" not in self.errors:
            day = data.get("expires_on")
            if not day:
                self.add_error("expires_on", _("Choose the last day on which the key works."))
            elif day < timezone.now().date():
                self.add_error("expires_on", _("That day is past. Choose today or a later day."))
        return data

    @property
    def expires_at(self) -> datetime | None:
        """The moment (UTC) at which the key stops, or None for never. Only after `is_valid()`."""
        expiry = self.cleaned_data["expiry"]
        if expiry == "custom":
            return end_of(self.cleaned_data["expires_on"])
        return timezone.now() + LIFETIMES[expiry] if expiry in LIFETIMES else None


class KeyEditForm(forms.ModelForm[ApiKey]):
    """Asks for what may be changed of a key: everything but its secret."""

    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=DateInput,
        help_text=_("The key works until the end of that day, UTC. Leave it empty for never."),
        error_messages={"invalid": _("Write the day as YYYY-MM-DD, such as 2027-01-31.")},
    )
    allowed_models = models_field()
    allowed_tasks = tasks_field()
    allowed_networks = networks_field()
    field_order = ["name", "expires_on", "allowed_models", "allowed_tasks", "allowed_networks"]

    class Meta:
        model = ApiKey
        fields = ["name", "allowed_models", "allowed_tasks", "allowed_networks"]
        labels = {"name": _("Name")}

    def __init__(self, *args: Any, instance: ApiKey, **kwargs: Any) -> None:
        day = (instance.expires_at - timedelta(seconds=1)).date() if instance.expires_at else None
        kwargs |= {"instance": instance, "initial": {"expires_on": day}}
        super().__init__(*args, **kwargs)

    def clean_expires_on(self) -> date | None:
        """A day that is past would end the key in silence: revoking does that in the open."""
        day: date | None = self.cleaned_data["expires_on"]
        if day and day < timezone.now().date() and "expires_on" in self.changed_data:
            raise forms.ValidationError(
                _("That day is past. Choose today or a later day, or revoke the key.")
            )
        return day

    def save(self, commit: bool = True) -> ApiKey:
        """Write the key. Its expiry stays to the minute where the day was not changed."""
        if "expires_on" in self.changed_data:
            self.instance.expires_at = end_of(self.cleaned_data["expires_on"])
        return super().save(commit)


def end_of(day: date | None) -> datetime | None:
    """Return the first moment (UTC) after a day; None for none."""
    return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min)) if day else None


class RevokeForm(forms.Form):
    """Asks for the key's name, typed, before it is revoked."""

    name = forms.CharField(label=_("Type the name of the key to confirm"), max_length=80)

    def __init__(self, key: ApiKey, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.key = key
        self.fields["name"].error_messages["required"] = _("Type “%(name)s”.") % {"name": key.name}
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean_name(self) -> str:
        """Accept exactly the key's name."""
        if self.cleaned_data["name"] != self.key.name:
            raise forms.ValidationError(
                _("This is not the name of the key. Type “%(name)s”.") % {"name": self.key.name}
            )
        return self.key.name


class SettingsForm(forms.ModelForm[User]):
    """A person's own settings. The theme is not here: it lives in a cookie, see gateway/static/turnpike.js."""

    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)

    class Meta:
        model = User
        fields = ["name", "language"]
        labels = {"name": _("Your name")}
        help_texts = {"name": _("Shown to the members of your accounts.")}


class OrganizationForm(forms.Form):
    """Asks for the name of a new organization."""

    name = forms.CharField(
        label=_("Name of the organization"),
        max_length=120,
        help_text=_("It has its own keys, usage, plan and statements. You become its owner."),
        error_messages={"required": _("Give the organization a name.")},
    )
    currency = CurrencyField()


class RoleForm(forms.Form):
    """Asks for a role, out of those that the acting member may give."""

    role = forms.ChoiceField(label=_("Role"), initial=Role.DEVELOPER)

    def __init__(self, acting: Membership, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account: Account = acting.account
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = roles_given_by(acting)
        field.error_messages["invalid_choice"] = _("Choose a role from the list. Only an owner makes owners.")


class MemberForm(RoleForm):
    """Asks whom to add to the account."""

    email = forms.EmailField(
        label=_("E-mail address"),
        help_text=_("The person must have signed up here already."),
        error_messages={
            "required": _("Enter the e-mail address that the person signs in with."),
            "invalid": _("This is no e-mail address. Write it like name@example.com."),
        },
    )
    field_order = ["email", "role"]

    def clean_email(self) -> str:
        """Find the user. Unknown people and those who are in the account already are refused."""
        email: str = self.cleaned_data["email"]
        if self.found is None:
            raise forms.ValidationError(
                _("Nobody has signed up with %(email)s. Ask the person to create an account here first.")
                % {"email": email}
            )
        if Membership.objects.filter(account=self.account, user=self.found).exists():
            raise forms.ValidationError(
                _("%(email)s is in this account already. Change the role in the list.") % {"email": email}
            )
        return email

    @cached_property
    def found(self) -> User | None:
        """The user with the address that was entered, whatever its case."""
        return User.objects.filter(email__iexact=self.cleaned_data["email"], is_active=True).first()


def roles_given_by(acting: Membership) -> list[tuple[str, str | Promise]]:
    """The roles that this member may give: owners any, others any but owner."""
    return [
        (value, label) for value, label in Role.choices if acting.role == Role.OWNER or value != Role.OWNER
    ]
