"""Twelve months of one account, from sign-up to the end, on the fake Stripe's clock: every invoice and statement is
the one that was worked out by hand. Once in dollars and once in won.

Usage is in millions of input tokens of the local chat model: $0.02 or 28 won each. Pro costs $9.00 and includes $2.00
of usage (12,900 won, 2,800 won); Team, made for this story, costs $20.00 (28,000 won) and includes the same; Free
includes $0.10 (140 won) and goes no further.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from billing import credit_notes, invoicing, partitions, payments
from billing.collection import following, inbox, subscribing
from billing.collection.plans import sync_plans
from billing.models import (
    CreditNote,
    Dunning,
    Plan,
    PlanVersion,
    Statement,
    StatementLine,
    StripeCheckout,
    StripeCustomer,
)
from billing.period import BillingPeriod
from billing.pricing import Unit
from tests.factories import Person, make_person, make_report, record_calls
from tests.fakes.stripe.process import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

YEAR = timezone.now().year + 1  # prices and plans are in force by then, whenever this runs
BACK = "http://127.0.0.1:8000/billing/"


def at(month: int, day: int, hour: int = 12) -> datetime:
    """A moment of the year."""
    return datetime(YEAR, month, day, hour, tzinfo=UTC)


@dataclass
class Story:
    """One account, and two clocks in step."""

    fake: FakeStripe
    person: Person
    monkeypatch: pytest.MonkeyPatch

    def move(self, to: datetime) -> None:
        """Move both clocks on, an hour and a half after each first of a month on the way: a renewal waits for us."""
        while (stop := self._next_first()) < to:
            self._set(stop)
            self.beat()
            self._set(stop + timedelta(hours=1, minutes=30))
            self.beat()
            self.beat()
        self._set(to)
        self.beat()

    def _next_first(self) -> datetime:
        return BillingPeriod.containing(timezone.now()).end

    def _set(self, to: datetime) -> None:
        if to > timezone.now():
            self.fake.advance(to=to.timestamp())
            self.monkeypatch.setattr(timezone, "now", lambda: to)

    def beat(self) -> None:
        """What Celery's beat rings."""
        inbox.catch_up()
        inbox.work()
        invoicing.close_due_periods()
        following.follow_all()
        payments.issue_frozen_statements()
        self.fake.advance(seconds=0)
        following.follow_all()

    def use(self, millions: int) -> None:
        """Millions of tokens now."""
        record_calls(make_report(self.person, timezone.now(), {Unit.INPUT_TOKEN: millions * 10**6}))

    def plan(self, slug: str) -> PlanVersion:
        """A plan as it is sold now, in the account's currency."""
        return PlanVersion.objects.current(currency=self.person.account.currency).get(plan__slug=slug)

    def card(self, token: str) -> None:
        """The customer saves another card in the portal; it is charged from then on."""
        customer = StripeCustomer.objects.get(account=self.person.account).pk
        v1 = self.fake.client().v1
        method = v1.payment_methods.attach(token, {"customer": customer})
        v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
        for one in v1.subscriptions.list({"customer": customer}).data:
            v1.subscriptions.update(one.id, {"default_payment_method": method.id})

    def invoices(self) -> list[tuple[str, str, int]]:
        """Every invoice at Stripe that is not about nothing: (day, status, total)."""
        return [
            (f"{datetime.fromtimestamp(one['created'], UTC):%m-%d}", one["status"], one["total"])
            for one in self.fake.objects("invoice")
            if one["total"]
        ]

    def statements(self) -> list[tuple[str, str, str, int]]:
        """Every statement: (period, kind, state, total)."""
        rows = Statement.objects.filter(account=self.person.account).order_by("period", "sequence")
        return [(one.period, str(one.kind), str(one.state), one.total_minor) for one in rows]


@dataclass(frozen=True)
class Table:
    """What must come out, in minor units."""

    currency: str
    team: int
    invoices: list[tuple[str, str, int]]  # day, status, total
    statements: list[tuple[str, str, int]]  # period, kind, total
    refunded: int


