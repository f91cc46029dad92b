"""/api/v1: usage, single calls, account, plans and invoices, which are only read; and members."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.ids import uuid7
from accounts.keys import issue_key
from accounts.models import Membership, Role
from billing.credit_notes import credit_statement
from billing.explorer import GROUPS
from billing.invoicing import close_period
from billing.metering import record
from billing.models import CreditNote, Statement
from billing.payments import payment_provider
from billing.period import BillingPeriod
from billing.pricing import Unit
from billing.subscriptions import change_plan
from tests.billing.people import PERIOD, on_plan_since
from tests.browsing import join, sign_in
from tests.factories import EMBEDDING_MODEL, Person, make_failure, make_person, make_report, record_calls
from tests.gateway.test_api_management import send, with_key

MILLISECOND, DAY = timedelta(milliseconds=1), timedelta(days=1)
COST = 560  # of the call that `make_report` makes, in nano-units


def get(client: Client, path: str, **headers: str) -> Any:
    """Return the answer's JSON; it must be 200."""
    answer = send(client, "GET", path, **headers)
    assert answer.status_code == 200, answer.content
    return answer.json()


def error_of(answer: Any, status: int) -> Any:
    """Return the error object; the status must be as said."""
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert error["request_id"] == answer["x-request-id"]
    return error


# --- Usage --------------------------------------------------------------------------------------------------


@pytest.fixture
def two_keys(alice: Person) -> str:
    """Three calls of Alice's key now, one that failed yesterday, and one of another key; returns that one's secret."""
    now = timezone.now()
    other, secret = issue_key(alice.account, "another")
    record_calls(
        *(make_report(alice, now) for _ in range(3)),
        make_failure(alice, now - DAY),
        make_report(alice, now, {Unit.INPUT_TOKEN: 100}, model=EMBEDDING_MODEL, key=str(other.pk)),
    )
    return secret


def test_alice_reads_what_her_account_used_by_model_key_and_day(alice: Person, two_keys: str) -> None:
    client = sign_in(alice)
    for group, rows in (("model", 2), ("key", 2), ("day", 2)):
        said = get(client, f"usage?group={group}")
        assert (said["object"], said["group"], said["currency"]) == ("usage", group, "USD")
        assert len(said["data"]) == rows
        assert {frozenset({"model", "key", "day"} & set(row)) for row in said["data"]} == {frozenset({group})}
        for name, total in said["total"].items():
            assert total == sum(row[name] for row in said["data"]), name
        assert (said["total"]["calls"], said["total"]["failures"], said["still_counting"]) == (5, 1, False)
        assert said["total"]["cost_nano"] > 3 * COST
    assert said["data"][0]["day"] == f"{timezone.now():%Y-%m-%d}"


def test_a_key_reads_its_own_usage_and_no_others(alice: Person, two_keys: str) -> None:
    own = get(Client(), "usage?group=key", **with_key(alice))
    assert [row["key"] for row in own["data"]] == [str(alice.key.pk)]
    assert (own["total"]["calls"], own["total"]["cost_nano"]) == (4, 3 * COST)
    other = get(Client(), "usage", Authorization=f"Bearer {two_keys}")
    assert (other["total"]["calls"], other["total"]["input_tokens"]) == (1, 100)


def test_days_make_a_range_with_or_without_saying_so(alice: Person, two_keys: str) -> None:
    today = f"{timezone.now():%Y-%m-%d}"
    for query in (f"range=custom&from={today}&to={today}", f"from={today}&to={today}"):
        assert get(sign_in(alice), f"usage?{query}")["total"]["calls"] == 4
    assert (
        get(sign_in(alice), "usage?range=period")["start"]
        == f"{BillingPeriod.containing(timezone.now())}-01T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("range=year", "range"), ("group=colour", "group"), ("gruop=key", "gruop"), ("from=yesterday", "YYYY-MM-DD"),
        ("from=2026-11-02&to=2026-11-01", "Swap them"), ("from=2020-01-01&to=2026-01-01", "366 days"),
        ("range=7d&from=2026-11-01", "custom"),
    ],
)  # fmt: skip
def test_a_wrong_question_about_usage_is_400_and_says_what_to_ask(
    alice: Person, query: str, word: str
) -> None:
    error = error_of(send(sign_in(alice), "GET", f"usage?{query}"), 400)
    assert word in error["message"]
    assert (error["code"], error["type"]) == ("invalid_request", "invalid_request_error")
    assert error["param"] in ("range", "group", "gruop", "from")


def test_usage_says_when_calls_are_still_to_be_counted(alice: Person) -> None:
    record([("1-1", make_report(alice).to_json())])
    assert get(sign_in(alice), "usage")["still_counting"] is True


