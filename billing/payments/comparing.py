"""Does an invoice say exactly what its statements and the fee say? Also: which of our lines stand on it."""

from collections.abc import Sequence
from uuid import UUID

from billing.models import BillingAlarm, Statement, StatementLine, StripeInvoice, StripeLine
from billing.payments import fees
from billing.payments.alarms import raise_alarm
from billing.payments.provider import PaymentError
from billing.payments.stripe import Found


class Mismatch(PaymentError):
    """The invoice does not say what its statements say. It is never finalised; there is an alarm."""


def line_id(found: Found) -> str:
    """Our id of a line of an invoice; "" if it is not ours."""
    return str((found.get("metadata") or {}).get("turnpike_line") or "")


def note_lines(invoice: StripeInvoice, found: Sequence[Found]) -> None:
    """Write which of our lines stand on the invoice. A line that stands somewhere already stays there."""
    ours = {line_id(line): line["id"] for line in found if line_id(line)}
    known = StatementLine.objects.filter(pk__in=[_uuid(key) for key in ours], stripe_line=None)
    StripeLine.objects.bulk_create(
        [StripeLine(line=line, invoice=invoice, stripe_id=ours[str(line.pk)]) for line in known],
        ignore_conflicts=True,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def compare(invoice: StripeInvoice, found: Sequence[Found]) -> None:
    """Raise Mismatch, with an alarm, unless the invoice says exactly what its statements and the fee say."""
    problems = _problems(invoice, found)
    if problems:
        detail = " ".join(problems)
        raise_alarm(BillingAlarm.Kind.INVOICE_MISMATCH, invoice.pk, detail, invoice.account)
        raise Mismatch(f"{invoice.pk}: {detail}")


def _problems(invoice: StripeInvoice, found: Sequence[Found]) -> list[str]:
    problems = []
    statements = Statement.objects.filter(stripe_invoice=invoice)
    expected = {
        str(line.pk): line.amount_minor for line in StatementLine.objects.filter(stripe_line__invoice=invoice)
    }
    seen: dict[str, list[int]] = {}
    others = 0
    for line in found:
        if line_id(line):
            seen.setdefault(line_id(line), []).append(line["amount"])
        elif fees.is_fee(line):
            others += line["amount"]
        else:
            problems.append(f"Line {line['id']} of {line['amount']} is not ours.")
    for key, amounts in seen.items():
        if len(amounts) > 1:
            problems.append(f"Our line {key} stands on it {len(amounts)} times.")
        elif amounts != [expected.get(key)]:
            problems.append(f"Our line {key} says {amounts[0]} and should say {expected.get(key)}.")
    unsent = StatementLine.objects.filter(statement__in=statements.exclude(kind="fee"), stripe_line=None)
    if missing := unsent.count() + len(expected.keys() - seen.keys()):
        problems.append(f"{missing} of our lines are missing.")
    if invoice.subtotal_minor != sum(expected.values()) + others:
        problems.append(f"It adds up to {invoice.subtotal_minor}, we to {sum(expected.values())} + {others}.")
    if invoice.total_minor - invoice.tax_minor != invoice.subtotal_minor:
        problems.append("Something was taken off its total, such as a coupon.")
    return problems
