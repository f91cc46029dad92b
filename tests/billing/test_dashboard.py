"""The operator's dashboard: its figures are those of SQL by hand, and it says what is stuck."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing import alarms, earnings
from billing.earnings import Figures, Window
from billing.metering import record
from billing.models import DeadEvent, RollupMark, Statement, UsageHour
from billing.pricing import Unit
from tests.browsing import sign_in, staff_browser, text_of
from tests.factories import Person, make_failure, make_person, make_report, record_calls

LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
TOKENS = {Unit.INPUT_TOKEN: 1_000_000, Unit.OUTPUT_TOKEN: 500_000}
NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


def sql(query: str, *values: Any) -> Any:
    """Run SQL written by hand and return its first row."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def today_at(hour: int) -> datetime:
    """A moment of the running day that is not ahead, or of yesterday."""
    now = timezone.now()
    moment = now.replace(hour=hour, minute=10, second=0, microsecond=0)
    return moment if moment <= now else moment - timedelta(days=1)


def shown(olivia: Client, **query: str) -> dict[str, Any]:
    """The dashboard's figures as the page gets them."""
    dashboard: dict[str, Any] = olivia.get("/admin/", query).context["dashboard"]
    return dashboard


def card(dashboard: dict[str, Any], label: str) -> Any:
    """One card by its label."""
    return next(it for it in dashboard["cards"] if it.label == label)


@pytest.fixture
def traffic(alice: Person, bob: Person) -> None:
    """Alice's and Bob's calls over forty days: big and small, failed ones, sold below cost."""
    now = timezone.now()
    reports = []
    for days in range(40):
        at = now - timedelta(days=days, minutes=5)
        reports.append(make_report(alice, at, TOKENS, model=LLAMA, upstream="hf-router"))
        reports.append(make_report(bob, at))
        if days % 3 == 0:
            reports.append(make_failure(bob, at))
        if days % 5 == 0:
            reports.append(make_report(bob, at, upstream_nano=7_000_000))
    record_calls(*reports)


@pytest.mark.parametrize(("key", "days"), [("today", 0), ("7d", 6), ("30d", 29)])
def test_olivia_sees_the_sums_that_sql_by_hand_gives(
    traffic: None, olivia: Client, key: str, days: int
) -> None:
    # From the events themselves, which the dashboard does not read for this.
    by_hand = sql(
        "SELECT count(*), count(*) FILTER (WHERE status >= 400), sum(nano_cost), sum(upstream_nano_cost),"
        " count(DISTINCT account_id) FROM billing_usageevent"
        " WHERE occurred_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - %s * interval '1 day'",
        days,
    )
    window = Window.ending(key, timezone.now())
    seen = earnings.figures(window, "USD")
    assert (seen.calls, seen.failures, seen.revenue, seen.cost, seen.accounts) == by_hand
    assert seen.calls > 0
    assert seen.revenue > 0
    assert card(shown(olivia, range=key), "Calls").value == by_hand[0]
    assert card(shown(olivia, range=key), "Margin").value == by_hand[2] - by_hand[3]


def test_the_days_of_the_chart_add_up_to_the_thirty_days(traffic: None) -> None:
    window = Window.ending("30d", timezone.now())
    days = [figures for _day, figures in earnings.by_day(window, "USD")]
    whole = earnings.figures(window, "USD")
    assert len(days) == 30
    assert sum(day.calls for day in days) == whole.calls
    assert sum(day.revenue for day in days) == whole.revenue
    assert sum(day.cost for day in days) == whole.cost
    assert sum(day.failures for day in days) == whole.failures


def test_days_without_calls_are_in_the_chart_as_zero(alice: Person) -> None:
    record_calls(make_report(alice, NOON), make_report(alice, NOON - timedelta(days=2)))
    days = earnings.by_day(Window.ending("7d", NOON), "USD")
    assert [day.day for day, _figures in days] == [14, 15, 16, 17, 18, 19, 20]
    assert [figures.calls for _day, figures in days] == [0, 0, 0, 0, 1, 0, 1]


