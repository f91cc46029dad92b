"""Fields that several of the admin's dialogs ask for."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget


class AmountField(forms.DecimalField):
    """Asks for an amount of money as a decimal of the account's currency."""

    def __init__(self, **options: Any) -> None:
        bounds = {"min_value": 0, "max_digits": 14, "decimal_places": 2}
        super().__init__(**{"label": _("Amount"), "widget": UnfoldAdminTextInputWidget()} | bounds | options)
