"""What a statement's PDF says, as plain text in the active language: every word and figure, formatted."""

from typing import Any

from django.conf import settings
from django.utils.translation import get_language, gettext

from accounts.models import Account
from billing import wording
from billing.models import Statement, StatementLine
from billing.period import BillingPeriod

# Until an account has a language of its own, its first owner's speaks for it.
DEFAULT_LANGUAGE = "en"


def language_of(account: Account) -> str:
    """Return the language in which an account gets its statements."""
    owner = account.memberships.filter(role="owner").select_related("user").order_by("created_at").first()
    return owner.user.language if owner else DEFAULT_LANGUAGE


def content_of(statement: Statement) -> dict[str, Any]:
    """Return everything that `statement.typ` prints. Reads the lines and the account; writes nothing."""
    lines = list(statement.lines.select_related("statement__plan_version__plan"))
    return {
        "language": (get_language() or DEFAULT_LANGUAGE).split("-")[0],
        "words": words(),
        "title": gettext("Invoice"),
        "number": statement.number or gettext("Not issued yet"),
        "seller": party(settings.SELLER_NAME, settings.SELLER_ADDRESS),
        "customer": customer(statement.account),
        "facts": _facts(statement),
        "headline": _headline(statement),
        "lines": [_line(line, statement) for line in lines if line.kind != StatementLine.Kind.CREDIT],
        "totals": _totals(statement, lines),
        "notes": _notes(statement),
    }


def words() -> dict[str, str]:
    return {
        "from": gettext("From"),
        "bill_to": gettext("Bill to"),
        "description": gettext("Description"),
        "quantity": gettext("Quantity"),
        "unit_price": gettext("Unit price"),
        "amount": gettext("Amount"),
        "page": gettext("Page {page} of {pages}"),
    }


def party(name: str, address: str, *more: str) -> list[str]:
    """A name, the lines of an address and what else there is to say, without empty lines."""
    return [line.strip() for line in (name, *address.splitlines(), *more) if line.strip()]


def customer(account: Account) -> list[str]:
    tax = gettext("Tax ID: %(id)s") % {"id": account.tax_id} if account.tax_id else ""
    return party(account.name, account.billing_address, account.billing_email, tax)


def _facts(statement: Statement) -> list[tuple[str, str]]:
    """The table under the title: which invoice this is, for when, due when."""
    facts = [
        (gettext("Invoice number"), statement.number or "—"),
        (gettext("Billing period"), _stretch(statement)),
        (gettext("Plan"), statement.plan_version.plan.name),
    ]
    if statement.finalized_at:
        facts.append((gettext("Date of issue"), wording.day(statement.finalized_at)))
    if statement.due_at and statement.state == Statement.State.FINALIZED:
        facts.append((gettext("Date due"), wording.day(statement.due_at)))
    if statement.paid_at and statement.total_minor:
        facts.append((gettext("Date paid"), wording.day(statement.paid_at)))
    return facts


def _stretch(statement: Statement) -> str:
    """The month, or for a part of it the days and hours (UTC)."""
    period = BillingPeriod.parse(statement.period)
    if (statement.starts_at, statement.ends_at) == (period.start, period.end):
        return wording.month(statement.period)
    return f"{wording.minute(statement.starts_at)} – {wording.minute(statement.ends_at)}"


def _headline(statement: Statement) -> str:
    """The one sentence that most people read."""
    facts = {"amount": wording.amount(statement.total_minor, statement.currency)}
    if statement.state == Statement.State.VOID:
        return gettext("Void: nothing is owed for this invoice")
    if statement.total_minor == 0:
        return gettext("%(amount)s: nothing to pay") % facts
    if statement.state == Statement.State.PAID and statement.paid_at:
        return gettext("%(amount)s paid on %(day)s") % (facts | {"day": wording.day(statement.paid_at)})
    if statement.due_at:
        return gettext("%(amount)s due on %(day)s") % (facts | {"day": wording.day(statement.due_at)})
    return gettext("%(amount)s, not issued yet") % facts


def _line(line: StatementLine, statement: Statement) -> dict[str, str]:
    detail = [wording.unit_name(line)]
    if line.kind == StatementLine.Kind.PLAN or line.period != statement.period:
        detail.append(wording.month(line.period))
    counted = line.kind == StatementLine.Kind.USAGE
    return {
        "title": wording.title(line),
        "detail": " · ".join(filter(None, detail)),
        "quantity": wording.quantity(line) if counted else "1",
        "unit_price": wording.unit_price(line, statement.currency) if counted else "",
        "amount": wording.amount(line.amount_minor, statement.currency),
    }


def _totals(statement: Statement, lines: list[StatementLine]) -> list[tuple[str, str]]:
    """Subtotal, credits, total. The last one is what the invoice comes to."""
    credited = [line for line in lines if line.kind == StatementLine.Kind.CREDIT]
    before = sum(line.amount_minor for line in lines if line.kind != StatementLine.Kind.CREDIT)
    rows = [(gettext("Subtotal"), before)]
    rows += [(f"{wording.title(line)}, {wording.month(line.period)}", line.amount_minor) for line in credited]
    rows.append((gettext("Total"), statement.total_minor))
    return [(label, wording.amount(minor, statement.currency)) for label, minor in rows]


def _notes(statement: Statement) -> list[str]:
    notes = [
        gettext(
            "How to check a line: multiply its quantity by its unit price. Each call is priced that way and "
            "rounded to a billionth; a line adds up its calls and is rounded once, half up. "
            "So a line may differ from your product by a rounding of its last digit."
        ),
        gettext(
            "A call belongs to the month in which it began (UTC). Calls that failed are not charged. "
            "Usage that was recorded late is billed on the next invoice, with its month beside it."
        ),
    ]
    if statement.state == Statement.State.FINALIZED and statement.total_minor:
        notes.append(
            gettext("Please give the invoice number %(number)s with your payment.")
            % {"number": statement.number}
        )
    return notes
