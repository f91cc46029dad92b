"""The usage screen: its totals, rows, chart and CSV are the same numbers, and those of the hourly totals."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.keys import issue_key
from accounts.models import ApiKey
from billing.call_log import latest_calls
from billing.models import RollupMark, UsageHour, UsagePeriod
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.ranges import Range, RangeError, read_range
from tests.browsing import sign_in, text_of
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person, make_failure, make_report, record_calls

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 18, 40, tzinfo=UTC)


def many_tokens(person: Person, at: datetime | None = None, model: str = CHAT_MODEL) -> Any:
    """A call of 1,000,000 tokens in and 500,000 out."""
    return make_report(person, at, {Unit.INPUT_TOKEN: 1_000_000, Unit.OUTPUT_TOKEN: 500_000}, model=model)


def csv_of(client: Client, query: dict[str, str]) -> list[dict[str, str]]:
    """The rows of the CSV export."""
    answer = client.get("/usage/export.csv", query)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


@pytest.mark.parametrize("group", ["model", "key", "day"])
def test_alices_totals_are_the_sum_of_rows_of_the_chart_of_the_csv_and_of_the_ledger(
    alice: Person, group: str
) -> None:
    now = timezone.now()
    second, _ = issue_key(alice.account, "Shop backend")
    record_calls(
        many_tokens(alice, now),
        many_tokens(alice, now - DAY, EMBEDDING_MODEL),
        make_report(alice, now - DAY, key=str(second.pk)),
        make_report(alice, now - 2 * DAY, key=None),
        make_failure(alice, now - 2 * DAY),
    )
    client, query = sign_in(alice), {"range": "7d", "group": group, "metric": "cost"}
    context = client.get("/usage/", query).context
    ledger = UsageHour.objects.filter(account=alice.account).aggregate(
        calls=Sum("calls"), failures=Sum("failures"), nano=Sum("nano_cost")
    )
    total, rows = context["total"], [figures for _, figures in context["rows"]]
    assert ledger["calls"] == 5
    assert (total.calls, total.failures, total.nano) == (5, 1, ledger["nano"])
    for field in ("calls", "failures", "nano", "input_tokens", "output_tokens"):
        assert sum(getattr(row, field) for row in rows) == getattr(total, field)
    assert sum(sum(series["values"]) for series in context["chart"]["series"]) == total.nano
    *lines, last = csv_of(client, query)
    assert len(lines) == len(rows)
    assert last[group] == "total"
    for field in ("calls", "failures", "input_tokens", "output_tokens"):
        assert sum(int(line[field]) for line in lines) == int(last[field]) == getattr(total, field)
    assert (
        round(sum(float(line["cost"]) for line in lines) * 1e9)
        == round(float(last["cost"]) * 1e9)
        == total.nano
    )


def test_the_page_asks_the_database_no_more_often_for_more_usage(
    alice: Person, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client, now = sign_in(alice), timezone.now()
    record_calls(make_report(alice))
    with CaptureQueriesContext(connection) as few:
        client.get("/usage/", {"group": "key"})
    record_calls(*(make_report(alice, now - timedelta(hours=n), model=f"org/{n}") for n in range(40)))
    with django_assert_num_queries(len(few)):
        client.get("/usage/", {"group": "key"})


def test_the_chart_of_tokens_holds_numbers_not_texts(alice: Person) -> None:
    record_calls(many_tokens(alice))
    page = sign_in(alice).get("/usage/", {"metric": "tokens", "range": "24h"}).content.decode()
    data = re.search(r'<script id="usage-data" type="application/json">(.*?)</script>', page)
    assert data
    (series,) = json.loads(data[1])["series"]
    assert series["values"] == [0] * 23 + [1_500_000]


def test_tokens_from_the_cache_count_as_tokens_in(alice: Person) -> None:
    units = {Unit.INPUT_TOKEN: 10, Unit.CACHED_INPUT_TOKEN: 30, Unit.OUTPUT_TOKEN: 5}
    record_calls(make_report(alice, units=units))
    context = sign_in(alice).get("/usage/").context
    assert (context["total"].input_tokens, context["total"].output_tokens) == (40, 5)
    assert context["latest"][0].input_tokens == 40


def test_a_hand_calculated_call_costs_what_the_price_book_says(alice: Person) -> None:
    record_calls(many_tokens(alice))  # $0.02 a million in, $0.04 a million out
    assert "$0.04" in text_of(sign_in(alice).get("/usage/"))
    assert csv_of(sign_in(alice), {})[0] == {
        "model": CHAT_MODEL,
        "calls": "1",
        "failures": "0",
        "input_tokens": "1000000",
        "output_tokens": "500000",
        "cost": "0.04",
        "currency": "USD",
    }


def test_this_period_equals_the_period_total_that_the_statement_will_use(alice: Person) -> None:
    period = BillingPeriod.containing(timezone.now())
    record_calls(
        many_tokens(alice),
        # A call held in the last instant of this period counts to it, wherever its hour falls.
        make_report(alice, period.start - timedelta(seconds=1), period=period.key),
        make_report(alice, period.start - timedelta(seconds=1)),
    )
    total = sign_in(alice).get("/usage/", {"range": "period"}).context["total"]
    stored = UsagePeriod.objects.get(account=alice.account, period=period.key)
    assert (total.calls, total.nano) == (stored.calls, stored.nano_cost)
    assert total.calls == 2


def test_a_card_compares_with_the_same_stretch_before(alice: Person) -> None:
    now = timezone.now()
    record_calls(
        *(make_report(alice, now) for _ in range(3)),
        make_report(alice, now - 8 * DAY),
        make_report(alice, now - 9 * DAY),
    )
    context = sign_in(alice).get("/usage/", {"range": "7d"}).context
    assert context["total"].calls == 3
    assert context["changes"]["calls"] == 50
    assert sign_in(alice).get("/usage/", {"range": "30d"}).context["changes"]["calls"] is None


def test_groups_by_key_show_the_keys_name_and_never_its_id(alice: Person) -> None:
    record_calls(make_report(alice))
    page = sign_in(alice).get("/usage/", {"group": "key"}).content.decode()
    assert f"Alice&#x27;s laptop · {alice.key.masked}" in page
    assert str(alice.key.pk) not in page


def test_more_than_five_models_share_a_series_called_other(alice: Person) -> None:
    record_calls(*(make_report(alice, model=f"org/model-{n}") for n in range(8)))
    chart = sign_in(alice).get("/usage/").context["chart"]
    assert [series["name"] for series in chart["series"]][5:] == ["Other"]
    assert sum(chart["series"][5]["values"]) == 3


def test_the_latest_20_calls_are_listed_newest_first_with_their_request_ids(alice: Person) -> None:
    now = timezone.now()
    reports = [make_report(alice, now - timedelta(seconds=n)) for n in range(25)]
    record_calls(*reports)
    page = sign_in(alice).get("/usage/")
    shown = [str(call.event.request_id) for call in page.context["latest"]]
    assert shown == [report.rid for report in reports[:20]]
    assert all(rid in page.content.decode() for rid in shown)
    assert (page.context["latest"][0].input_tokens, page.context["latest"][0].output_tokens) == (12, 8)


def test_a_failed_call_shows_its_status_and_costs_nothing(alice: Person) -> None:
    record_calls(make_failure(alice, status=504))
    text = text_of(sign_in(alice).get("/usage/"))
    assert "504 upstream_error" in text
    assert "100.0% of calls" in text
    (call,) = latest_calls(alice.account, 1)
    assert not call.succeeded
    assert call.event.nano_cost == 0


def test_the_latest_calls_are_read_in_an_indexs_order_so_that_reading_stops_after_them(alice: Person) -> None:
    """With a sort, every call of the account is read first: 17 seconds where there are ten million."""
    began = timezone.now() - timedelta(hours=2)
    late = make_report(alice, began, kind="late")
    record_calls(make_report(alice, began, {}, rid=late.rid, kind="abandoned", status=499), late)
    with CaptureQueriesContext(connection) as queries:
        assert [call.event.kind for call in latest_calls(alice.account, 2)] == ["late", "abandoned"]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # which a table of two rows is read by
        cursor.execute("EXPLAIN " + queries[0]["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Sort" not in plan, plan
    assert "account_id_occurred_at_idx" in plan, plan


def test_dave_sees_nothing_of_alices_usage_and_is_led_to_get_started(alice: Person, dave: Person) -> None:
    record_calls(many_tokens(alice))
    page = sign_in(dave).get("/usage/")
    assert page.context["total"].calls == 0
    assert CHAT_MODEL not in page.content.decode()
    assert "No calls yet" in text_of(page)
    assert 'href="/start/"' in page.content.decode()
    assert [row["calls"] for row in csv_of(sign_in(dave), {})] == ["0"]


def test_charlie_the_viewer_sees_alices_usage_while_he_works_in_her_account(
    alice: Person, charlie: Person
) -> None:
    record_calls(many_tokens(alice))
    assert sign_in(charlie, alice.account).get("/usage/").context["total"].calls == 1
    assert sign_in(charlie).get("/usage/").context["total"].calls == 0


def test_the_address_holds_the_whole_state_of_the_screen(alice: Person) -> None:
    record_calls(many_tokens(alice))
    page = (
        sign_in(alice).get("/usage/", {"range": "30d", "group": "day", "metric": "tokens"}).content.decode()
    )
    assert "?range=30d&amp;group=day&amp;metric=calls" in page
    assert "/usage/export.csv?range=30d&amp;group=day&amp;metric=tokens" in page


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("2026-11-20", "2026-11-01", "The first day is after the last"),
        ("2024-01-01", "2026-11-01", "at most 366 days"),
        ("yesterday", "", "Choose a first and a last day"),
        ("9999-12-31", "9999-12-31", "between the years 2000 and 2100"),
    ],
)
def test_days_that_make_no_range_are_answered_in_words(
    alice: Person, first: str, last: str, says: str
) -> None:
    query = {"range": "custom", "from": first, "to": last}
    page = sign_in(alice).get("/usage/", query)
    assert page.status_code == 200
    assert says in text_of(page)
    assert sign_in(alice).get("/usage/export.csv", query).status_code == 400


def test_nonsense_in_the_address_means_the_usual_view(alice: Person) -> None:
    look = (
        sign_in(alice).get("/usage/", {"range": "1e9", "group": "<script>", "metric": "joy"}).context["look"]
    )
    assert (look.span.key, look.group, look.metric) == ("7d", "model", "calls")


def test_a_key_name_that_is_a_formula_stays_text_in_a_spreadsheet(alice: Person) -> None:
    record_calls(make_report(alice))
    ApiKey.objects.filter(pk=alice.key.pk).update(name='=HYPERLINK("http://evil.example")')
    assert csv_of(sign_in(alice), {"group": "key"})[0]["key"].startswith("'=HYPERLINK")


def test_the_screen_says_when_calls_are_still_being_counted(alice: Person) -> None:
    record_calls(make_report(alice))
    assert "Last call counted" in text_of(sign_in(alice).get("/usage/"))
    RollupMark.objects.create(account_id=alice.account.pk, minute=timezone.now())
    assert "Counting the latest calls" in text_of(sign_in(alice).get("/usage/"))


def span(key: str, **query: str) -> Range:
    """The range as of NOW."""
    return read_range({"range": key} | query, NOW)


def test_the_last_24_hours_are_24_steps_and_the_running_hour_is_the_last() -> None:
    day = span("24h")
    assert len(day.buckets) == 24
    assert day.buckets[-1] == datetime(2026, 11, 23, 18, tzinfo=UTC)
    assert day.before == (day.start - DAY, day.start)


def test_seven_days_are_today_and_the_six_before() -> None:
    week = span("7d")
    assert [week.buckets[0].day, week.buckets[-1].day, len(week.buckets)] == [17, 23, 7]


def test_this_period_is_compared_with_as_much_of_the_month_before() -> None:
    november = span("period")
    assert november.start == datetime(2026, 11, 1, tzinfo=UTC)
    assert november.before == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 23, 19, tzinfo=UTC))
    # March's 31st day has no counterpart in February.
    march = read_range({"range": "period"}, datetime(2026, 3, 31, 12, tzinfo=UTC))
    assert march.before[1] == march.start


def test_a_custom_range_holds_both_of_its_days_whole() -> None:
    days = span("custom", **{"from": "2026-11-01", "to": "2026-11-02"})
    assert (days.start, days.end) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
    assert len(days.buckets) == 48
    assert days.last_day.day == 2


def test_an_hour_outside_of_the_range_falls_into_its_nearest_step() -> None:
    november = span("period")
    assert november.bucket_of(datetime(2026, 10, 31, 23, tzinfo=UTC)) == november.buckets[0]
    assert november.bucket_of(datetime(2026, 12, 1, 0, tzinfo=UTC)) == november.buckets[-1]


def test_a_range_without_days_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(RangeError, match="YYYY-MM-DD"):
        span("custom")