def test_a_window_is_compared_with_the_same_stretch_of_the_clock_before() -> None:
    today, week = Window.ending("today", NOON), Window.ending("7d", NOON)
    assert (today.start, today.end) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 20, 13, tzinfo=UTC),
    )
    assert (today.before.start, today.before.end) == (
        datetime(2026, 11, 19, tzinfo=UTC),
        datetime(2026, 11, 19, 13, tzinfo=UTC),
    )
    assert week.start == datetime(2026, 11, 14, tzinfo=UTC)
    assert week.before.end == datetime(2026, 11, 13, 13, tzinfo=UTC)
    assert Window.ending("a year", NOON).key == "7d"


def test_three_calls_after_two_are_fifty_percent_more(alice: Person, olivia: Client) -> None:
    now = timezone.now()
    record_calls(*(make_report(alice, now) for _ in range(3)))
    record_calls(*(make_report(alice, now - timedelta(days=7, minutes=1)) for _ in range(2)))
    calls = card(shown(olivia, range="7d"), "Calls")
    assert (calls.value, calls.change, calls.good) == (3, Decimal(50), True)


def test_more_errors_are_bad_news_and_counted_in_points(alice: Person, olivia: Client) -> None:
    now = timezone.now()
    record_calls(make_report(alice, now), make_failure(alice, now))
    record_calls(*(make_report(alice, now - timedelta(days=7, minutes=1)) for _ in range(2)))
    rate = card(shown(olivia, range="7d"), "Error rate")
    assert (rate.value, rate.change, rate.in_points, rate.good) == (Decimal(50), Decimal(50), True, False)


def test_without_a_period_before_there_is_nothing_to_compare_with(alice: Person, olivia: Client) -> None:
    record_calls(make_report(alice))
    assert card(shown(olivia), "Calls").change is None
    assert "Nothing to compare with" in text_of(olivia.get("/admin/"))


def test_a_call_sold_below_cost_shows_a_negative_margin_in_red(bob: Person, olivia: Client) -> None:
    record_calls(make_report(bob, upstream="local", upstream_nano=3_000_000_000))
    dashboard = shown(olivia, range="today")
    assert card(dashboard, "Margin").value < 0
    assert dashboard["models"][0].figures.margin < 0
    assert re.search(r'<td class="tp-bad">\s*<span title="-\$', olivia.get("/admin/").content.decode())


def test_margin_percent_of_no_revenue_is_none_not_zero() -> None:
    assert Figures(cost=5).margin_percent is None
    assert Figures(revenue=200, cost=50).margin_percent == Decimal(75)
    assert Figures().error_percent is None


def test_dollars_and_won_are_never_added_up(alice: Person, olivia: Client) -> None:
    seoul = make_person("Minjun", "free", currency="KRW")
    at = today_at(0)
    record_calls(make_report(alice, at), make_report(alice, at), make_report(seoul, at, {}))
    assert shown(olivia)["currencies"] == ["USD", "KRW"]
    assert card(shown(olivia), "Calls").value == 2
    assert card(shown(olivia, currency="KRW"), "Calls").value == 1
    assert shown(olivia, currency="<script>")["currency"] == "USD"


def test_top_accounts_and_models_are_ordered_by_revenue(traffic: None, olivia: Client) -> None:
    dashboard = shown(olivia, range="30d")
    assert [share.name for share in dashboard["accounts"]] == ["Alice", "Bob"]
    assert dashboard["models"][0].name == LLAMA
    by_hand = sql(
        "SELECT sum(nano_cost) FROM billing_usageevent WHERE model = %s"
        " AND occurred_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '29 days'",
        LLAMA,
    )
    assert dashboard["models"][0].figures.revenue == by_hand[0]


def test_eleven_accounts_give_a_top_ten(price_list: None, olivia: Client) -> None:
    people = [make_person(f"Person{number}") for number in range(11)]
    record_calls(
        *(make_report(person, units={Unit.INPUT_TOKEN: 1000 + i}) for i, person in enumerate(people))
    )
    names = [share.name for share in shown(olivia)["accounts"]]
    assert len(names) == 10
    assert "Person0" not in names


