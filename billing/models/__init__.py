"""The room's rows, one file per subject."""

from billing.models.alerts import AlertFired, AlertMark
from billing.models.budgets import Budget
from billing.models.corrections import Adjustment, CreditNote, CreditNoteLine, CreditNoteSeries
from billing.models.credits import CreditBurn, CreditGrant, CreditSource
from billing.models.disputes import Dispute
from billing.models.dunning import Dunning, DunningStep
from billing.models.invoices import NumberSeries, Statement, StatementLine, UsageAllocation
from billing.models.journal import JournalEntry, JournalLine, LedgerAccount
from billing.models.overrides import EntitlementOverride
from billing.models.plans import Plan, PlanVersion, Subscription
from billing.models.prices import PriceVersion, UnitPrice
from billing.models.reconciliation import Discrepancy, ReconciliationRun
from billing.models.stripe import (
    BillingAlarm,
    StripeCheckout,
    StripeCustomer,
    StripeInvoice,
    StripeLine,
    StripeOperation,
    StripePrice,
    StripeSubscription,
    WebhookInbox,
)
from billing.models.topups import AutoTopUp, TopUp, TopUpRefund
from billing.models.usage import DeadEvent, RollupMark, UsageEvent, UsageHour, UsageMinute, UsagePeriod

__all__ = [
    "Adjustment",
    "AlertFired",
    "AlertMark",
    "AutoTopUp",
    "BillingAlarm",
    "Budget",
    "CreditBurn",
    "CreditGrant",
    "CreditNote",
    "CreditNoteLine",
    "CreditNoteSeries",
    "CreditSource",
    "DeadEvent",
    "Discrepancy",
    "Dispute",
    "Dunning",
    "DunningStep",
    "EntitlementOverride",
    "JournalEntry",
    "JournalLine",
    "LedgerAccount",
    "NumberSeries",
    "Plan",
    "PlanVersion",
    "PriceVersion",
    "ReconciliationRun",
    "RollupMark",
    "Statement",
    "StatementLine",
    "StripeCheckout",
    "StripeCustomer",
    "StripeInvoice",
    "StripeLine",
    "StripeOperation",
    "StripePrice",
    "StripeSubscription",
    "Subscription",
    "TopUp",
    "TopUpRefund",
    "UnitPrice",
    "UsageAllocation",
    "UsageEvent",
    "UsageHour",
    "UsageMinute",
    "UsagePeriod",
    "WebhookInbox",
]