DOLLARS = Table(
    "USD",
    2000,
    [
        ("04-16", "paid", 450),  # half of April is left: half of $9.00
        ("05-01", "paid", 1000),  # May $9.00; April's 100 million tokens $2.00 less half of the credit, $1.00
        ("06-01", "paid", 900),  # June $9.00; May's $1.20 are within the credit
        ("06-16", "paid", 1100),  # Team for all of June: $20.00 less $9.00
        ("07-01", "paid", 2500),  # July $20.00; June's $7.00 less $2.00. Declined on the 1st, paid on the 4th
        ("08-01", "paid", 2100),  # August $20.00; July's $3.00 less $2.00
        ("09-01", "paid", 900),  # Pro again
        ("10-01", "paid", 900),
        (
            "11-01",
            "paid",
            200,
        ),  # the subscription is over: October's $4.00 less $2.00, on an invoice of its own
    ],
    [
        ("01", "usage", 0),  # $0.04 of Free's $0.10
        ("03", "usage", 0),  # $0.06
        ("04", "fee", 450),
        ("04", "usage", 100),
        ("05", "fee", 900),
        ("05", "usage", 0),
        ("06", "fee", 900),
        ("06", "fee", 1100),
        ("06", "usage", 500),
        ("07", "fee", 2000),
        ("07", "usage", 100),
        ("08", "fee", 2000),
        ("09", "fee", 900),
        ("10", "fee", 900),
        ("10", "usage", 200),
        ("11", "usage", 0),
    ],
    50,
)
WON = Table(
    "KRW",
    28_000,
    [
        ("04-16", "paid", 6450),  # half of 12,900
        ("05-01", "paid", 14_300),  # 12,900; 2,800 less half of the credit, 1,400
        ("06-01", "paid", 12_900),  # May's 1,680 are within the credit
        ("06-16", "paid", 15_100),  # 28,000 less 12,900
        ("07-01", "paid", 35_000),  # 28,000; 9,800 less 2,800
        ("08-01", "paid", 29_400),  # 28,000; 4,200 less 2,800
        ("09-01", "paid", 12_900),
        ("10-01", "paid", 12_900),
        ("11-01", "paid", 2800),  # 5,600 less 2,800
    ],
    [
        ("01", "usage", 0),
        ("03", "usage", 0),
        ("04", "fee", 6450),
        ("04", "usage", 1400),
        ("05", "fee", 12_900),
        ("05", "usage", 0),
        ("06", "fee", 12_900),
        ("06", "fee", 15_100),
        ("06", "usage", 7000),
        ("07", "fee", 28_000),
        ("07", "usage", 1400),
        ("08", "fee", 28_000),
        ("09", "fee", 12_900),
        ("10", "fee", 12_900),
        ("10", "usage", 2800),
        ("11", "usage", 0),
    ],
    700,
)


@pytest.fixture
def yuna(
    price_list: None,
    still_fake_stripe: Callable[[int], FakeStripe],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Table], Story]:
    """Yuna signs up in January; Stripe's webhooks never reach us, so everything is found by looking."""

    def begin(table: Table) -> Story:
        fake = still_fake_stripe(int(at(1, 5).timestamp()))
        fake.control("endpoint", url="http://127.0.0.1:1/nobody", secret=WEBHOOK_SECRET)
        fake.control("settings", webhook_retry_seconds=[])
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = SECRET_KEY, fake.url
        settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
        partitions.ensure_partitions([BillingPeriod(YEAR, month) for month in range(1, 13)])
        _sell_team(table)
        monkeypatch.setattr(timezone, "now", lambda: at(1, 5))
        sync_plans()
        return Story(fake, make_person("Yuna", currency=table.currency), monkeypatch)

    return begin


def _sell_team(table: Table) -> None:
    """A plan between Pro and Enterprise, for an upgrade and a downgrade."""
    version = PlanVersion.objects.current(currency=table.currency).get(plan__slug="pro")
    version.pk, version._state.adding = None, True
    version.plan = Plan.objects.create(slug="team", name="Team", position=3)
    version.number, version.price_minor, version.effective_from = 1, table.team, timezone.now()
    version.save()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("table", [DOLLARS, WON], ids=lambda table: table.currency)
def test_every_invoice_of_yunas_year_is_the_one_worked_out_by_hand(
    yuna: Callable[[Table], Story], table: Table
) -> None:
    story = yuna(table)
    account = story.person.account
    story.use(2)
    story.move(at(3, 10))
    story.use(3)

    story.move(at(4, 16, 0))
    subscribing.subscribe_page(account, story.plan("pro"), key="pro", back_url=BACK)
    story.fake.complete_checkout(StripeCheckout.objects.get().pk, country="KR")
    story.beat()
    story.move(at(4, 20))
    story.use(100)
    story.move(at(5, 20))
    story.use(60)

    story.move(at(6, 16))
    preview = subscribing.preview_change(account, story.plan("team"))
    subscribing.change(account, story.plan("team"), key="up")
    assert preview.total_minor == story.invoices()[-1][2]
    story.use(350)

    story.card("pm_card_chargeCustomerFail")
    story.move(at(7, 2))
    assert Dunning.objects.filter(account=account, ended_at=None).exists()
    story.card("pm_card_visa")
    story.move(at(7, 5))
    assert not Dunning.objects.filter(account=account, ended_at=None).exists()
    story.use(150)

    story.move(at(8, 10))
    subscribing.change(account, story.plan("pro"), key="down")
    story.move(at(9, 10))
    _refund(story, table)
    story.move(at(10, 20))
    story.use(200)
    subscribing.cancel(account, key="end")
    story.move(at(11, 20))
    story.use(1)
    story.move(at(12, 31))

    assert story.invoices() == [(f"{day}", status, total) for day, status, total in table.invoices]
    kept = [(period[5:], kind, total) for period, kind, _, total in story.statements()]
    assert sorted(kept) == sorted(table.statements)
    assert {state for _, _, state, _ in story.statements()} == {"paid"}


def _refund(story: Story, table: Table) -> None:
    """In September Yuna gets back half of what she paid for July's usage, on her card."""
    line = StatementLine.objects.get(
        statement__account=story.person.account, statement__period=f"{YEAR}-07", kind=StatementLine.Kind.USAGE
    )
    credit_notes.credit_statement(
        line.statement,
        {line.pk: table.refunded},
        reason=CreditNote.Reason.SERVICE,
        reference="yuna-july",
        pay_back=credit_notes.PayBack.REFUND,
    )
    credit_notes.send_credit_notes()
    assert [one["amount"] for one in story.fake.objects("refund")] == [table.refunded]