# --- Single calls -------------------------------------------------------------------------------------------


def test_pages_of_calls_have_each_call_once_newest_first(alice: Person) -> None:
    now = timezone.now().replace(microsecond=0) - DAY
    reports = [
        make_report(alice, now + (number // 4) * MILLISECOND) for number in range(30)
    ]  # four each moment
    record_calls(*reports)
    client, path, seen, pages = sign_in(alice), "requests?limit=3", [], 0
    while path:
        page = get(client, path)
        seen += page["data"]
        pages += 1
        path = page["next_before"] and f"requests?limit=3&before={page['next_before'].replace('+', '%2B')}"
    assert [row["id"] for row in seen] == sorted((report.rid for report in reports), reverse=True)
    assert pages == 7  # each ends with a moment, and the first has two of its own


def test_the_last_page_says_that_nothing_is_left(alice: Person) -> None:
    assert get(sign_in(alice), "requests") == {"object": "list", "data": [], "next_before": None}
    record_calls(*(make_report(alice) for _ in range(3)))
    for limit in (3, 4):
        page = get(sign_in(alice), f"requests?limit={limit}")
        assert (len(page["data"]), page["next_before"]) == (3, None)


def test_a_call_is_told_with_what_it_used_and_cost(alice: Person) -> None:
    report = make_report(alice, stream=True, first_byte_ms=12)
    record_calls(report)
    for client, headers in ((sign_in(alice), {}), (Client(), with_key(alice))):
        call = get(client, f"requests/{report.rid}", **headers)
        assert (call["id"], call["key"], call["model"]) == (report.rid, str(alice.key.pk), report.model)
        assert (call["status"], call["kind"], call["stream"], call["error"]) == (200, "final", True, "")
        assert (call["input_tokens"], call["output_tokens"], call["cost_nano"]) == (12, 8, COST)
        assert sum(unit["cost_nano"] for unit in call["units"].values()) == COST
        assert call["units"]["output_token"]["quantity"] == 8
        assert (call["latency_ms"], call["first_byte_ms"], call["currency"]) == (180, 12, "USD")


def test_of_a_call_that_was_given_up_and_settled_late_the_late_record_is_told(bob: Person) -> None:
    late = make_report(bob, kind="late")
    record_calls(late, make_report(bob, units={}, rid=late.rid, kind="abandoned", status=499))
    assert get(sign_in(bob), f"requests/{late.rid}")["kind"] == "late"


def test_calls_of_others_and_calls_that_never_were_are_404(alice: Person, bob: Person, two_keys: str) -> None:
    report = make_report(alice)
    record_calls(report)
    askers: list[tuple[Client, dict[str, str]]] = [
        (sign_in(bob), {}), (Client(), with_key(bob)), (Client(), {"Authorization": f"Bearer {two_keys}"}),
    ]  # fmt: skip
    for client, headers in askers:
        answer = send(client, "GET", f"requests/{report.rid}", **headers)
        assert error_of(answer, 404)["code"] == "not_found"
    for nothing in (uuid7(), "01234567-89ab-4def-8123-456789abcdef"):
        error_of(send(sign_in(alice), "GET", f"requests/{nothing}"), 404)
    assert get(sign_in(bob), "requests")["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", "before=noon", "page=2"])
def test_a_wrong_question_about_calls_is_400(alice: Person, query: str) -> None:
    assert (
        query.partition("=")[0] in error_of(send(sign_in(alice), "GET", f"requests?{query}"), 400)["message"]
    )


# --- Account and plans --------------------------------------------------------------------------------------


def test_alice_reads_her_account_with_plan_and_use(alice: Person) -> None:
    record_calls(make_report(alice), make_failure(alice))
    for client, headers in ((sign_in(alice), {}), (Client(), with_key(alice))):
        said = get(client, "account", **headers)
        assert (said["id"], said["kind"], said["plan"]["plan"]) == (str(alice.account.pk), "personal", "pro")
        period = said["period"]
        assert (period["calls"], period["cost_nano"], period["charged_nano"]) == (1, COST, 0)
        assert (period["key"], said["coming_plan"]) == (BillingPeriod.containing(timezone.now()).key, None)
        assert period["included_credit_nano"] == said["plan"]["included_credit_nano"] == 2 * 10**9


def test_a_change_of_plan_that_is_agreed_is_told(alice: Person) -> None:
    change_plan(alice.account, "free")
    said = get(sign_in(alice), "account")
    assert (said["plan"]["plan"], said["coming_plan"]["plan"]) == ("pro", "free")
    assert said["coming_plan"]["at"] == said["period"]["end"]


def test_anybody_reads_the_price_list(price_list: None) -> None:
    free, pro, enterprise = get(Client(), "plans")["data"]
    assert [plan["plan"] for plan in (free, pro, enterprise)] == ["free", "pro", "enterprise"]
    assert (free["price_minor"], pro["price_minor"], enterprise["price_minor"]) == (0, 900, None)
    assert (free["pay_as_you_go"], pro["pay_as_you_go"], enterprise["by_agreement"]) == (False, True, True)
    assert (free["calls_per_period"], pro["requests_per_minute"], enterprise["calls_per_period"]) == (
        1000,
        600,
        None,
    )


def test_plans_are_in_the_currency_that_is_asked_for_or_ones_own(db: None, price_list: None) -> None:
    assert get(Client(), "plans?currency=KRW")["data"][1]["currency"] == "KRW"
    hana = make_person("Hana", currency="KRW")
    for client, headers in ((sign_in(hana), {}), (Client(), with_key(hana))):
        assert {plan["currency"] for plan in get(client, "plans", **headers)["data"]} == {"KRW"}
    error = error_of(send(Client(), "GET", "plans?currency=XYZ"), 400)
    assert "USD" in error["message"]


# --- Invoices -----------------------------------------------------------------------------------------------


@pytest.fixture
def issued(alice: Person) -> Statement:
    """Alice's statement of the last month: 9.00 for Pro, 2.47 of usage, 2.00 of it covered by credit."""
    on_plan_since(PERIOD.previous.start, alice)
    record_calls(make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 247 * 500_000}))
    statement = close_period(alice.account, PERIOD)
    assert statement
    return payment_provider().issue(statement)


