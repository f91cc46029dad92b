"""Credit: granted once, burned in order, and what admission may count on."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.credit_balances import balances, left_of, prepaid_nano
from billing.credits import CreditError, grant_credit
from billing.invoicing import close_period
from billing.models import CreditBurn, CreditGrant, CreditSource
from billing.money import NANO
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.wording import month
from tests.billing.people import PERIOD, meanwhile, on_plan_since, written
from tests.factories import Person, make_report, record_calls

DAY = timedelta(days=1)
MONTH = month(PERIOD.key)
NOW = BillingPeriod.containing(timezone.now())
CENT = NANO // 100


def _grant(
    person: Person,
    dollars: int,
    source: str = "prepaid",
    *,
    name: str = "",
    since: datetime = PERIOD.start,
    until: datetime | None = None,
) -> CreditGrant:
    """Give somebody credit, in whole dollars."""
    reference = name or f"{source}:{person.account.pk}:{dollars}:{until}"
    return grant_credit(
        person.account, CreditSource(source), dollars * NANO,
        reference=reference, starts_at=since, expires_at=until,
    )  # fmt: skip


def _spend(person: Person, cents: int, at: datetime) -> None:
    """Use so many cents' worth of the chat model: 1,000,000 input tokens are $0.02."""
    record_calls(make_report(person, at, {Unit.INPUT_TOKEN: cents * 500_000}))


def test_bobs_top_up_of_five_dollars_lets_calls_go_on(bob: Person) -> None:
    assert prepaid_nano(bob.account) == 0
    _grant(bob, 5, since=timezone.now())
    assert prepaid_nano(bob.account) == 5 * NANO


def test_what_the_running_period_uses_is_left_to_the_counters(bob: Person) -> None:
    _grant(bob, 5, since=NOW.start)
    _spend(bob, 200, NOW.start)
    assert prepaid_nano(bob.account) == 5 * NANO


def test_usage_of_last_month_that_is_not_billed_yet_is_gone_from_the_credit(bob: Person) -> None:
    """$3.00 in the last month: $0.10 included, $2.90 of the five dollars."""
    _grant(bob, 5)
    _spend(bob, 300, PERIOD.start)
    assert prepaid_nano(bob.account) == 210 * CENT
    close_period(bob.account, PERIOD)
    assert prepaid_nano(bob.account) == 210 * CENT


def test_an_interim_statement_does_not_move_the_limit(bob: Person) -> None:
    _grant(bob, 5, since=NOW.start)
    _spend(bob, 300, NOW.start)
    close_period(bob.account, NOW, NOW.start + timedelta(seconds=1))
    assert CreditBurn.objects.get().nano_amount == 290 * CENT
    assert prepaid_nano(bob.account) == 5 * NANO


def test_what_expired_credit_covered_this_month_is_not_asked_of_new_credit(bob: Person) -> None:
    """$3.00 used, then the $10 expire: of the next top-up of $5, all $5 are there."""
    expiry = NOW.start + timedelta(minutes=1)
    _grant(bob, 10, since=PERIOD.start, until=expiry)
    _spend(bob, 300, NOW.start)
    _grant(bob, 5, since=expiry)
    assert prepaid_nano(bob.account, expiry + timedelta(minutes=1)) == (290 + 500) * CENT
    assert prepaid_nano(bob.account, expiry - timedelta(seconds=1)) == 1000 * CENT


def test_credit_that_starts_later_does_not_count_yet(bob: Person) -> None:
    _grant(bob, 5, since=timezone.now() + DAY)
    assert prepaid_nano(bob.account) == 0


def test_nobody_uses_the_credit_of_another(alice: Person, bob: Person) -> None:
    _grant(alice, 5)
    assert prepaid_nano(bob.account) == 0


def test_bobs_statement_shows_the_prepaid_credit_and_is_zero(bob: Person) -> None:
    _grant(bob, 5)
    _spend(bob, 300, PERIOD.start)
    statement = close_period(bob.account, PERIOD)
    assert written(statement)[1:] == [
        (f"Included credit, {MONTH}", -10),
        (f"Prepaid credit, {MONTH}", -290),
    ]
    assert statement
    assert statement.total_minor == 0


