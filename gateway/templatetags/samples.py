"""What styleguide.html shows (only where LOCAL is set). Not a template library."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.utils import timezone


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(label="Name", help_text="What uses this key, for example “Website bot”.")
    email = forms.EmailField(label="Budget alerts go to")
    expires = forms.ChoiceField(
        label="Expires", choices=[("", "Never"), ("30", "In 30 days")], required=False
    )
    notes = forms.CharField(label="Notes", widget=forms.Textarea(attrs={"rows": 2}), required=False)
    chat = forms.BooleanField(label="May call chat models", required=False)


def samples() -> dict[str, Any]:
    """Everything styleguide.html needs, under one name."""
    now = timezone.now()
    days = [f"{day} Nov" for day in range(1, 15)]
    calls = [12, 30, 44, 38, 51, 20, 18, 62, 70, 66, 81, 90, 96, 40]
    series = [{"name": name, "values": [c * 12_500 * i for c in calls]} for i, name in enumerate(MODELS, 1)]
    return {
        "spark": calls,
        "now": now - dt.timedelta(minutes=3),
        "price": Decimal("0.00000015"),
        "keys": _keys(now),
        "bars": {
            "labels": days,
            "kind": "bar",
            "stacked": True,
            "series": [
                {"name": "Answered", "values": calls},
                {"name": "Refused", "values": [c // 6 for c in calls]},
            ],
        },
        "lines": {"labels": days, "kind": "line", "currency": "USD", "series": series},
        "tabs": [
            {
                "label": "curl",
                "text": "curl http://127.0.0.1:8000/v1/models \\\n  -H 'Authorization: Bearer …'",
            },
            {"label": "Python", "text": "from openai import OpenAI\n\nclient = OpenAI(base_url=…)"},
        ],
        "form": SampleForm(),
        "bad_form": SampleForm({"name": "", "email": "alice"}),
        "plans": _plans(),
        "page": Paginator(range(240), 20).page(2),
    }


MODELS = ["SmolLM2-135M-Instruct", "multilingual-e5-small", "Llama-3.1-8B-Instruct"]


def _keys(now: dt.datetime) -> list[dict[str, Any]]:
    rows = [
        ("Website bot", "9f2c", "ok", "Active", now - dt.timedelta(minutes=3), 12_020_000_000),
        ("Nightly batch", "77ab", "warn", "Expires in 3 days", now - dt.timedelta(hours=9), 2_000_000_000),
        (
            "A key with a rather long name that must not break the table",
            "01cd",
            "error",
            "Revoked",
            None,
            12_500,
        ),
    ]
    return [dict(zip(("name", "last", "state", "status", "used", "cost"), row, strict=True)) for row in rows]


def _plans() -> list[SimpleNamespace]:
    def plan(name: str, **limits: Any) -> SimpleNamespace:
        defaults = {
            "currency": "USD",
            "overage": False,
            "included_credit_nano": 0,
            "requests_per_minute": None,
            "tokens_per_minute": None,
            "concurrency": None,
            "calls_per_period": None,
            "price_ceiling_nano": None,
            "features": [],
        }
        by_agreement = limits["price_minor"] is None
        return SimpleNamespace(
            **(defaults | limits), plan=SimpleNamespace(name=name, by_agreement=by_agreement)
        )

    free = {"calls_per_period": 1000, "included_credit_nano": 10**8, "price_ceiling_nano": 1}
    pro = {"calls_per_period": 50_000, "included_credit_nano": 2 * 10**9, "overage": True}
    return [
        plan("Free", price_minor=0, requests_per_minute=20, tokens_per_minute=20_000, concurrency=2, **free),
        plan(
            "Pro", price_minor=900, requests_per_minute=600, tokens_per_minute=500_000, concurrency=20, **pro
        ),
        plan("Enterprise", price_minor=None, features=["Dedicated support", "Single sign-on"]),
    ]
