"""Books events into the journal, each once, in the transaction of the event itself. Amounts are minor units.

| event | debit | credit |
|---|---|---|
| credit granted, prepaid | cash | customers' credit |
| credit granted, otherwise | credit given away | customers' credit |
| credit used by a statement | customers' credit | revenue |
| credit restored | revenue | customers' credit |
| credit expired, prepaid | customers' credit | expired credit |
| credit expired, otherwise | customers' credit | credit given away |
| credit withdrawn | customers' credit | cash, or credit given away |
| statement issued | receivable (and balance) | revenue |
| tax on an invoice | receivable | tax |
| payment | cash | receivable |
| statement void | revenue | receivable (and balance) |
| credit note | refunds | receivable, cash, balance |
| chargeback lost, less withdrawn credit | chargebacks | cash |

Included credit is no money: a statement's revenue is what is left after it.
"""

from collections.abc import Iterable, Mapping

from django.db import IntegrityError, transaction
from django.db.models import Sum

from accounts.models import Account
from billing.models import (
    CreditBurn,
    CreditGrant,
    CreditNote,
    CreditSource,
    Dispute,
    JournalEntry,
    JournalLine,
    LedgerAccount,
    Statement,
    StatementLine,
)
from billing.money import to_minor

Kind = JournalEntry.Kind
Sides = Mapping[LedgerAccount, int]  # minor units: above zero on the debit, below on the credit


def credit_granted(grant: CreditGrant) -> None:
    """Book a grant: prepaid credit was paid for, any other is given away."""
    minor = to_minor(grant.nano_amount, grant.currency)
    _book(
        Kind.GRANT,
        grant.pk,
        grant.account,
        grant.currency,
        {_payer(grant): minor, LedgerAccount.CREDIT: -minor},
    )


def credit_used(statement: Statement, burns: Iterable[CreditBurn]) -> None:
    """Book what a statement's credit lines took of grants: it is earned now."""
    minor = to_minor(sum(burn.nano_amount for burn in burns), statement.currency)
    _book_of(Kind.BURN, statement, {LedgerAccount.CREDIT: minor, LedgerAccount.REVENUE: -minor})


def credit_restored(burn: CreditBurn) -> None:
    """Book that used credit is free again."""
    minor = to_minor(-burn.nano_amount, burn.grant.currency)
    _book_burn(Kind.RESTORED, burn, {LedgerAccount.REVENUE: minor, LedgerAccount.CREDIT: -minor})


def credit_expired(burn: CreditBurn) -> None:
    """Book what nobody used in time."""
    minor = to_minor(burn.nano_amount, burn.grant.currency)
    prepaid = burn.grant.source == CreditSource.PREPAID
    gain = LedgerAccount.BREAKAGE if prepaid else LedgerAccount.PROMOTIONS
    _book_burn(Kind.EXPIRED, burn, {LedgerAccount.CREDIT: minor, gain: -minor})


def credit_withdrawn(burn: CreditBurn) -> None:
    """Book what was taken back: prepaid credit was paid back, too."""
    minor = to_minor(burn.nano_amount, burn.grant.currency)
    _book_burn(Kind.WITHDRAWN, burn, {LedgerAccount.CREDIT: minor, _payer(burn.grant): -minor})


def statement_issued(statement: Statement) -> None:
    """Book what a statement comes to. Tax that a provider adds is booked by `tax_invoiced`."""
    _book_of(Kind.INVOICE, statement, _invoice(statement))


def statement_paid(statement: Statement) -> None:
    """Book what was paid: the total less what credit notes took off it before."""
    paid = statement.total_minor - _credited_before_payment(statement)
    _book_of(Kind.PAYMENT, statement, {LedgerAccount.CASH: paid, LedgerAccount.RECEIVABLE: -paid})


def statement_voided(statement: Statement) -> None:
    """Book the statement back, but for what credit notes took off it already."""
    sides = dict(_invoice(statement))
    credited = _credited_before_payment(statement)
    sides[LedgerAccount.RECEIVABLE] -= credited
    sides[LedgerAccount.REVENUE] += credited
    _book_of(Kind.VOID, statement, {name: -minor for name, minor in sides.items()})


def credit_note_issued(note: CreditNote) -> None:
    """Book a credit note by what becomes of it."""
    sides = {
        LedgerAccount.REFUNDS: note.total_minor,
        LedgerAccount.RECEIVABLE: -note.due_minor,
        LedgerAccount.CASH: -note.refund_minor - note.out_of_band_minor,
        LedgerAccount.BALANCE: -note.balance_minor,
    }
    _book(Kind.CREDIT_NOTE, note.pk, note.account, note.currency, sides, note.number)


