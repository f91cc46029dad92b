"""The form of a budget: whose calls, how long, how much, when to tell, and whether to stop."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Account, ApiKey, Membership
from billing.budget_window import Window
from billing.forms import MOST
from billing.models import Budget
from billing.money import NANO, minor_digits, to_nano


class BudgetEditForm(forms.Form):
    """Asks for what may be changed of a budget."""

    limit = forms.DecimalField(
        label=gettext_lazy("Limit"),
        min_value=Decimal(0),
        max_value=MOST,
        help_text=gettext_lazy("What calls may cost at list price, those that your credit covers counted in."),
        error_messages={
            "required": gettext_lazy("Enter an amount such as 25.00."),
            "invalid": gettext_lazy("Write an amount such as 25.00."),
            "min_value": gettext_lazy("A budget cannot be below zero. 0 lets no call through that costs anything."),
        },
    )  # fmt: skip
    thresholds = forms.CharField(
        label=gettext_lazy("Tell at, in percent"),
        required=False,
        max_length=60,
        initial="50, 80, 100",
        help_text=gettext_lazy(
            "Each is told once a window, by mail and webhook. Whole numbers from 1 to 100."
        ),
    )
    hard_stop = forms.BooleanField(
        label=gettext_lazy("Stop calls at the limit"),
        required=False,
        initial=True,
        help_text=gettext_lazy(
            "On: at the limit calls are refused with 402 until the window ends or you raise it. "
            "Off: you get an alert; calls go on."
        ),
    )

    def __init__(self, account: Account, *args: Any, budget: Budget | None = None, **kwargs: Any) -> None:
        self.account, self.digits = account, minor_digits(account.currency)
        step = Decimal(1).scaleb(-self.digits)
        if budget:
            kwargs["initial"] = {
                "limit": (Decimal(budget.limit_nano) / NANO).quantize(step),
                "thresholds": ", ".join(map(str, budget.thresholds)),
                "hard_stop": budget.hard_stop,
            }
        super().__init__(*args, **kwargs)
        self.fields["limit"].label = _("Limit, in %(currency)s") % {"currency": account.currency}
        self.fields["limit"].widget.attrs |= {"step": str(step), "inputmode": "decimal"}

    def clean_limit(self) -> int:
        """Refuse more decimals than the currency has; return nano-units."""
        limit: Decimal = self.cleaned_data["limit"]
        if limit != round(limit, self.digits):
            raise forms.ValidationError(
                _("Write at most %(digits)s digits after the point.") % {"digits": self.digits}
            )
        return to_nano(limit)

    def clean_thresholds(self) -> list[int]:
        """Read "50, 80, 100" in any order, each once."""
        words = self.cleaned_data["thresholds"].replace("%", " ").replace(",", " ").split()
        if not all(word.isdecimal() and 1 <= int(word) <= 100 for word in words) or len(set(words)) > 10:
            raise forms.ValidationError(
                _("Write up to ten whole percents from 1 to 100, such as 50, 80, 100.")
            )
        return sorted({int(word) for word in words})


class BudgetForm(BudgetEditForm):
    """Asks for a new budget, also for whom and for how long."""

    whose = forms.ChoiceField(label=gettext_lazy("Whose calls count"))
    window = forms.ChoiceField(
        label=gettext_lazy("How long it counts"),
        choices=Budget.WindowChoices,
        initial=Window.MONTH.value,
        help_text=gettext_lazy("Days, weeks (from Monday) and months begin at midnight in the account's time zone."),
    )  # fmt: skip
    field_order = ["whose", "window", "limit", "thresholds", "hard_stop"]

    def __init__(self, account: Account, *args: Any, **kwargs: Any) -> None:
        super().__init__(account, *args, **kwargs)
        members = Membership.objects.filter(account=account).select_related("user")
        keys = ApiKey.objects.filter(account=account, revoked_at=None)
        self._subjects: dict[str, dict[str, Membership | ApiKey]] = {
            "account": {},
            **{f"member:{member.pk}": {"member": member} for member in members},
            **{f"key:{key.pk}": {"key": key} for key in keys},
        }
        whose = self.fields["whose"]
        assert isinstance(whose, forms.ChoiceField)
        whose.choices = [
            ("account", _("The whole account")),
            (_("Members"), [(f"member:{member.pk}", member.user.get_full_name()) for member in members]),
            (_("Keys"), [(f"key:{key.pk}", f"{key.name} ({key.masked})") for key in keys]),
        ]
        whose.help_text = _("A member's calls are those of the keys that the member made.")

    @property
    def subject(self) -> dict[str, Any]:
        """The chosen member or key, as `set_budget` takes it. Only after `is_valid()`."""
        return self._subjects[self.cleaned_data["whose"]]
