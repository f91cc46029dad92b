"""What API version 2026-10-28.endive has and the specification of 2026-05-27.dahlia does not.

Read off stripe-python 16.1, whose types are generated from Stripe's newer specification: only the fields of the
endpoints that we keep. `convert.py` applies it; tests/fakes/stripe/test_specification.py holds it against the
installed package, so an upgrade of `stripe` that adds a field says so.
"""

from typing import Any

VERSION = "2026-10-28.endive"

_TEXT: dict[str, Any] = {"type": "string", "maxLength": 5000}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_TAX_DETAILS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "performance_location": _TEXT,
        "tax_code": {"anyOf": [_TEXT, {"type": "string", "enum": [""]}]},
    },
}

# Request -> the fields it gained. A dotted name is a field inside a field.
GAINED: dict[str, dict[str, dict[str, Any]]] = {
    "POST /v1/customers": {"validate": {"type": "boolean"}},
    "POST /v1/customers/{customer}": {"validate": {"type": "boolean"}},
    "POST /v1/products": {
        "tax_details": _TAX_DETAILS,
        "type": {"type": "string", "enum": ["good", "service"]},
    },
    "POST /v1/products/{id}": {"tax_details": _TAX_DETAILS},
    "POST /v1/prices": {"product_data.tax_details": _TAX_DETAILS},
    "POST /v1/checkout/sessions": {
        "allowed_payment_method_types": _TEXTS,
        "ui_mode": {"type": "string", "enum": ["elements", "embedded_page", "form", "hosted_page"]},
    },
    "POST /v1/payment_intents": {"allowed_payment_method_types": _TEXTS},
    "POST /v1/setup_intents": {"allowed_payment_method_types": _TEXTS},
    "POST /v1/billing_portal/sessions": {
        "after_expiration": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["customer_login"]},
                "customer_login": {"type": "object", "properties": {"expires_at": {"type": "integer"}}},
            },
            "required": ["type"],
        }
    },
    "POST /v1/webhook_endpoints": {"api_version": {"type": "string", "enum": [VERSION]}},
    "POST /v1/subscriptions": {
        "invoice_settings.description": _TEXT,
        "invoice_settings.footer": _TEXT,
    },
    "POST /v1/subscriptions/{subscription_exposed_id}": {
        "billing_cycle_anchor": {
            "type": "object",
            "properties": {"type": {"type": "string", "enum": ["now", "unchanged"]}},
            "required": ["type"],
        },
        "invoice_settings.description": _TEXT,
        "invoice_settings.footer": _TEXT,
    },
    "POST /v1/invoices/create_preview": {
        "subscription_details.billing_cycle_anchor": {
            "type": "object",
            "properties": {
                "timestamp": {"type": "integer"},
                "type": {"type": "string", "enum": ["now", "timestamp", "unchanged"]},
            },
            "required": ["type"],
        },
    },
}

# Request -> the fields it lost.
LOST: dict[str, tuple[str, ...]] = {
    "POST /v1/checkout/sessions": ("payment_method_types",),
    "POST /v1/payment_intents": ("payment_method_types",),
    "POST /v1/setup_intents": ("payment_method_types",),
    "POST /v1/customers/{customer}": (
        "bank_account",
        "card",
        "default_alipay_account",
        "default_bank_account",
        "default_card",
    ),
}

# Object -> the fields it gained.
OBJECT_GAINED: dict[str, dict[str, dict[str, Any]]] = {
    "checkout.session": {"allowed_payment_method_types": {**_TEXTS, "nullable": True}},
    "product": {"type": {"type": "string", "enum": ["good", "service"]}},
    "refund": {
        "customer": {**_TEXT, "nullable": True},
        "payment_method": {**_TEXT, "nullable": True},
    },
}
