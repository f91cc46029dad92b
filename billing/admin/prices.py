"""The price book: prices of models in versions."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin.base import BaseTabular, display
from billing.admin import columns
from billing.admin.versions import VersionAdmin, state_of, with_newest
from billing.conversion import convert_prices
from billing.models import PriceVersion, UnitPrice

PRICE_FIELDS = ("unit", "price", "upstream_cost")


class UnitPriceFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """A price version without a price would make calls free by mistake."""

    def clean(self) -> None:
        """Ask for at least one unit."""
        super().clean()
        rows = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        if not any(self.errors) and not [row for row in rows if row.get("unit") and not row.get("DELETE")]:
            raise ValidationError(gettext("Add the price of at least one unit. For a free model write 0."))


class UnitPriceInline(BaseTabular):
    """The prices of a version: written with it, then only looked at."""

    model = UnitPrice
    formset = UnitPriceFormSet
    fields = (*PRICE_FIELDS, "reads", "margin")
    readonly_fields = ("reads", "margin")
    hide_title = True
    verbose_name_plural = _(
        "unit prices (whole currency units for one unit: $0.15 per 1M tokens is 0.00000015)"
    )

    def get_extra(self, request: HttpRequest, obj: PriceVersion | None = None, **kwargs: Any) -> int:
        """Empty rows when adding: as many as the source version has, or two."""
        return 0 if obj else len(_source_prices(request)) or 2

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Let a row's unit start empty: a row that nobody touched is then left out."""
        choices = db_field.get_choices(include_blank=True, blank_choice=[("", "—")])
        return super().formfield_for_choice_field(db_field, request, choices=choices, **kwargs)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only with a new version."""
        return obj is None and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A price is never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A price is never removed."""
        return False

    @display(description=_("Reads"))
    def reads(self, row: UnitPrice) -> str:
        """The price as people quote it."""
        return columns.unit_price(row.price, row.version.currency, row.unit) if row.pk else "—"

    @display(description=_("Margin"))
    def margin(self, row: UnitPrice) -> str:
        """What is left of the price after the upstream's, in percent."""
        if not row.pk or not row.price:
            return "—"
        return f"{(row.price - row.upstream_cost) / row.price:.1%}"


def _source_prices(request: HttpRequest) -> list[dict[str, Any]]:
    """The unit prices of the version that is being copied (`?from=<id>`), for the add form."""
    wanted = request.GET.get("from", "")
    prices = (
        UnitPrice.objects.filter(version_id=int(wanted)) if wanted.isdigit() else UnitPrice.objects.none()
    )
    return list(prices.values(*PRICE_FIELDS))


@admin.register(PriceVersion)
class PriceVersionAdmin(VersionAdmin):
    """Which model costs what, from when on."""

    list_display = ("model", "upstream", "currency", "state", "effective_from", "prices")
    list_filter = ("currency", "upstream")
    search_fields = ("model", "source")
    date_hierarchy = "effective_from"
    inlines = (UnitPriceInline,)
    fields = ("model", "upstream", "currency", "effective_from", "source")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceVersion]:
        """Versions with their prices and the newest of the same model, upstream and currency."""
        versions = with_newest(super().get_queryset(request), "model", "upstream", "currency")
        return versions.prefetch_related("unit_prices")

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        """Fill the add form's rows from the source; not on the way back, or unchanged rows were not saved."""
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if request.method == "GET" and obj.pk is None:
            kwargs["initial"] = _source_prices(request)
        return kwargs

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        """The add form with the words that the model leaves to its comments."""
        words = {
            "model": _("A model id, or a pattern such as meta-llama/*. The longest match wins."),
            "upstream": _("An upstream's code, or * for any."),
            "source": _("Where the figures come from: a page and its date, a contract, a measurement."),
        }
        return super().get_form(request, obj, change, help_texts=words, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Write the prices; a new price in USD has its counterparts in the other currencies at once."""
        super().save_related(request, form, formsets, change)
        convert_prices()

    @display(description=_("Status"))
    def state(self, version: PriceVersion) -> str:
        """Whether it is in force."""
        return state_of(version)

    @display(description=_("Prices"))
    def prices(self, version: PriceVersion) -> str:
        """Its prices as people quote them."""
        rows = version.unit_prices.all()
        return ", ".join(columns.unit_price(row.price, version.currency, row.unit) for row in rows)