def test_alice_reads_her_invoice_line_by_line(alice: Person, issued: Statement) -> None:
    client = sign_in(alice)
    (listed,) = get(client, "invoices")["data"]
    assert (listed["number"], listed["total_minor"], listed["due_minor"]) == (issued.number, 947, 947)
    assert (listed["state"], listed["currency"], listed["period"]) == ("finalized", "USD", PERIOD.key)
    whole = get(client, f"invoices/{listed['id']}")
    assert {name: whole[name] for name in listed} == listed
    assert [(line["kind"], line["amount_minor"]) for line in whole["lines"]] == [
        ("plan", 900), ("usage", 247), ("credit", -200),
    ]  # fmt: skip
    usage = whole["lines"][1]
    assert (usage["unit"], usage["quantity"], usage["unit_price"]) == (
        "input_token", 247 * 500_000, "0.000000020000000",
    )  # fmt: skip
    assert usage["amount_nano"] == 2_470_000_000
    assert whole["pdf_url"].startswith(settings.SITE_URL)
    path = whole["pdf_url"].removeprefix(settings.SITE_URL.rstrip("/"))
    assert client.get(path)["Content-Type"] == "application/pdf"


def test_what_a_credit_note_took_off_is_no_longer_due(alice: Person, issued: Statement) -> None:
    line = issued.lines.get(kind="plan")
    note = credit_statement(issued, {line.pk: 100}, reason=CreditNote.Reason.MISTAKE, reference="test")
    whole = get(sign_in(alice), f"invoices/{issued.pk}")
    assert (whole["total_minor"], whole["due_minor"]) == (947, 847)
    assert [(it["number"], it["total_minor"]) for it in whole["credit_notes"]] == [(note.number, 100)]


def test_a_statement_that_is_not_issued_is_not_there(alice: Person) -> None:
    on_plan_since(PERIOD.previous.start, alice)
    statement = close_period(alice.account, PERIOD)
    assert statement
    assert statement.number is None
    assert get(sign_in(alice), "invoices")["data"] == []
    error_of(send(sign_in(alice), "GET", f"invoices/{statement.pk}"), 404)


def test_a_list_of_invoices_takes_as_many_queries_for_two_as_for_one(
    alice: Person, issued: Statement
) -> None:
    client, counts = sign_in(alice), []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            get(client, "invoices")
        counts.append(len(queries))
        again = Statement.objects.get(pk=issued.pk)
        again.pk, again.sequence = uuid7(), 2 + len(counts)
        again.number = f"TP-2026-99999{len(counts)}"
        again.save(force_insert=True)
    assert counts[0] == counts[1]


# --- Members ------------------------------------------------------------------------------------------------


