"""The forms of budget and billing details."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.models import AutoTopUp
from billing.money import NANO, minor_digits, to_nano

MOST = Decimal(1_000_000_000)


class BudgetForm(forms.Form):
    """Asks for the customer's own cap on usage past the included credit, in whole currency units."""

    budget = forms.DecimalField(
        label=_("Budget a month"),
        required=False,
        min_value=Decimal(0),
        max_value=MOST,
        error_messages={
            "invalid": _("Write an amount such as 25.00, or leave the field empty for no budget."),
            "min_value": _("A budget cannot be below zero. Write 0 to stop where the credit ends."),
            "max_value": _("That is more than a budget can be. Leave the field empty for no budget."),
        },
    )

    def __init__(self, currency: str, *args: Any, budget_nano: int | None = None, **kwargs: Any) -> None:
        self.digits = minor_digits(currency)
        step = Decimal(1).scaleb(-self.digits)
        if budget_nano is not None:
            kwargs["initial"] = {"budget": (Decimal(budget_nano) / NANO).quantize(step)}
        super().__init__(*args, **kwargs)
        field = self.fields["budget"]
        field.label = _("Budget a month, in %(currency)s") % {"currency": currency}
        field.widget.attrs["step"] = str(step)
        field.widget.attrs["inputmode"] = "decimal"

    def clean_budget(self) -> Decimal | None:
        """Refuse more decimals than the currency has."""
        budget: Decimal | None = self.cleaned_data["budget"]
        if budget is not None and budget != round(budget, self.digits):
            raise forms.ValidationError(
                _("Write at most %(digits)s digits after the point.") % {"digits": self.digits}
            )
        return budget

    @property
    def budget_nano(self) -> int | None:
        """The budget in nano-units; None for no budget. Only after `is_valid()`."""
        budget: Decimal | None = self.cleaned_data["budget"]
        return None if budget is None else to_nano(budget)


class DetailsForm(forms.ModelForm[Account]):
    """Asks for what stands on the next statement."""

    class Meta:
        model = Account
        fields = ["name", "billing_email", "billing_address", "tax_id"]
        labels = {"name": _("Name"), "tax_id": _("Tax id")}
        help_texts = {
            "name": _(
                "The person or company that the statement is made out to. It is also the account's name."
            ),
            "billing_email": _("Where statements go."),
            "billing_address": _("One line for each line of the address."),
            "tax_id": _(
                "Such as a VAT number or a business registration number. Leave it empty if you have none."
            ),
        }
        error_messages = {
            "name": {"required": _("Enter the name that the statement is made out to.")},
            "billing_email": {"invalid": _("This is no e-mail address. Write it like billing@example.com.")},
        }
        widgets = {"billing_address": forms.Textarea(attrs={"rows": 4})}


class AmountField(forms.DecimalField):
    """Asks for an amount above zero in whole currency units, with no more decimals than the currency has."""

    def __init__(self, **options: Any) -> None:
        errors = {
            "required": _("Write an amount."),
            "invalid": _("Write an amount such as 25.00."),
            "max_value": _("That is more than can be paid at once."),
        }
        super().__init__(
            min_value=Decimal(0), max_value=Decimal(100_000_000), error_messages=errors, **options
        )

    def use(self, currency: str) -> None:
        """Ask in a currency."""
        self.digits = minor_digits(currency)
        self.widget.attrs["step"] = str(Decimal(1).scaleb(-self.digits))
        self.widget.attrs["inputmode"] = "decimal"

    def clean(self, value: Any) -> Decimal | None:
        """Refuse more decimals than the currency has."""
        amount: Decimal | None = super().clean(value)
        if amount is not None and amount != round(amount, self.digits):
            raise forms.ValidationError(
                _("Write at most %(digits)s digits after the point.") % {"digits": self.digits}
            )
        return amount


class MoneyForm(forms.Form):
    """A form whose amounts are all in one currency."""

    def __init__(self, currency: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.digits = minor_digits(currency)
        for field in self.fields.values():
            if isinstance(field, AmountField):
                field.use(currency)
                field.label = f"{field.label} ({currency})"

    def minor(self, name: str) -> int:
        """Return an amount in minor units; 0 where it was left empty. Only after `is_valid()`."""
        return int((self.cleaned_data.get(name) or Decimal(0)).scaleb(self.digits))


class TopUpForm(MoneyForm):
    """Asks how much credit to buy."""

    amount = AmountField(label=_("Amount"))

    def clean_amount(self) -> Decimal:
        """Refuse nothing."""
        amount: Decimal = self.cleaned_data["amount"]
        if not amount:
            raise forms.ValidationError(_("Write an amount above zero."))
        return amount

    @property
    def amount_minor(self) -> int:
        """The amount in minor units. Only after `is_valid()`."""
        return self.minor("amount")


class AutoTopUpForm(MoneyForm):
    """Asks when to buy credit without being asked, how much, and at most how much a month."""

    enabled = forms.BooleanField(label=_("Buy credit by itself"), required=False)
    threshold = AmountField(label=_("When less is left than"), required=False)
    amount = AmountField(label=_("Buy"), required=False)
    monthly_cap = AmountField(label=_("At most a month"), required=False)

    def __init__(self, currency: str, *args: Any, settings: AutoTopUp | None = None, **kwargs: Any) -> None:
        if settings:
            step = -minor_digits(currency)
            names = ("threshold", "amount", "monthly_cap")
            initial = {name: Decimal(getattr(settings, f"{name}_minor")).scaleb(step) for name in names}
            kwargs["initial"] = initial | {"enabled": settings.enabled}
        super().__init__(currency, *args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Switched on, it needs an amount, and a cap that allows it."""
        data = super().clean() or {}
        if data.get("enabled") and not self.errors:
            if not data.get("amount"):
                self.add_error("amount", _("Write how much to buy at a time."))
            elif (data.get("monthly_cap") or 0) < data["amount"]:
                self.add_error("monthly_cap", _("Write a cap that allows one purchase at least."))
        return data

    @property
    def figures(self) -> dict[str, Any]:
        """What to store. Only after `is_valid()`."""
        names = ("threshold", "amount", "monthly_cap")
        return {"enabled": self.cleaned_data["enabled"]} | {
            f"{name}_minor": self.minor(name) for name in names
        }
