"""The staff admin of billing, one file per subject, as the models are. Importing registers everything."""

from billing.admin import (
    accounts,
    alerts,
    budgets,
    corrections,
    dead,
    grants,
    invoices,
    journal,
    overrides,
    plans,
    prices,
    reconciliation,
    stripe,
    usage,
)

__all__ = [
    "accounts",
    "alerts",
    "budgets",
    "corrections",
    "dead",
    "grants",
    "invoices",
    "journal",
    "overrides",
    "plans",
    "prices",
    "reconciliation",
    "stripe",
    "usage",
]
