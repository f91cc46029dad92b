"""The plan's fee where Stripe charges it: its lines of an invoice, mirrored into a statement of kind `fee`.

So the ledger has every amount that was charged, once: `billing/lines.py` charges no fee for a stay that
Stripe collects, and one invoice has one fee statement (a constraint).
"""

from datetime import UTC, datetime

from accounts.ids import uuid7
from billing.models import PlanVersion, Statement, StatementLine, StripeInvoice, StripeLine, StripePrice
from billing.money import from_minor
from billing.payments.stripe import Found
from billing.period import BillingPeriod
from billing.plan_in_force import plan_version_of


def is_fee(line: Found) -> bool:
    """Whether a line of an invoice is of the subscription itself: its price, or a change of it."""
    return _kind(line) == "subscription_item_details" or is_proration(line)


def is_proration(line: Found) -> bool:
    """Whether it corrects a price that changed within the period."""
    details = (line.get("parent") or {}).get(_kind(line)) or {}
    return bool(details.get("proration") and details.get("subscription"))


def _kind(line: Found) -> str:
    return str((line.get("parent") or {}).get("type") or "")


def price_of(line: Found) -> str:
    """The price of a line: "price_…", or "" where it has none."""
    return str(((line.get("pricing") or {}).get("price_details") or {}).get("price") or "")


def mirror_fee(invoice: StripeInvoice, lines: list[Found]) -> Statement | None:
    """Write the fee lines of an issued invoice as a statement, once. None if there is no fee on it.

    The caller holds the account's lock. The statement is frozen here and issued by the caller, in the same
    transaction.
    """
    fee = [line for line in lines if is_fee(line) and line["amount"]]
    known = Statement.objects.filter(stripe_invoice=invoice, kind=Statement.Kind.FEE).first()
    if known or not fee:
        return known
    version = _version(invoice, fee)
    period = _period(fee[-1])
    parts = Statement.objects.filter(account=invoice.account, period=period.key).order_by("sequence")
    last = parts.last()
    at = last.ends_at if last else period.start  # it covers no stretch: the closing goes on from where it was
    statement = Statement.objects.create(
        id=uuid7(),
        account=invoice.account,
        period=period.key,
        sequence=(last.sequence if last else 0) + 1,
        kind=Statement.Kind.FEE,
        plan_version=version,
        currency=invoice.currency,
        starts_at=at,
        ends_at=at,
        total_minor=sum(line["amount"] for line in fee),
        provider="stripe",
        stripe_invoice=invoice,
    )
    ours = StatementLine.objects.bulk_create(
        _line(statement, position, line) for position, line in enumerate(fee, start=1)
    )
    StripeLine.objects.bulk_create(
        StripeLine(line=line, invoice=invoice, stripe_id=there["id"])
        for line, there in zip(ours, fee, strict=True)
    )
    # Frozen with an invoice that is issued already: it counts as checked, since it says what Stripe says.
    Statement.objects.filter(pk=statement.pk).update(state=Statement.State.HELD)
    Statement.objects.filter(pk=statement.pk).update(state=Statement.State.ATTACHED)
    return statement


def _line(statement: Statement, position: int, line: Found) -> StatementLine:
    return StatementLine(
        statement=statement,
        position=position,
        kind=StatementLine.Kind.PLAN,
        description=str(line.get("description") or "")[:300],
        period=_period(line).key,
        nano_amount=from_minor(line["amount"], statement.currency),
        amount_minor=line["amount"],
    )


def _period(line: Found) -> BillingPeriod:
    return BillingPeriod.containing(datetime.fromtimestamp(line["period"]["start"], tz=UTC))


def _version(invoice: StripeInvoice, fee: list[Found]) -> PlanVersion:
    """The plan version that the last line sells; the one in force where the price is not ours."""
    price = StripePrice.objects.filter(pk=price_of(fee[-1])).select_related("plan_version").first()
    if price:
        return price.plan_version
    return plan_version_of(invoice.account, invoice.created_at)[0]
