"""Settings that do not fit together are found before anything starts."""

from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"REDIS_URL": "redis://one", "METER_REDIS_URL": "redis://one"}, "gateway.E001"),
        ({"LOCAL": True}, "gateway.E002"),
        ({"MODEL_URL": "", "HF_TOKEN": ""}, "gateway.W001"),
        ({"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRETS": []}, "gateway.E003"),
        ({"STRIPE_WEBHOOK_SECRETS": ["whsec_1", "whsec_2", "whsec_3"]}, "gateway.E004"),
        (
            {
                "STRIPE_SECRET_KEY": "sk_live_x",
                "STRIPE_WEBHOOK_SECRETS": ["whsec_1"],
                "STRIPE_API_BASE": "http://127.0.0.1:1",
            },
            "gateway.E005",
        ),
    ],
)
def test_it_names_what_does_not_fit(settings: Settings, changes: dict[str, Any], found: str) -> None:
    settings.LOCAL, settings.MODEL_URL = False, "http://127.0.0.1:1"
    assert not _ours()
    for name, value in changes.items():
        setattr(settings, name, value)
    assert _ours() == [found]


def _ours() -> list[str]:
    messages = run_checks(include_deployment_checks=True)
    return [str(message.id) for message in messages if str(message.id).startswith("gateway.")]
