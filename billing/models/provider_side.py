"""What has gone back to a customer and is told to the payment provider: the columns that such rows share."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ToldToProvider(models.Model):
    """Written first, told to the provider afterwards. Asked for again with the same `reference`, it is the same one."""

    note = models.CharField(_("note"), max_length=200, blank=True)
    reference = models.CharField(_("reference"), max_length=200, unique=True)
    issued_by = models.CharField(_("issued by"), max_length=254, blank=True)
    # The provider's side, written after it answered: the only fields that change.
    sent_at = models.DateTimeField(_("sent to the provider"), null=True, blank=True)
    provider_reference = models.CharField(_("provider's reference"), max_length=120, blank=True)
    provider_error = models.CharField(_("provider's error"), max_length=300, blank=True)

    class Meta:
        abstract = True
