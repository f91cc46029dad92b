"""What our statements say and what Stripe says of the same invoice: reconciliation compares. Reads Stripe anew."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Q, Sum
from django.utils import timezone

from billing.creditable import net_lines
from billing.models import CreditNote, StripeInvoice, StripeLine
from billing.payments.mirror import id_of, sync_invoice
from billing.payments.provider import InvoiceFigures
from billing.payments.stripe import api
from billing.period import BillingPeriod

# A note is sent within a minute. One that Stripe still refuses after this is a difference.
SENT_WITHIN = timedelta(hours=1)


def figures_of(period: BillingPeriod) -> list[InvoiceFigures]:
    """Return, for each invoice that carries issued statements of a period, its sum and its credit notes'.

    Minor units, without tax. Void invoices are left out: nothing of them is owed. Refused, ProviderAway.
    """
    ours = Q(our_lines__line__statement__period=period.key, our_lines__line__statement__number__isnull=False)
    carrying = list(StripeInvoice.objects.filter(ours).distinct())
    fresh = [(invoice, sync_invoice(invoice.pk)) for invoice in carrying]
    owed = [(invoice, there) for invoice, there in fresh if there is None or there.status != "void"]
    sums = [_sum_of(invoice, there.subtotal_minor if there else 0) for invoice, there in owed]
    return sums + _credited(period, [invoice for invoice, _ in owed])


def _sum_of(invoice: StripeInvoice, theirs: int) -> InvoiceFigures:
    mine = StripeLine.objects.filter(invoice=invoice)
    ours = mine.aggregate(minor=Sum("line__amount_minor"))["minor"] or 0
    return InvoiceFigures(
        invoice.pk, str(invoice.account_id), ours, theirs, invoice.currency, f"Invoice {invoice}"
    )


def _credited(period: BillingPeriod, invoices: Iterable[StripeInvoice]) -> list[InvoiceFigures]:
    by_id = {invoice.pk: invoice for invoice in invoices}
    ours, theirs = _our_notes(by_id), _their_notes(period, by_id) if by_id else Counter[str]()
    return [
        InvoiceFigures(
            f"{pk} credit notes",
            str(by_id[pk].account_id),
            ours[pk],
            theirs[pk],
            by_id[pk].currency,
            f"Credit notes of {by_id[pk]}",
        )
        for pk in sorted(ours.keys() | theirs.keys())
    ]


def _our_notes(invoices: Iterable[str]) -> Counter[str]:
    """Return {invoice: minor units that our notes take back of it}."""
    told = Q(sent_at__isnull=False) | Q(created_at__lt=timezone.now() - SENT_WITHIN)
    notes = CreditNote.objects.filter(told, lines__statement_line__stripe_line__invoice__in=list(invoices))
    found: Counter[str] = Counter()
    for note in notes.distinct():
        net = net_lines(note)
        standing = StripeLine.objects.in_bulk([line.pk for line, _ in net])
        for line, minor in net:
            if line.pk in standing:
                found[standing[line.pk].invoice_id] += minor
    return found


def _their_notes(period: BillingPeriod, invoices: Iterable[str]) -> Counter[str]:
    """Return {invoice: minor units that Stripe's notes take back of it, without tax}, whoever made them."""
    found: Counter[str] = Counter()
    known = set(invoices)
    for note in api().pages("/v1/credit_notes", created={"gte": int(period.start.timestamp())}):
        if id_of(note["invoice"]) in known and note["status"] == "issued":
            found[id_of(note["invoice"])] += note["subtotal"]
    return found
