"""What several stories begin with: somebody subscribed in November, used, and was billed in December."""

from datetime import datetime, timedelta

from billing import topups
from billing.collection import following
from billing.invoicing import close_due_periods
from billing.models import Statement, StripeCheckout, StripeCustomer, StripeInvoice, StripeSubscription, TopUp
from billing.payments import issue_frozen_statements
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.reconciliation import open_discrepancies, reconcile
from tests.billing.stripe.conftest import BACK, DECEMBER, MID_MONTH, Both, subscribe
from tests.factories import Person, make_report, record_calls

A_WEEK_LATER = MID_MONTH + timedelta(days=7)
A_PLAIN_CARD = "pm_card_visa"
NOVEMBER = BillingPeriod.parse("2026-11")


def use(person: Person, millions: int = 100, at: datetime = A_WEEK_LATER) -> None:
    """Use millions of input tokens ($0.02 each) a week after the 16th."""
    record_calls(make_report(person, at, {Unit.INPUT_TOKEN: millions * 1_000_000}))


def billed(both: Both, person: Person, millions: int = 100, card: str = A_PLAIN_CARD) -> Statement:
    """November's usage is on the renewal's invoice, which is issued and, with a good card, paid.

    100 million tokens: $2.00, less $1.00 of credit for half a month, beside December's fee of $9.00.
    """
    subscribe(both, person)
    use(person, millions)
    if card != A_PLAIN_CARD:
        put_card(both, person, card)
    both.move(DECEMBER)
    following.follow_all()
    both.move(DECEMBER + timedelta(hours=2))
    close_due_periods()
    issue_frozen_statements()
    both.later(hours=2)
    following.follow_all()
    return Statement.objects.get(account=person.account, kind=Statement.Kind.USAGE)


def renewal_of(person: Person) -> StripeInvoice:
    """The renewal's invoice."""
    return StripeInvoice.objects.get(account=person.account, reason="subscription_cycle")


def put_card(both: Both, person: Person, token: str) -> str:
    """Save another card, which is charged from then on; return its id."""
    customer = StripeCustomer.objects.get(account=person.account).pk
    card = both.post(f"/v1/payment_methods/{token}/attach", customer=customer)["id"]
    both.post(f"/v1/customers/{customer}", invoice_settings={"default_payment_method": card})
    for subscription in StripeSubscription.objects.filter(account=person.account, status="active"):
        both.post(f"/v1/subscriptions/{subscription.pk}", default_payment_method=card)
    return str(card)


def bought(both: Both, person: Person, minor: int = 2000) -> TopUp:
    """Somebody buys credit on the page, and comes back."""
    topups.start_top_up(person.account, minor, BACK)
    page = StripeCheckout.objects.get(purpose="top_up")
    both.fake.complete_checkout(page.pk)
    following.follow_checkout(page.pk)
    return TopUp.objects.get(account=person.account)


def differences() -> list[str]:
    """What reconciliation of November finds."""
    reconcile(NOVEMBER)
    return [f"{row.check_name} {row.difference:+d}" for row in open_discrepancies()]


def issue(statement: Statement) -> Statement:
    """Take it as far as it goes; read it again."""
    issue_frozen_statements()
    return Statement.objects.get(pk=statement.pk)


def ours_once(both: Both, *statements: Statement) -> None:
    """Each of our lines stands once at Stripe, over all invoices, with its amount."""
    found = [line for invoice in both.fake.objects("invoice") for line in invoice["lines"]["data"]]
    ids = [line["metadata"].get("turnpike_line") for line in found if line["metadata"].get("turnpike_line")]
    lines = [line for statement in statements for line in statement.lines.all()]
    expected = {str(line.pk): line.amount_minor for line in lines}
    assert sorted(ids) == sorted(expected)
    amounts = {
        line["metadata"]["turnpike_line"]: line["amount"]
        for line in found
        if line["metadata"].get("turnpike_line")
    }
    assert amounts == expected
