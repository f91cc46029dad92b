"""The catalog: which models can be called, for which tasks, who serves each, and how that changed."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gateway.models.upstreams import Upstream


class CatalogModel(models.Model):
    """A model that customers may call. Never deleted once used: `deprecated_at` takes it out of the list."""

    model_id = models.CharField(_("model id"), max_length=200, unique=True)
    # The tasks it does, as the Hub names them; the first is what a call without a task means.
    tasks = ArrayField(models.CharField(max_length=40), verbose_name=_("tasks"))
    context_length = models.PositiveIntegerField(_("context length"), null=True, blank=True)
    licence = models.CharField(_("licence"), max_length=80, blank=True)
    # Where the row comes from: "shipped", "snapshot 2026-11-23", "hub".
    source = models.CharField(_("source"), max_length=60, default="shipped")
    created_at = models.DateTimeField(_("listed"), default=timezone.now)
    seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    deprecated_at = models.DateTimeField(_("deprecated"), null=True, blank=True)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering: ClassVar = ["model_id"]

    def __str__(self) -> str:
        return self.model_id


class Serving(models.Model):
    """One way to reach a model: an upstream, for the router also the provider behind it."""

    class Status(models.TextChoices):
        LIVE = "live", _("Live")
        ERROR = "error", _("Failing")
        GONE = "gone", _("Gone")  # no longer offered; kept, since usage may name it

    model = models.ForeignKey(CatalogModel, on_delete=models.CASCADE, related_name="servings")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="servings")
    # Behind the router: "together", "hf-inference", … Empty: the router chooses, or there is no provider.
    provider = models.CharField(_("provider"), max_length=60, blank=True)
    # What the provider calls the model. Empty: by its own id.
    provider_id = models.CharField(_("provider's id"), max_length=200, blank=True)
    task = models.CharField(_("task"), max_length=40, blank=True)  # empty: every task of the model
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.LIVE)
    context_length = models.PositiveIntegerField(_("context length"), null=True, blank=True)
    # As the router reports them: tokens a second, and milliseconds to the first token.
    throughput = models.FloatField(_("throughput"), null=True, blank=True)
    first_token_ms = models.FloatField(_("time to first token"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated"), default=timezone.now)

    class Meta:
        verbose_name = _("serving")
        verbose_name_plural = _("servings")
        ordering: ClassVar = ["model", "upstream__position", "provider"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "upstream", "provider", "task"], name="one_serving_per_way"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_id} @ {self.name}"

    @property
    def name(self) -> str:
        """How usage, prices and `x-inference-provider` call it: the provider, or else the upstream."""
        return self.provider or self.upstream.slug


class CatalogChange(models.Model):
    """What a synchronisation changed, one row each. Added, never edited."""

    model_id = models.CharField(_("model id"), max_length=200)
    provider = models.CharField(_("provider"), max_length=60, blank=True)
    what = models.CharField(
        _("what"), max_length=40
    )  # listed, deprecated, relisted, served, gone, status, price, …
    before = models.CharField(_("before"), max_length=300, blank=True)
    after = models.CharField(_("after"), max_length=300, blank=True)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("catalog change")
        verbose_name_plural = _("catalog changes")
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [models.Index(fields=["model_id", "-at"], name="changes_by_model")]

    def __str__(self) -> str:
        return f"{self.model_id}: {self.what}"