def test_errors_are_listed_by_upstream_model_and_code(bob: Person, olivia: Client) -> None:
    at = today_at(0)
    record_calls(
        make_failure(bob, at),
        make_failure(bob, at),
        make_report(bob, at, {}, model=LLAMA, upstream="hf-router", status=504, error="upstream_timeout"),
        make_report(bob, at, {}, status=0, kind="abandoned"),
        make_report(bob, at),
    )
    rows = shown(olivia, range="7d")["failures"]
    assert [(row.upstream, row.status, row.code, row.calls) for row in rows] == [
        ("local", 502, "upstream_error", 2),
        ("hf-router", 504, "upstream_timeout", 1),
        ("local", 0, "", 1),
    ]


def test_all_is_well_when_nothing_waits(price_list: None, olivia: Client) -> None:
    assert [check.fine for check in shown(olivia)["checks"]] == [True, True, True, True]
    page = text_of(olivia.get("/admin/"))
    assert "Totals are up to date." in page
    assert "No usage in this period." in page


def test_an_hour_that_ended_and_was_not_rolled_up_is_an_alarm(alice: Person) -> None:
    now = timezone.now()
    RollupMark.objects.create(
        account_id=alice.account.pk, minute=now.replace(minute=0, second=0, microsecond=0)
    )
    assert alarms.checks(now)[0].fine
    RollupMark.objects.create(account_id=alice.account.pk, minute=now - timedelta(hours=2))
    late = alarms.checks(now)[0]
    assert not late.fine
    assert late.text.startswith("2 hours wait for their totals")


def test_a_dead_event_is_an_alarm_until_it_is_resolved(price_list: None, olivia: Client) -> None:
    record([("1-1", b"garbage")])
    assert "1 call could not be recorded" in text_of(olivia.get("/admin/"))
    DeadEvent.objects.update(resolved_at=timezone.now())
    assert "No dead usage events." in text_of(olivia.get("/admin/"))


def test_a_statement_frozen_for_more_than_ten_minutes_is_an_alarm(alice: Person) -> None:
    now = timezone.now()
    statement = Statement.objects.create(
        account=alice.account,
        period="2026-10",
        plan_version=alice.account.subscriptions.get().plan_version,
        currency="USD",
        starts_at=now,
        ends_at=now,
        created_at=now - timedelta(minutes=9),
    )
    assert alarms.checks(now)[2].fine
    assert not alarms.checks(now + timedelta(minutes=2))[2].fine
    assert statement.state == Statement.State.FROZEN


def test_sam_from_support_gets_the_menu_but_no_revenue(traffic: None) -> None:
    sam = staff_browser("Sam", "accounts.view_account")
    answer = sam.get("/admin/")
    assert answer.status_code == 200
    assert "dashboard" not in answer.context
    assert "Revenue" not in text_of(answer)


def test_alice_who_is_a_customer_is_refused(alice: Person) -> None:
    assert sign_in(alice).get("/admin/", follow=True).status_code == 403


def test_the_page_costs_the_same_for_three_hours_and_for_three_hundred(
    traffic: None, olivia: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert UsageHour.objects.count() >= 80
    with django_assert_max_num_queries(20):
        olivia.get("/admin/")


def test_the_charts_have_a_table_for_who_cannot_see_them(traffic: None, olivia: Client) -> None:
    page = olivia.get("/admin/").content.decode()
    assert page.count('role="img"') == 2
    assert page.count('<th scope="row">20') == 30
    # Amounts reach the drawing as decimal text, never as binary fractions.
    assert re.search(r"data-value=\"[^\"]*&quot;Revenue&quot;, &quot;data&quot;: \[&quot;\d", page)


def test_the_axis_of_money_has_plain_decimals_and_the_currency(traffic: None, olivia: Client) -> None:
    """Chart.js writes 3.0E-6 of itself for a day that earned so little."""
    board = shown(olivia)
    axis = json.loads(board["money_options"])["scales"]["y"]["ticks"]["format"]
    assert axis == {
        "notation": "standard", "style": "currency", "currency": "USD", "maximumFractionDigits": 12,
    }  # fmt: skip
    assert json.loads(board["calls_options"])["scales"]["y"]["ticks"]["precision"] == 0


def test_in_korean_the_dashboard_opens_too(traffic: None, olivia: Client) -> None:
    assert olivia.get("/admin/", headers={"accept-language": "ko"}).status_code == 200
