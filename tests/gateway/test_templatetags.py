"""How figures, times, icons and the frame are written: the template tags that every screen uses."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from django.utils.translation import override

from gateway.templatetags import figures, formats, frame


def render(source: str, **context: Any) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize(
    ("nano", "currency", "written"),
    [
        (2_000_000_000, "USD", "$2.00"),
        (4_999_999, "USD", "$0.00"),
        (5_000_000, "USD", "$0.01"),
        (-1_500_000_000, "USD", "-$1.50"),
        (1_234_567_890_000, "USD", "$1,234.57"),
        (12_900_000_000_000, "KRW", "₩12,900"),
        (500_000_000, "JPY", "¥1"),
        (None, "USD", "—"),
    ],
)
def test_a_total_has_its_currencys_digits_rounded_half_up(
    nano: int | None, currency: str, written: str
) -> None:
    assert formats.money(nano, currency) == written


@pytest.mark.parametrize(
    ("nano", "written"),
    [
        (12_500, "$0.0000125"),
        (1, "$0.000000001"),
        (2_000_000_000, "$2.00"),
        (1_500_000_000, "$1.50"),
        (0, "$0.00"),
    ],
)
def test_one_calls_cost_keeps_every_digit(nano: int, written: str) -> None:
    assert formats.exact(nano, "USD") == written


def test_a_large_amount_loses_no_digit() -> None:
    assert formats.exact(9_007_199_254_740_993_000_000_001, "USD") == "$9,007,199,254,740,993.000000001"


@pytest.mark.parametrize(
    ("amount", "currency", "short", "full"),
    [
        (900, "USD", "$9", "$9.00"),
        (950, "USD", "$9.50", "$9.50"),
        (0, "USD", "$0", "$0.00"),
        (12_900, "KRW", "₩12,900", "₩12,900"),
    ],
)
def test_a_price_list_leaves_empty_cents_out(amount: int, currency: str, short: str, full: str) -> None:
    assert formats.list_price(amount, currency) == short
    assert formats.minor(amount, currency) == full


@pytest.mark.parametrize(
    ("amount", "unit", "written"),
    [
        ("0.00000015", "input_token", "$0.15 per 1M input tokens"),
        ("0.0000000125", "cached_input_token", "$0.0125 per 1M cached input tokens"),
        ("0.00000060", "output_token", "$0.60 per 1M output tokens"),
        ("0.00012", "compute_second", "$0.00012 per compute second"),
        ("0.04", "image", "$0.04 per image"),
        ("2", "megapixel", "$2.00 / megapixel"),
    ],
)
def test_a_unit_price_keeps_all_digits_and_says_per_what(amount: str, unit: str, written: str) -> None:
    assert formats.unit_price(Decimal(amount), "USD", unit) == written


def test_minji_reads_korean_money_and_dates() -> None:
    with override("ko"):
        assert formats.money(2_000_000_000, "USD") == "US$2.00"
        assert formats.month(dt.date(2026, 11, 1)) == "2026년 11월"
        assert formats.day(dt.date(2026, 12, 1)) == "2026년 12월 1일"
        assert ">3분 전</time>" in formats.when(timezone.now() - dt.timedelta(minutes=3))


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (dt.timedelta(seconds=2), "just now"),
        (dt.timedelta(minutes=3), "3 minutes ago"),
        (dt.timedelta(hours=23), "23 hours ago"),
        (dt.timedelta(days=-3, seconds=-5), "in 3 days"),
    ],
)
def test_a_moment_is_a_distance_on_screen_and_exact_in_its_title(ago: dt.timedelta, words: str) -> None:
    moment = timezone.now() - ago
    written = formats.when(moment)
    assert f">{words}</time>" in written
    assert f'title="{moment:%Y-%m-%d %H:%M:%S} UTC"' in written
    assert 'tabindex="0"' in written


def test_a_moment_of_long_ago_is_a_date_and_a_seoul_evening_is_the_utc_day() -> None:
    assert ">Jan 5, 2024</time>" in formats.when(dt.datetime(2024, 1, 5, 12, tzinfo=dt.UTC))
    seoul = dt.timezone(dt.timedelta(hours=9))
    assert formats.day(dt.datetime(2026, 12, 1, 3, tzinfo=seoul)) == "Nov 30, 2026"


@pytest.mark.parametrize(
    ("change", "written"), [(12.52, "+12.5%"), (Decimal(-3), "−3%"), (0, "0%"), (0.04, "0%"), (None, "—")]
)
def test_a_change_carries_its_sign(change: Any, written: str) -> None:
    assert formats.signed_percent(change) == written


def test_a_meter_of_bob_at_his_limit_is_full_and_not_before() -> None:
    assert figures.meter_shape(999, 1000)["state"] == "near"
    assert figures.meter_shape(999, 1000)["percent"] == 99
    assert figures.meter_shape(1000, 1000)["state"] == "full"
    assert figures.meter_shape(0, None)["percent"] == 0


def test_a_meter_past_the_included_amount_splits_at_it() -> None:
    shape = figures.meter_shape(1500, 1000, 2000)
    assert shape["used"] == shape["included"] == pytest.approx(49.5, abs=0.1)
    assert shape["over"] == pytest.approx(24.75, abs=0.1)
    assert shape["forecast"] == pytest.approx(99, abs=0.1)


def test_an_icon_without_a_label_is_hidden_and_with_one_is_an_image() -> None:
    assert 'aria-hidden="true"' in render('{% icon "key-round" %}')
    assert 'role="img" aria-label="a&quot;b"' in render("{% icon 'check' label %}", label='a"b')
    with pytest.raises(KeyError, match=r"copy lucide.s no-such\.svg"):
        figures.icon("no-such")


def test_a_sparkline_of_nothing_but_zeros_stays_on_the_ground() -> None:
    assert figures.sparkline([5]) == ""
    assert 'points="0.0,18.0 72.0,18.0"' in figures.sparkline([0, 0])


def test_chart_data_becomes_table_rows_and_cannot_close_its_script() -> None:
    data = {"labels": ["Mon", "Tue"], "series": [{"name": "</script>", "values": [1, 2]}]}
    assert figures.chart_rows(data) == [("Mon", [1]), ("Tue", [2])]
    assert "</script>" not in figures.chart_json(data, "calls").removesuffix("</script>")


@pytest.mark.parametrize(
    ("cookie", "theme"), [("dark", "turnpike-dark"), ("light", "turnpike-light"), ('"><script>', "")]
)
def test_the_theme_is_the_cookies_and_nothing_else_a_cookie_may_hold(cookie: str, theme: str) -> None:
    request = RequestFactory().get("/")
    request.COOKIES["theme"] = cookie
    assert frame.theme(Context({"request": request})) == theme


@pytest.mark.parametrize(
    ("query", "aria", "following"),
    [
        ("", "none", "-cost"),
        ("?sort=-cost", "descending", "cost"),
        ("?sort=cost", "ascending", "-cost"),
        ("?sort=name", "none", "-cost"),
    ],
)
def test_a_column_head_sorts_largest_first_then_the_other_way(query: str, aria: str, following: str) -> None:
    state = frame.sort_state(Context({"request": RequestFactory().get(f"/usage/{query}")}), "cost")
    assert (state.aria, state.next) == (aria, following)


def test_the_rail_leads_only_to_places_that_exist_and_marks_the_current_one() -> None:
    context = Context({"request": RequestFactory().get("/keys/new/")})
    places = frame.rail(context)
    assert [place.url for place in places if place.current] == ["/keys/"]
    assert all(place.url.startswith("/") for place in places)
    assert frame.url_or_empty("no-such-route") == ""


class KeyForm(forms.Form):
    name = forms.CharField(help_text="What uses this key.")


def test_a_field_in_error_is_tied_to_its_help_and_its_error() -> None:
    html = render(
        "<c-field :field='field' />".replace("<c-field", "{% cotton field").replace("/>", "/ %}"),
        field=KeyForm({"name": ""})["name"],
    )
    assert 'aria-describedby="id_name_help id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_name_error"' in html


def test_mallorys_key_name_cannot_break_out_of_a_component() -> None:
    source = "{% cotton card title='{{ name }}' %}{% endcotton %}"
    assert "<script>" not in render(source, name='"><script>alert(1)</script>')