def test_alices_statement_burns_each_source_in_its_order(alice: Person) -> None:
    """$20 used, $2 included. What expires first goes first; then promotional, granted, prepaid; never the fee.

    | grant                       | burned |
    |-----------------------------|--------|
    | prepaid $3, expires first   |   3.00 |
    | promotional $4              |   4.00 |
    | granted $5                  |   5.00 |
    | prepaid $50                 |   6.00 |
    """
    on_plan_since(PERIOD.previous.start, alice)
    big, granted = _grant(alice, 50), _grant(alice, 5, "granted")
    promotional, first = _grant(alice, 4, "promotional"), _grant(alice, 3, until=PERIOD.end + DAY)
    _spend(alice, 2000, PERIOD.start)
    statement = close_period(alice.account, PERIOD)
    assert statement
    assert written(statement)[2:] == [
        (f"Included credit, {MONTH}", -200),
        (f"Promotional credit, {MONTH}", -400),
        (f"Granted credit, {MONTH}", -500),
        (f"Prepaid credit, {MONTH}", -900),
    ]
    assert statement.total_minor == 900
    burned = {burn.grant_id: burn.nano_amount for burn in CreditBurn.objects.all()}
    dollars = {first.pk: 3, promotional.pk: 4, granted.pk: 5, big.pk: 6}
    assert burned == {grant: amount * NANO for grant, amount in dollars.items()}


def test_credit_covers_nothing_that_was_used_after_it_expired(alice: Person) -> None:
    """$5 before the expiry, $5 after it: of the $20 only $3 are burned, since $2 were included."""
    on_plan_since(PERIOD.previous.start, alice)
    _grant(alice, 20, until=PERIOD.start + 10 * DAY)
    _spend(alice, 500, PERIOD.start)
    _spend(alice, 500, PERIOD.start + 11 * DAY)
    assert written(close_period(alice.account, PERIOD))[-1] == (f"Prepaid credit, {MONTH}", -300)


def test_a_fee_is_never_paid_with_credit(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    _grant(alice, 50)
    assert written(close_period(alice.account, PERIOD)) == [(f"Pro plan, {MONTH}", 900)]


def test_the_same_reference_grants_once(bob: Person) -> None:
    first = _grant(bob, 5, name="cs_test_1")
    assert _grant(bob, 5, name="cs_test_1") == first
    with pytest.raises(CreditError, match="cs_test_1 has granted something else"):
        _grant(bob, 6, name="cs_test_1")
    assert CreditGrant.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_webhooks_of_one_top_up_grant_once(bob: Person) -> None:
    meanwhile(lambda: _grant(bob, 5, name="cs_1"), lambda: _grant(bob, 5, name="cs_1"))
    assert CreditGrant.objects.count() == 1


@pytest.mark.parametrize("nano", [0, -NANO, CENT // 2])
def test_no_credit_of_nothing_or_of_half_a_cent(bob: Person, nano: int) -> None:
    with pytest.raises(CreditError, match="whole cents"):
        grant_credit(bob.account, CreditSource.GRANTED, nano, reference="x")


def test_credit_that_expires_before_it_starts_is_refused(bob: Person) -> None:
    with pytest.raises(CreditError, match="expire after it starts"):
        _grant(bob, 5, since=NOW.start, until=NOW.start)


def test_the_database_lets_nobody_edit_credit_or_burn_too_much(bob: Person) -> None:
    grant = _grant(bob, 5)
    for attempt in (
        lambda: CreditGrant.objects.update(nano_amount=1),
        lambda: CreditGrant.objects.all().delete(),
        lambda: CreditBurn.objects.create(grant=grant, reason="withdrawn", nano_amount=5 * NANO + 1),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()
    CreditBurn.objects.create(grant=grant, reason="withdrawn", nano_amount=2 * NANO)
    assert left_of(grant.pk) == 3 * NANO


def test_the_balance_is_in_the_order_of_burning(bob: Person) -> None:
    prepaid, promotional = _grant(bob, 5), _grant(bob, 1, "promotional")
    used_up = _grant(bob, 2, until=PERIOD.start + DAY)
    _spend(bob, 310, NOW.start)
    left = [(row.grant, row.left) for row in balances(bob.account)]
    assert left == [(prepaid, 3 * NANO), (used_up, 0), (promotional, 0)]
