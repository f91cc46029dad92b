"""Closing a period: the statement equals a hand-calculated table, to the cent, and is written once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import Model, Sum
from django.utils import timezone

from billing.invoicing import StatementError, close_due_periods, close_period
from billing.lines import MAX_USAGE_LINES
from billing.models import (
    PlanVersion,
    PriceVersion,
    Statement,
    StatementLine,
    Subscription,
    UnitPrice,
    UsageAllocation,
    UsageEvent,
)
from billing.payments import ManualProvider, mark_paid, void
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.wording import month
from tests.billing.people import PERIOD, on_plan_since, written
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person, make_failure, make_report, record_calls

DAY = timedelta(days=1)
MONTH = month(PERIOD.key)
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
FLUX = "black-forest-labs/FLUX.1-schnell"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MILLION = 1_000_000


def _use(person: Person, day: int = 0, period: BillingPeriod = PERIOD, /, **units: int) -> None:
    """Record one call to the chat model: 1,000,000 input tokens are $0.02, output tokens $0.04."""
    quantities = {Unit(unit): quantity for unit, quantity in units.items()}
    record_calls(make_report(person, period.start + day * DAY, quantities))


def test_alices_statement_equals_the_table_calculated_by_hand(alice: Person) -> None:
    """Each row: what was used, the list price, the exact product by hand, and what the line must say.

    | model, unit               | quantity   | price          | exact, $      | line, $ |
    |---------------------------|------------|----------------|---------------|---------|
    | SmolLM2 input             |  1,234,567 | 0.02 per 1M    | 0.02469134    |    0.02 |
    | SmolLM2 output            |    765,433 | 0.04 per 1M    | 0.03061732    |    0.03 |
    | FLUX.1 schnell images     |          7 | 0.0036         | 0.0252        |    0.03 |
    | e5 input                  |  2,500,000 | 0.01 per 1M    | 0.025         |    0.03 | half a cent goes up
    | Llama 8B input (3 calls)  | 30,000,000 | 0.06 per 1M    | 1.80          |    1.80 |
    | Llama 8B output (3 calls) |  3,000,000 | 0.096 per 1M   | 0.288         |    0.29 |
    | MiniLM compute seconds    |  12.345678 | 0.000144       | 0.00177777... |    0.00 |
    | usage                     |            |                |               |    2.20 |
    | Pro, a month              |            |                |               |    9.00 |
    | included credit           |            |                |               |   -2.00 |
    | total                     |            |                |               |    9.20 |
    """
    on_plan_since(PERIOD.previous.start, alice)
    at = PERIOD.start
    record_calls(
        make_report(alice, at, {Unit.INPUT_TOKEN: 1_234_567, Unit.OUTPUT_TOKEN: 765_433}),
        *[
            make_report(
                alice,
                at + day * DAY,
                {Unit.INPUT_TOKEN: 10 * MILLION, Unit.OUTPUT_TOKEN: MILLION},
                model=LLAMA,
                upstream="hf-router",
            )
            for day in range(3)
        ],
        make_report(alice, at, {Unit.IMAGE: 7}, model=FLUX, upstream="hf-router"),
        make_report(alice, at, {Unit.COMPUTE_SECOND: 12_345_678}, model=MINILM, upstream="hf-router"),
        make_report(alice, PERIOD.end - DAY, {Unit.INPUT_TOKEN: 2_500_000}, model=EMBEDDING_MODEL),
        make_failure(alice, at),
    )
    statement = close_period(alice.account, PERIOD)
    assert statement
    assert written(statement) == [
        (f"Pro plan, {MONTH}", 900),
        ("HuggingFaceTB/SmolLM2-135M-Instruct: 1,234,567 input tokens × $0.02 per 1M", 2),
        ("HuggingFaceTB/SmolLM2-135M-Instruct: 765,433 output tokens × $0.04 per 1M", 3),
        ("black-forest-labs/FLUX.1-schnell: 7 images × $0.0036 each", 3),
        ("intfloat/multilingual-e5-small: 2,500,000 input tokens × $0.01 per 1M", 3),
        ("meta-llama/Llama-3.1-8B-Instruct: 30,000,000 input tokens × $0.06 per 1M", 180),
        ("meta-llama/Llama-3.1-8B-Instruct: 3,000,000 output tokens × $0.096 per 1M", 29),
        ("sentence-transformers/all-MiniLM-L6-v2: 12.345678 seconds of compute × $0.000144 each", 0),
        (f"Included credit, {MONTH}", -200),
    ]
    assert (statement.total_minor, statement.currency, statement.state) == (920, "USD", "frozen")
    assert (statement.starts_at, statement.ends_at) == (PERIOD.start, PERIOD.end)
    exact = list(statement.lines.filter(kind="usage").values_list("nano_amount", flat=True))
    assert exact == [24_691_340, 30_617_320, 25_200_000, 25_000_000, 1_800_000_000, 288_000_000, 1_777_778]


def test_closing_twice_changes_nothing(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    _use(alice, input_token=123 * MILLION)
    first = close_period(alice.account, PERIOD)
    before = _all_rows()
    assert close_period(alice.account, PERIOD) == first
    assert close_due_periods() == []
    assert before == _all_rows()


def test_every_call_of_the_period_is_billed_once_and_no_other(alice: Person, bob: Person) -> None:
    _use(alice, 0, input_token=MILLION)
    _use(alice, 27, input_token=MILLION)
    _use(alice, 0, PERIOD.next, input_token=MILLION)
    _use(bob, 0, input_token=MILLION)
    statement = close_period(alice.account, PERIOD)
    billed = UsageEvent.objects.filter(pk__in=UsageAllocation.objects.values("event_id"))
    assert set(billed.values_list("account", "period")) == {(alice.account.pk, PERIOD.key)}
    assert billed.count() == UsageAllocation.objects.filter(statement=statement).count() == 2


def test_bob_on_free_pays_nothing_while_his_credit_lasts(bob: Person) -> None:
    _use(bob, input_token=2 * MILLION, output_token=MILLION)  # $0.04 + $0.04
    statement = close_period(bob.account, PERIOD)
    assert [amount for _, amount in written(statement)] == [4, 4, -8]
    assert statement
    assert statement.total_minor == 0


def test_bob_who_only_made_failing_calls_gets_an_empty_statement(bob: Person) -> None:
    record_calls(make_failure(bob, PERIOD.start))
    statement = close_period(bob.account, PERIOD)
    assert statement
    assert (statement.total_minor, written(statement)) == (0, [])


def test_somebody_who_never_called_and_pays_no_fee_gets_no_statement(bob: Person) -> None:
    assert close_period(bob.account, PERIOD) is None
    assert close_due_periods() == []
    assert not Statement.objects.exists()


def test_alice_pays_the_fee_of_a_month_without_calls(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    assert written(close_period(alice.account, PERIOD)) == [(f"Pro plan, {MONTH}", 900)]


def test_what_a_failed_call_counted_is_not_in_the_quantity(alice: Person) -> None:
    _use(alice, input_token=MILLION)
    failed = make_report(alice, PERIOD.start, {}, status=502)
    record_calls(replace(failed, units={"input_token": [5 * MILLION, 0]}))
    assert written(close_period(alice.account, PERIOD))[0] == (
        f"{CHAT_MODEL}: 1,000,000 input tokens × $0.02 per 1M",
        2,
    )


def test_late_usage_is_on_the_next_statement_with_its_month_and_that_months_credit(alice: Person) -> None:
    before = PERIOD.previous
    on_plan_since(PERIOD.previous.start, alice)
    _use(alice, 3, before, input_token=40 * MILLION)  # $0.80 of the earlier month's $2.00
    assert close_period(alice.account, before)
    _use(alice, 4, before, input_token=70 * MILLION)  # $1.40, of which $1.20 are left
    _use(alice, 4, input_token=150 * MILLION)  # $3.00
    assert written(close_period(alice.account, PERIOD)) == [
        (f"Pro plan, {MONTH}", 900),
        (f"{CHAT_MODEL}: 150,000,000 input tokens × $0.02 per 1M", 300),
        (f"{CHAT_MODEL}: 70,000,000 input tokens × $0.02 per 1M ({month(before.key)})", 140),
        (f"Included credit, {MONTH}", -200),
        (f"Included credit, {month(before.key)}", -120),
    ]


def test_late_usage_is_covered_by_the_credit_of_the_plan_of_its_own_month(bob: Person) -> None:
    pro = PlanVersion.objects.current().get(plan__slug="pro")
    Subscription.objects.create(account=bob.account, plan_version=pro, started_at=PERIOD.start)
    _use(bob, 4, PERIOD.previous, input_token=50 * MILLION)  # $1.00 in a month on Free, with its $0.10
    statement = close_period(bob.account, PERIOD)
    assert [amount for _, amount in written(statement)] == [900, 100, -10]


def test_a_credit_of_a_broken_cent_covers_whole_cents_only(bob: Person) -> None:
    PlanVersion.objects.filter(plan__slug="free").update(included_credit_nano=109_000_000)
    _use(bob, input_token=50 * MILLION)
    assert [amount for _, amount in written(close_period(bob.account, PERIOD))] == [100, -10]


def test_late_usage_of_somebody_who_stopped_calling_is_billed_too(bob: Person) -> None:
    before = PERIOD.previous
    _use(bob, 3, before, input_token=MILLION)
    close_period(bob.account, before)
    _use(bob, 4, before, input_token=6 * MILLION)  # $0.12, of which $0.08 of credit are left
    statement = Statement.objects.get(pk__in=close_due_periods())
    assert (statement.period, statement.total_minor) == (PERIOD.key, 4)
    assert close_due_periods() == []


def test_usage_that_is_more_than_three_periods_late_is_never_billed(alice: Person) -> None:
    old = PERIOD.previous.previous.previous
    _use(alice, 0, old, input_token=MILLION)
    _use(alice, 0, old.previous, input_token=MILLION)
    statement = close_period(alice.account, PERIOD)
    assert [amount for _, amount in written(statement)] == [2, -2]
    assert UsageAllocation.objects.count() == 1


def test_an_interim_statement_and_the_next_part_share_the_fee_and_the_credit(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    _use(alice, 2, input_token=60 * MILLION)  # $1.20
    _use(alice, 20, input_token=60 * MILLION)
    middle = PERIOD.start + 10 * DAY
    interim = close_period(alice.account, PERIOD, until=middle)
    rest = close_period(alice.account, PERIOD)
    assert interim
    assert rest
    assert [amount for _, amount in written(interim)] == [900, 120, -120]
    assert [amount for _, amount in written(rest)] == [120, -80]
    assert (interim.sequence, interim.starts_at, interim.ends_at) == (1, PERIOD.start, middle)
    assert (rest.sequence, rest.starts_at, rest.ends_at) == (2, middle, PERIOD.end)
    assert close_period(alice.account, PERIOD, until=middle) == rest
    assert Statement.objects.count() == 2


def test_usage_that_an_interim_statement_missed_is_in_the_next_part(alice: Person) -> None:
    _use(alice, 2, input_token=MILLION)
    close_period(alice.account, PERIOD, until=PERIOD.start + 10 * DAY)
    _use(alice, 3, input_token=50 * MILLION)
    assert written(close_period(alice.account, PERIOD))[0][1] == 100


def test_after_an_interim_statement_an_idle_rest_of_the_month_makes_no_second_one(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    interim = close_period(alice.account, PERIOD, until=PERIOD.start + 10 * DAY)
    assert close_period(alice.account, PERIOD) == interim
    assert Statement.objects.count() == 1


def test_a_running_period_is_not_closed_without_saying_until_when(alice: Person) -> None:
    with pytest.raises(ValueError, match="say until when"):
        close_period(alice.account, PERIOD.next)
    with pytest.raises(ValueError, match="say until when"):
        close_period(alice.account, PERIOD.next, until=timezone.now() + DAY)
    with pytest.raises(ValueError, match="is not in"):
        close_period(alice.account, PERIOD, until=PERIOD.start)


def test_a_void_statement_gives_its_credit_back_but_is_not_billed_again(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    _use(alice, 2, input_token=100 * MILLION)  # the whole $2.00
    interim = close_period(alice.account, PERIOD, until=PERIOD.start + 10 * DAY)
    assert interim
    void(ManualProvider().issue(interim))
    _use(alice, 20, input_token=60 * MILLION)
    assert [amount for _, amount in written(close_period(alice.account, PERIOD))] == [120, -120]


def test_bob_who_upgraded_in_the_month_pays_the_dearer_plan_once_with_its_whole_credit(bob: Person) -> None:
    pro = PlanVersion.objects.current().get(plan__slug="pro")
    Subscription.objects.create(account=bob.account, plan_version=pro, started_at=PERIOD.end - DAY)
    _use(bob, 2, input_token=50 * MILLION)
    statement = close_period(bob.account, PERIOD)
    assert statement
    assert statement.plan_version == pro
    assert [amount for _, amount in written(statement)] == [900, 100, -100]


def test_a_plan_that_ended_with_the_month_is_charged_for_it_and_not_for_the_next(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    Subscription.objects.filter(account=alice.account).update(ended_at=PERIOD.start)
    close_period(alice.account, PERIOD.previous)
    assert written(close_period(alice.account, PERIOD)) == []
    assert [text for text, _ in written(Statement.objects.get())] == [
        f"Pro plan, {month(PERIOD.previous.key)}"
    ]


def test_a_price_change_in_the_month_makes_two_lines_that_can_each_be_checked(alice: Person) -> None:
    version = PriceVersion.objects.create(
        model=CHAT_MODEL, upstream="local", effective_from=PERIOD.start + 10 * DAY, source="a test"
    )
    UnitPrice.objects.create(version=version, unit=Unit.INPUT_TOKEN, price=Decimal("5e-8"))
    _use(alice, 2, input_token=10 * MILLION)
    _use(alice, 20, input_token=10 * MILLION)
    assert written(close_period(alice.account, PERIOD))[:2] == [
        (f"{CHAT_MODEL}: 10,000,000 input tokens × $0.02 per 1M", 20),
        (f"{CHAT_MODEL}: 10,000,000 input tokens × $0.05 per 1M", 50),
    ]


def test_past_a_hundred_lines_the_cheapest_share_one(alice: Person) -> None:
    """120 models: the n-th used n × 100 seconds at $0.000144. The 20 cheapest: 210 × 100 × 0.000144 = $3.024."""
    record_calls(
        *[
            make_report(
                alice,
                PERIOD.start,
                {Unit.COMPUTE_SECOND: number * 100 * MILLION},
                model=f"sentence-transformers/model-{number:03}",
                upstream="hf-router",
            )
            for number in range(1, 121)
        ]
    )
    statement = close_period(alice.account, PERIOD)
    assert statement
    usage = statement.lines.filter(kind="usage")
    assert usage.count() == MAX_USAGE_LINES + 1
    others = usage.get(model="")
    assert (others.description, others.quantity, others.amount_minor) == ("Other models", 20, 302)
    assert others.nano_amount == 3_024_000_000
    assert usage.exclude(model="").order_by("nano_amount")[0].model == "sentence-transformers/model-021"


def test_lines_that_would_not_equal_the_ledger_are_not_written(alice: Person) -> None:
    report = make_report(alice, PERIOD.start)
    UsageEvent.objects.create(
        request_id=report.request_id,
        occurred_at=report.occurred_at,
        period=PERIOD.key,
        account=alice.account,
        endpoint="/v1/chat/completions",
        task="text-generation",
        model=CHAT_MODEL,
        upstream="local",
        status=200,
        price_version_id=report.price_version,
        units={"input_token": [12, 240]},
        nano_cost=241,  # the parts say 240
    )
    with pytest.raises(StatementError, match="240 nano and 0 minor units, the ledger to 241 nano"):
        close_period(alice.account, PERIOD)
    assert not Statement.objects.exists()
    assert not UsageAllocation.objects.exists()


def test_usage_in_another_currency_than_the_accounts_is_not_added_up(alice: Person) -> None:
    record_calls(make_report(alice, PERIOD.start, {}, currency="KRW"))
    with pytest.raises(StatementError, match="billed in USD and has usage in KRW"):
        close_period(alice.account, PERIOD)


def test_a_plan_in_another_currency_than_the_accounts_is_not_charged(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    alice.account.currency = "KRW"
    alice.account.save()
    with pytest.raises(StatementError, match="billed in KRW and Pro v1 is priced in USD"):
        close_period(alice.account, PERIOD)


def test_one_accounts_trouble_stays_its_own(alice: Person, bob: Person, mallory: Person) -> None:
    for person in (alice, bob, mallory):
        _use(person, input_token=MILLION)
    record_calls(make_report(bob, PERIOD.start, {}, currency="KRW"))
    closed = Statement.objects.filter(pk__in=close_due_periods())
    assert {statement.account for statement in closed} == {alice.account, mallory.account}


def test_nothing_is_due_before_the_grace_is_over(alice: Person) -> None:
    _use(alice, input_token=MILLION)
    assert close_due_periods(PERIOD.end + timedelta(seconds=3599)) == []
    assert len(close_due_periods(PERIOD.end + timedelta(seconds=3600))) == 1


def test_what_is_billed_and_what_is_not_yet_add_up_to_the_ledger(alice: Person, bob: Person) -> None:
    """Invariant I2, to the last nano-unit, with awkward quantities."""
    for number in range(1, 40):
        for person in (alice, bob):
            _use(person, number % 28, input_token=number * 7919, output_token=number * 104_729)
    close_period(alice.account, PERIOD, until=PERIOD.start + 9 * DAY)
    close_period(alice.account, PERIOD)
    billed = StatementLine.objects.filter(kind="usage").aggregate(nano=Sum("nano_amount"))["nano"]
    unbilled = UsageEvent.objects.exclude(pk__in=UsageAllocation.objects.values("event_id"))
    rest = unbilled.aggregate(nano=Sum("nano_cost"))["nano"]
    assert billed + rest == UsageEvent.objects.aggregate(nano=Sum("nano_cost"))["nano"]
    assert {event.account_id for event in unbilled} == {bob.account.pk}


def test_a_paid_statement_does_not_open_again(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    statement = close_period(alice.account, PERIOD)
    assert statement
    mark_paid(ManualProvider().issue(statement))
    assert close_period(alice.account, PERIOD) == statement
    assert Statement.objects.get().state == "paid"


def _all_rows() -> list[list[dict[str, object]]]:
    models: tuple[type[Model], ...] = (Statement, StatementLine, UsageAllocation)
    return [list(model._default_manager.values()) for model in models]
