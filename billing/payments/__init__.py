"""Step 8 of a call: a frozen statement is issued, and later paid. The one door to whoever collects the money.

`ManualProvider` where no Stripe key is set, else `StripeProvider`; nothing else knows which one it is. A
statement's states and who moves them: `billing/README.md`.
"""

import logging
from datetime import datetime

from django.conf import settings

from billing.models import Statement
from billing.payments.manual import ManualProvider
from billing.payments.provider import PaymentError, PaymentProvider, ProviderAway

__all__ = [
    "ManualProvider",
    "PaymentError",
    "PaymentProvider",
    "ProviderAway",
    "issue_frozen_statements",
    "mark_paid",
    "payment_provider",
    "provider_of",
    "void",
]

log = logging.getLogger(__name__)


def payment_provider() -> PaymentProvider:
    """Return the provider of this installation: Stripe where it has a key, else the manual one."""
    return _provider("stripe" if settings.STRIPE_SECRET_KEY else "manual")


def issue_frozen_statements() -> list[Statement]:
    """Issue every statement that is not issued yet, oldest first; return those that are now.

    One that fails is logged and tried again next time. ProviderAway ends the round: the rest waits.
    """
    provider = payment_provider()
    issued = []
    for statement in Statement.objects.filter(state__in=Statement.UNISSUED).order_by("created_at"):
        try:
            issued.append(provider.issue(statement))
        except ProviderAway:
            raise
        except Exception:
            log.exception("issue_failed", extra={"statement": str(statement.pk)})
    return [statement for statement in issued if statement.state not in Statement.UNISSUED]


def mark_paid(statement: Statement, paid_at: datetime | None = None) -> Statement:
    """Say that an issued statement was paid by other means (now, if not given). PaymentError unless owed or paid."""
    return _provider(statement.provider).mark_paid(statement, paid_at)


def void(statement: Statement) -> Statement:
    """Take back an issued statement: the customer owes nothing. PaymentError unless it is owed or void."""
    return _provider(statement.provider).void(statement)


def provider_of(statement: Statement) -> PaymentProvider:
    """Return the provider that issued a statement."""
    return _provider(statement.provider)


def _provider(slug: str) -> PaymentProvider:
    if slug == "stripe":
        from billing.payments.stripe_provider import (
            StripeProvider,
        )  # stripe: a second that others need not pay

        return StripeProvider()
    return ManualProvider()
