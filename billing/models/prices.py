"""The price book: what a unit of a model costs, in versions with a date. A used version is never edited.

A trigger in the database holds that (migration `0002`): rows can be added, not changed or removed.
"""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.pricing import Unit


class PriceVersion(models.Model):
    """The prices of one model (or pattern) at one upstream (or any) from a moment on, until a newer one."""

    # A model id, or a pattern with `*`, such as `meta-llama/*`. The longest match wins.
    model = models.CharField(_("model"), max_length=200)
    # An upstream's slug, or `*` for any.
    upstream = models.CharField(_("upstream"), max_length=60, default="*")
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    effective_from = models.DateTimeField(_("effective from"), default=timezone.now)
    # Where the figures come from, for whoever asks later: a page and its date, a contract, a measurement.
    source = models.CharField(_("source"), max_length=300)
    # Set where the figures were worked out from another version by `data/conversion.json`, not chosen.
    converted_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="conversions"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("price version")
        verbose_name_plural = _("price versions")
        ordering = ["model", "upstream", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "upstream", "currency", "effective_from"],
                name="one_price_version_per_moment",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} @ {self.upstream} from {self.effective_from:%Y-%m-%d} (p{self.pk})"


class UnitPrice(models.Model):
    """The price of one unit within a price version, and what it costs us at the upstream."""

    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="unit_prices")
    unit = models.CharField(_("unit"), max_length=24, choices=[(unit.value, unit.value) for unit in Unit])
    # Whole currency units for ONE unit: $0.15 per million tokens is 0.00000015.
    price = models.DecimalField(_("price"), max_digits=24, decimal_places=15)
    upstream_cost = models.DecimalField(_("upstream cost"), max_digits=24, decimal_places=15, default=0)

    class Meta:
        verbose_name = _("unit price")
        verbose_name_plural = _("unit prices")
        constraints = [
            models.UniqueConstraint(fields=["version", "unit"], name="one_price_per_unit_and_version"),
            models.CheckConstraint(
                condition=models.Q(price__gte=0, upstream_cost__gte=0), name="prices_are_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit}: {self.price.normalize():f} {self.version.currency}"
