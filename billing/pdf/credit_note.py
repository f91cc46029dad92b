"""What a credit note's PDF says: the same page as a statement's, with amounts that are taken back."""

from typing import Any

from django.conf import settings
from django.utils.translation import get_language, gettext

from billing import wording
from billing.models import CreditNote, CreditNoteLine
from billing.pdf.content import DEFAULT_LANGUAGE, customer, party, words


def content_of_note(note: CreditNote) -> dict[str, Any]:
    """Return everything that `statement.typ` prints. Reads the lines and the account; writes nothing."""
    lines = note.lines.select_related(
        "statement_line__statement__plan_version__plan", "statement_line__adjustment"
    )
    return {
        "language": (get_language() or DEFAULT_LANGUAGE).split("-")[0],
        "words": words(),
        "title": gettext("Credit note"),
        "number": note.number,
        "seller": party(settings.SELLER_NAME, settings.SELLER_ADDRESS),
        "customer": customer(note.account),
        "facts": [
            (gettext("Credit note number"), note.number),
            (gettext("For invoice"), note.statement.number or "—"),
            (gettext("Date of issue"), wording.day(note.created_at)),
            (gettext("Reason"), note.get_reason_display()),
        ],
        "headline": gettext("%(amount)s credited") % {"amount": _amount(note, note.total_minor)},
        "lines": [_line(line, note) for line in lines],
        "totals": _totals(note),
        "notes": [_note(note)],
    }


def _line(line: CreditNoteLine, note: CreditNote) -> dict[str, str]:
    """A line in the words of its statement. Credit that becomes free again takes off."""
    original = line.statement_line
    detail = [wording.unit_name(original), wording.month(original.period)]
    return {
        "title": wording.title(original),
        "detail": " · ".join(filter(None, detail)),
        "quantity": "",
        "unit_price": "",
        "amount": _amount(note, line.amount_minor),
    }


def _totals(note: CreditNote) -> list[tuple[str, str]]:
    """What becomes of it, and what it comes to."""
    parts = [
        (gettext("Comes off what you owe"), note.due_minor),
        (gettext("Refunded"), note.refund_minor),
        (gettext("Paid back by other means"), note.out_of_band_minor),
        (gettext("Comes off your next invoice"), note.balance_minor),
    ]
    rows = [(label, minor) for label, minor in parts if minor]
    rows.append((gettext("Total credited"), note.total_minor))
    return [(label, _amount(note, minor)) for label, minor in rows]


def _note(note: CreditNote) -> str:
    return gettext(
        "The amounts are those of invoice %(number)s. Where credit had covered what is taken back, that credit "
        "can be used again and is not paid out."
    ) % {"number": note.statement.number}


def _amount(note: CreditNote, minor: int) -> str:
    return wording.amount(minor, note.currency)