def tax_invoiced(account: Account, reference: str, tax_minor: int, currency: str) -> None:
    """Book the tax that a provider put on an invoice, `reference` being the invoice's."""
    sides = {LedgerAccount.RECEIVABLE: tax_minor, LedgerAccount.TAX: -tax_minor}
    _book(Kind.TAX, reference, account, currency, sides)


def tax_paid(account: Account, reference: str, tax_minor: int, currency: str) -> None:
    """Book that the tax of an invoice was paid with it."""
    sides = {LedgerAccount.CASH: tax_minor, LedgerAccount.RECEIVABLE: -tax_minor}
    _book(Kind.PAYMENT, f"tax:{reference}", account, currency, sides)


def chargeback_lost(dispute: Dispute, minor: int) -> None:
    """Book what a customer's bank took back for good, but for credit that was withdrawn: that is booked by itself."""
    sides = {LedgerAccount.CHARGEBACKS: minor, LedgerAccount.CASH: -minor}
    _book(Kind.CHARGEBACK, dispute.pk, dispute.account, dispute.currency, sides, dispute.payment)


def book_missing() -> int:
    """Book statements that were issued before there was a journal; return how many. Booked ones stay as they are."""
    booked = JournalEntry.objects.values("reference")
    count = 0
    for statement in Statement.objects.filter(number__isnull=False).exclude(total_minor=0):
        if booked.filter(reference=f"{Kind.INVOICE}:{statement.pk}").exists():
            continue
        with transaction.atomic():
            statement_issued(statement)
            if statement.state == Statement.State.PAID:
                statement_paid(statement)
            elif statement.state == Statement.State.VOID:
                statement_voided(statement)
        count += 1
    return count


def trial_balance() -> list[tuple[str, LedgerAccount, int, int]]:
    """Return (currency, ledger account, debit, credit) sums; in each currency the two add up to the same."""
    sums = JournalLine.objects.values("currency", "ledger_account").annotate(
        debit=Sum("debit_minor"), credit=Sum("credit_minor")
    )
    rows = sums.order_by("currency", "ledger_account")
    return [
        (row["currency"], LedgerAccount(row["ledger_account"]), row["debit"], row["credit"]) for row in rows
    ]


def _payer(grant: CreditGrant) -> LedgerAccount:
    return LedgerAccount.CASH if grant.source == CreditSource.PREPAID else LedgerAccount.PROMOTIONS


def _invoice(statement: Statement) -> dict[LedgerAccount, int]:
    """What is owed, and what of the customer's balance is used, is revenue."""
    lines = statement.lines.filter(kind=StatementLine.Kind.ADJUSTMENT, adjustment__kind="balance")
    balance = -(lines.aggregate(minor=Sum("amount_minor"))["minor"] or 0)
    return {
        LedgerAccount.RECEIVABLE: statement.total_minor,
        LedgerAccount.BALANCE: balance,
        LedgerAccount.REVENUE: -statement.total_minor - balance,
    }


def _credited_before_payment(statement: Statement) -> int:
    return int(statement.credit_notes.aggregate(minor=Sum("due_minor"))["minor"] or 0)


def _book_of(kind: JournalEntry.Kind, statement: Statement, sides: Sides) -> None:
    _book(kind, statement.pk, statement.account, statement.currency, sides, statement.number or "")


def _book_burn(kind: JournalEntry.Kind, burn: CreditBurn, sides: Sides) -> None:
    _book(kind, burn.pk, burn.grant.account, burn.grant.currency, sides, burn.note)


def _book(
    kind: JournalEntry.Kind, event: object, account: Account, currency: str, sides: Sides, memo: str = ""
) -> None:
    """Write one entry, unless the event is booked already or is about nothing. Inside the event's transaction."""
    moved = {name: minor for name, minor in sides.items() if minor}
    if not moved:
        return
    try:
        with transaction.atomic():
            entry = JournalEntry.objects.create(
                kind=kind, reference=f"{kind}:{event}", account=account, memo=memo
            )
    except IntegrityError:
        return
    JournalLine.objects.bulk_create(
        JournalLine(
            entry=entry,
            ledger_account=name,
            currency=currency,
            debit_minor=max(minor, 0),
            credit_minor=max(-minor, 0),
        )
        for name, minor in moved.items()
    )
