"""Upstreams as data: where calls go, in whose words, with which credentials, at what cost."""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from accounts.vault import open_sealed, seal
from gateway.addresses import check_address


class Dialect(models.TextChoices):
    """What an upstream speaks. What follows from it (paths, time unit, usage): `gateway/dialects.py`."""

    LOCAL = "local", _("Local model server")
    HF_ROUTER = "hf-router", _("Hugging Face router")
    TGI = "tgi", _("Text Generation Inference")
    TEI = "tei", _("Text Embeddings Inference")
    OPENAI = "openai", _("OpenAI-compatible (vLLM, transformers serve, …)")


class Upstream(models.Model):
    """A server that answers calls. Disabled, never deleted, once usage names it."""

    slug = models.SlugField(_("code"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=120)
    dialect = models.CharField(_("dialect"), max_length=16, choices=Dialect)
    # Empty for the local model and the router: then MODEL_URL and HF_ROUTER_URL say where they are.
    base_url = models.URLField(_("address"), blank=True)
    # Sealed by accounts/vault.py; set through `set_secret`, never shown again. Empty for the router: HF_TOKEN.
    sealed_secret = models.BinaryField(_("secret"), blank=True, default=b"", editable=False)
    bill_to = models.CharField(_("bill to"), max_length=120, blank=True, help_text=_("X-HF-Bill-To"))
    # Only this account's calls go there, and before any other upstream. Empty: everybody's.
    account = models.ForeignKey(
        Account,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="upstreams",
        verbose_name=_("account"),
    )
    # Lower comes first where the caller asks for `:preferred`.
    position = models.PositiveSmallIntegerField(_("position"), default=100)
    # How long it may stay silent, before the first byte and between two pieces of a stream.
    silence_seconds = models.FloatField(_("longest silence (s)"), default=60)
    total_seconds = models.FloatField(_("longest call (s)"), default=600)
    # What an hour of it costs us, integer nano-USD; for dedicated endpoints, whose cost is time, not use.
    hourly_nano_cost = models.BigIntegerField(_("cost an hour"), null=True, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("upstream")
        verbose_name_plural = _("upstreams")
        ordering: ClassVar = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what could not work."""
        if self.dialect not in (Dialect.LOCAL, Dialect.HF_ROUTER) and not self.base_url:
            raise ValidationError({"base_url": _("This upstream needs an address, such as https://….")})
        # An address that was accepted before is not looked up again: a name may fail for an hour.
        unchanged = Upstream.objects.filter(pk=self.pk, base_url=self.base_url).exists()
        try:
            if self.base_url and not unchanged:
                check_address(self.base_url)
        except ValueError as failure:
            raise ValidationError({"base_url": str(failure)}) from None

    def set_secret(self, secret: str) -> None:
        """Seal a token or key for this upstream. Does not save. "" removes it."""
        self.sealed_secret = seal(secret, self.slug) if secret else b""

    def secret(self) -> str:
        """Return the token, for the one place that sends it. ValueError if it was sealed for another upstream."""
        return open_sealed(bytes(self.sealed_secret), self.slug) if self.sealed_secret else ""
