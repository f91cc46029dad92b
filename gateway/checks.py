"""System checks over settings: what must fit together before anything starts. `manage.py check` runs them."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice


@register()
def engines_are_apart(**_: Any) -> Sequence[CheckMessage]:
    """The meter is durable and must never evict; the cache may be lost. One server cannot be both."""
    if settings.METER_REDIS_URL != settings.REDIS_URL:
        return []
    hint = "Set METER_REDIS_URL to a server of its own, with appendfsync always and noeviction."
    return [Error("METER_REDIS_URL and REDIS_URL are the same server.", hint=hint, id="gateway.E001")]


@register(Tags.security, deploy=True)
def no_demo_in_production(**_: Any) -> Sequence[CheckMessage]:
    """TURNPIKE_LOCAL is for a laptop: plain http, mail in files, demo people with known keys."""
    if not settings.LOCAL:
        return []
    return [Error("TURNPIKE_LOCAL is set.", hint="Leave it out in production.", id="gateway.E002")]


@register(deploy=True)
def something_answers(**_: Any) -> Sequence[CheckMessage]:
    """Without any upstream every call is answered 404."""
    if settings.MODEL_URL or settings.HF_TOKEN:
        return []
    hint = "Set HF_TOKEN for the Hugging Face router, or MODEL_URL for a model server of your own."
    return [Advice("No upstream is configured.", hint=hint, id="gateway.W001")]


@register(deploy=True)
def a_webhook_needs_its_secret(**_: Any) -> Sequence[CheckMessage]:
    """An empty secret verifies against an empty key, which anybody can forge."""
    if not settings.STRIPE_SECRET_KEY or settings.STRIPE_WEBHOOK_SECRETS:
        return []
    hint = "Set STRIPE_WEBHOOK_SECRET to the signing secret of the endpoint."
    return [Error("Stripe is configured without its webhook secret.", hint=hint, id="gateway.E003")]


@register()
def two_webhook_secrets_at_most(**_: Any) -> Sequence[CheckMessage]:
    """Two while one is rotated. Each more is a key that somebody forgot to take away."""
    if len(settings.STRIPE_WEBHOOK_SECRETS) <= 2:
        return []
    hint = "Keep the present secret and, while it is rotated, the one before."
    return [Error("STRIPE_WEBHOOK_SECRET has more than two secrets.", hint=hint, id="gateway.E004")]


@register(Tags.security, deploy=True)
def no_fake_stripe_in_production(**_: Any) -> Sequence[CheckMessage]:
    """STRIPE_API_BASE is for tests and the fake: a live key must not be sent anywhere but to Stripe."""
    if not (settings.STRIPE_API_BASE and "_live_" in settings.STRIPE_SECRET_KEY):
        return []
    hint = "Leave STRIPE_API_BASE out where STRIPE_SECRET_KEY is a live key."
    return [Error("A live Stripe key would be sent to STRIPE_API_BASE.", hint=hint, id="gateway.E005")]