def test_alice_adds_bob_gives_him_another_role_and_removes_him(alice: Person, bob: Person) -> None:
    client = sign_in(alice)
    made = send(client, "POST", "members", {"email": "BOB@example.com", "role": "viewer"})
    assert made.status_code == 201
    assert (made.json()["email"], made.json()["role"]) == ("bob@example.com", "viewer")
    one = f"members/{made.json()['id']}"
    assert send(client, "PATCH", one, {"role": "billing"}).json()["role"] == "billing"
    assert [row["role"] for row in get(client, "members")["data"]] == ["owner", "billing"]
    assert send(client, "DELETE", one).status_code == 204
    assert len(get(client, "members")["data"]) == 1


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"email": "nobody@example.com"}, "signed up"), ({"email": "alice@example.com"}, "already"),
        ({"email": "bob"}, "email"), ({"role": "king"}, "role"), ({"rolle": "viewer"}, "rolle"),
    ],
)  # fmt: skip
def test_a_wrong_member_is_400_and_nobody_is_added(
    alice: Person, bob: Person, wrong: dict[str, str], word: str
) -> None:
    body = {"email": "bob@example.com", "role": "viewer"} | wrong
    assert word in error_of(send(sign_in(alice), "POST", "members", body), 400)["message"]
    assert Membership.objects.filter(account=alice.account).count() == 1


def test_the_last_owner_stays_and_an_admin_makes_no_owners(alice: Person, bob: Person) -> None:
    owner = Membership.objects.get(account=alice.account)
    for method, body in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert "owner" in error_of(send(sign_in(alice), method, f"members/{owner.pk}", body), 403)["message"]
    admin = join(bob, alice.account, Role.ADMIN)
    client = sign_in(bob, alice.account)
    assert (
        "owner" in error_of(send(client, "PATCH", f"members/{admin.pk}", {"role": "owner"}), 400)["message"]
    )
    error_of(send(client, "PATCH", f"members/{owner.pk}", {"role": "viewer"}), 403)
    error_of(send(client, "DELETE", f"members/{owner.pk}"), 403)
    owner.refresh_from_db()
    assert owner.role == Role.OWNER


def test_a_viewer_may_leave_and_remove_nobody(alice: Person, bob: Person, dave: Person) -> None:
    me, other = join(bob, alice.account, Role.VIEWER), join(dave, alice.account, Role.VIEWER)
    client = sign_in(bob, alice.account)
    error_of(send(client, "DELETE", f"members/{other.pk}"), 403)
    assert send(client, "DELETE", f"members/{me.pk}").status_code == 204


# --- Who may ------------------------------------------------------------------------------------------------

MAY_READ: dict[str, set[str]] = {
    Role.OWNER: {"account", "usage", "requests", "members", "invoices"},
    Role.ADMIN: {"account", "usage", "requests", "members", "invoices"},
    Role.BILLING: {"account", "usage", "requests", "members", "invoices"},
    Role.DEVELOPER: {"account", "usage", "requests", "members"},
    Role.VIEWER: {"account", "usage", "requests", "members"},
}


@pytest.mark.parametrize("role", MAY_READ)
def test_each_role_reads_what_its_table_says(alice: Person, role: str) -> None:
    erin = make_person("Erin")
    join(erin, alice.account, role)
    client = sign_in(erin, alice.account)
    for path in MAY_READ[Role.OWNER]:
        assert send(client, "GET", path).status_code == (200 if path in MAY_READ[role] else 403), path
    added = send(client, "POST", "members", {"email": "nobody@example.com", "role": "viewer"})
    assert added.status_code == (400 if role in (Role.OWNER, Role.ADMIN) else 403)


@pytest.mark.parametrize("path", ["requests", "members", "invoices"])
def test_a_key_is_told_of_no_other_keys_calls_of_nobody_and_of_no_invoice(alice: Person, path: str) -> None:
    error = error_of(send(Client(), "GET", path, **with_key(alice)), 403)
    assert (error["code"], error["scope"]) == ("permission_denied", "key")


@pytest.mark.parametrize("path", ["account", "usage", "requests", "members", "invoices"])
def test_nobody_and_mallory_get_401(mallory: Person, path: str) -> None:
    for headers in ({}, with_key(mallory)):
        assert error_of(send(Client(), "GET", path, **headers), 401)["code"] == "invalid_api_key"


def test_dave_sees_404_for_alices_members_and_invoices(
    alice: Person, dave: Person, issued: Statement
) -> None:
    client, member = sign_in(dave), Membership.objects.get(account=alice.account)
    error_of(send(client, "GET", f"invoices/{issued.pk}"), 404)
    asks: list[Callable[[], Any]] = [
        lambda: send(client, "PATCH", f"members/{member.pk}", {"role": "viewer"}),
        lambda: send(client, "DELETE", f"members/{member.pk}"),
    ]
    for ask in asks:
        error_of(ask(), 404)
    assert Membership.objects.filter(pk=member.pk).exists()
    assert get(client, "invoices")["data"] == []


def test_every_group_that_the_screen_has_is_there(alice: Person) -> None:
    for group in GROUPS:
        assert get(sign_in(alice), f"usage?group={group}")["data"] == []
