"""The staff admin: who enters, what they see and may do, what nobody may, and what its pages may load."""

from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, ApiKey, User
from billing.models import UsageEvent
from tests.browsing import sign_in, staff_browser, text_of
from tests.factories import PASSWORD, Person, make_failure, make_report, record_calls
from tests.gateway.staff import address, confirm, fill

REGISTERED = sorted(model._meta.label for model in admin.site._registry)


# --- Who enters --------------------------------------------------------------------------------------------


def test_a_visitor_is_sent_to_the_common_sign_in_page_and_back(db: None, client: Client) -> None:
    answer = client.get("/admin/billing/statement/", follow=True)
    page = unquote(answer.redirect_chain[-1][0])
    assert page == f"{reverse('account_login')}?next=/admin/billing/statement/"


def test_olivia_signs_in_on_the_common_page_and_lands_on_the_dashboard(
    price_list: None, client: Client
) -> None:
    olivia = User.objects.create_superuser("olivia@staff.example", PASSWORD)
    EmailAddress.objects.create(user=olivia, email=olivia.email, verified=True, primary=True)
    sign_in_page = client.get("/admin/", follow=True).redirect_chain[-1][0]
    answer = client.post(sign_in_page, {"login": olivia.email, "password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/admin/"
    assert answer.context["dashboard"]


def test_alice_who_is_a_customer_gets_403(alice: Person) -> None:
    assert sign_in(alice).get("/admin/accounts/account/", follow=True).status_code == 403


def test_olivia_signs_out_of_the_admin_to_the_home_page(olivia: Client) -> None:
    answer = olivia.post("/admin/logout/")
    assert (answer.status_code, answer.headers["location"]) == (302, reverse("home"))
    assert olivia.get("/admin/").status_code == 302


def test_sam_from_support_sees_only_what_he_may(alice: Person) -> None:
    sam = staff_browser("Sam", "accounts.view_account", "accounts.view_apikey")
    menu = text_of(sam.get("/admin/"))
    assert "API keys" in menu
    assert "Statements" not in menu
    assert sam.get("/admin/billing/statement/").status_code == 403
    assert sam.get(address(alice.account)).status_code == 200


def test_sam_who_may_only_look_can_neither_suspend_nor_revoke(alice: Person) -> None:
    sam = staff_browser("Sam", "accounts.view_account", "accounts.view_apikey")
    assert "/suspend/" not in sam.get(address(alice.account)).content.decode()
    assert confirm(sam, alice.account, "suspend").status_code == 403
    assert confirm(sam, alice.key, "revoke").status_code == 403
    assert not Account.objects.exclude(suspended_at=None).exists()
    assert ApiKey.objects.get(pk=alice.key.pk).status == "active"


def test_rita_who_keeps_users_cannot_make_herself_a_superuser(olivia: Client, alice: Person) -> None:
    rita = staff_browser("Rita", "accounts.view_user", "accounts.change_user")
    me = User.objects.get(name="Rita")
    inlines = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    rita.post(
        address(me), {"name": "Rita", "language": "en", "is_active": "on", "is_superuser": "on", **inlines}
    )
    me.refresh_from_db()
    assert not me.is_superuser
    # Nor take over somebody who is one.
    boss = User.objects.get(name="Olivia")
    assert (
        rita.post(
            f"/admin/accounts/user/{boss.pk}/password/", {"password1": "x", "password2": "x"}
        ).status_code
        == 403
    )
    assert rita.get(f"/admin/accounts/user/{alice.user.pk}/password/").status_code == 200


# --- What its pages may load -------------------------------------------------------------------------------


def policy(answer: Any) -> dict[str, set[str]]:
    """The content security policy of an answer, by directive, nonces left out."""
    parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
    return {name: {it for it in values if not it.startswith("'nonce-")} for name, *values in parts}


def test_only_the_admin_may_evaluate_scripts_and_use_inline_styles(olivia: Client) -> None:
    inside = policy(olivia.get("/admin/"))
    assert inside["script-src"] == {"'self'", "'unsafe-eval'"}
    assert inside["style-src"] == {"'self'", "'unsafe-inline'"}


@pytest.mark.parametrize("page", ["/", "/accounts/login/", "/start/", "/keys/", "/no-such-page/"])
def test_every_other_page_keeps_the_strict_policy(alice: Person, page: str) -> None:
    for browser in (Client(), sign_in(alice)):
        outside = policy(browser.get(page))
        assert outside["script-src"] == {"'self'"}
        assert outside["style-src"] == {"'self'"}
        assert outside["default-src"] == {"'self'"}


def test_a_page_of_the_admin_that_refuses_keeps_the_strict_policy_too(alice: Person) -> None:
    answer = sign_in(alice).get("/admin/login/")
    assert answer.status_code == 403
    assert "'unsafe-eval'" not in answer.headers["content-security-policy"]


# --- Lists and pages ---------------------------------------------------------------------------------------


def test_every_model_of_ours_is_registered() -> None:
    ours = {
        model._meta.label
        for room in ("accounts", "billing", "gateway")
        for model in apps.get_app_config(room).get_models()
    }
    within_others = {
        "accounts.Membership",
        "billing.CreditNoteLine",
        "billing.JournalLine",
        "billing.StatementLine",
        "billing.UnitPrice",
        "billing.UsageMinute",  # what hours that fill are made of
    }
    assert ours - within_others <= set(REGISTERED)
    # Libraries bring plain admin classes along, some of which show secrets.
    assert not [label for label in REGISTERED if label.startswith("socialaccount.")]


def queries_of_lists(olivia: Client) -> dict[str, list[str]]:
    """Open every list and return the SQL that each took."""
    taken = {}
    for label in REGISTERED:
        with CaptureQueriesContext(connection) as queries:
            assert olivia.get(address(apps.get_model(label), "changelist")).status_code == 200, label
        taken[label] = [query["sql"] for query in queries.captured_queries]
    return taken


def test_every_list_opens_with_the_same_number_of_queries_for_more_rows(olivia: Client) -> None:
    fill(1)
    queries_of_lists(olivia)  # content types and the like are read once
    few = queries_of_lists(olivia)
    fill(3)
    many = queries_of_lists(olivia)
    assert {label: sql for label, sql in many.items() if len(sql) > len(few[label])} == {}
    # Not vacuous: the second time there was more to show.
    lonely = {label for label in REGISTERED if apps.get_model(label)._default_manager.count() < 2}
    assert lonely == {"billing.CreditNoteSeries", "billing.NumberSeries"}  # one row a year


def test_every_page_and_every_add_form_opens(olivia: Client) -> None:
    fill(1)
    request = olivia.get("/admin/").wsgi_request
    for label in REGISTERED:
        model = apps.get_model(label)
        row = model._default_manager.first()
        assert row is not None, f"fill() makes no {label}"
        assert olivia.get(address(row)).status_code == 200, label
        assert olivia.get(f"{address(model, 'changelist')}?q=something").status_code == 200, label
        may_add = admin.site._registry[model].has_add_permission(request)
        assert olivia.get(address(model, "add")).status_code == (200 if may_add else 403), label


HISTORY = [
    "billing.UsageEvent",
    "billing.UsageHour",
    "billing.UsagePeriod",
    "billing.UsageAllocation",
    "billing.Statement",
    "billing.PlanVersion",
    "billing.PriceVersion",
    "billing.Subscription",
    "billing.NumberSeries",
    "billing.CreditGrant",
    "billing.CreditBurn",
    "billing.CreditNote",
    "billing.CreditNoteSeries",
    "billing.Adjustment",
    "billing.JournalEntry",
    "billing.DeadEvent",
    "accounts.ApiKey",
]


def test_history_is_neither_edited_nor_deleted_even_by_a_superuser(olivia: Client) -> None:
    fill(2)
    for label in HISTORY:
        row = apps.get_model(label)._default_manager.first()
        assert row is not None, label
        assert olivia.post(address(row), {"calls": "1"}).status_code == 403, label
        assert olivia.post(address(row, "delete"), {"post": "yes"}).status_code == 403, label
        many = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
        olivia.post(address(type(row), "changelist"), many)
        assert type(row)._default_manager.filter(pk=row.pk).exists(), label


def test_nobody_deletes_an_account_or_a_person(olivia: Client, alice: Person) -> None:
    assert olivia.post(address(alice.account, "delete"), {"post": "yes"}).status_code == 403
    assert olivia.post(address(alice.user, "delete"), {"post": "yes"}).status_code == 403


def test_neither_the_secret_nor_the_digest_of_a_key_is_anywhere(olivia: Client, alice: Person) -> None:
    digest = bytes(ApiKey.objects.get(pk=alice.key.pk).digest)
    for page in (address(alice.key), address(ApiKey, "changelist"), address(alice.account)):
        text = olivia.get(page).content.decode()
        assert alice.key.masked in text
        assert alice.secret not in text
        assert digest.hex() not in text
        assert repr(digest) not in text


def test_the_secret_of_a_second_factor_is_not_shown(olivia: Client) -> None:
    fill(1)
    assert "JBSWY3DPEHPK3PXP" not in olivia.get(address(Authenticator.objects.get())).content.decode()


# --- The ledger --------------------------------------------------------------------------------------------


def test_the_list_of_calls_never_counts_the_whole_table(olivia: Client) -> None:
    fill(2)
    with CaptureQueriesContext(connection) as queries:
        olivia.get(address(UsageEvent, "changelist"))
    counts = [
        q["sql"]
        for q in queries.captured_queries
        if "COUNT(" in q["sql"] and "billing_usageevent" in q["sql"]
    ]
    assert counts
    assert all("LIMIT 10000" in sql for sql in counts)


def test_olivia_finds_a_call_by_its_request_id_in_one_partition(olivia: Client, alice: Person) -> None:
    wanted, other = make_report(alice), make_report(alice)
    record_calls(wanted, other)
    with CaptureQueriesContext(connection) as queries:
        page = text_of(olivia.get(address(UsageEvent, "changelist"), {"q": wanted.rid}))
    assert "1 usage event" in page
    # The id carries its time: Postgres looks into that month only.
    assert any("occurred_at" in q["sql"].partition("WHERE")[2] for q in queries.captured_queries)
    page = text_of(olivia.get(address(UsageEvent, "changelist"), {"q": "alice"}))
    assert "Search by a whole request id" in page
    assert "0 usage events" in page


def test_calls_are_narrowed_by_account_time_model_and_status(
    olivia: Client, alice: Person, bob: Person
) -> None:
    now = timezone.now()
    record_calls(make_report(alice, now), make_failure(bob, now), make_report(bob, now - timedelta(days=20)))
    found = {
        f"account__id__exact={alice.account.pk}": 1,
        "status=502": 1,
        "error_code__exact=upstream_error": 1,
        "model__exact=HuggingFaceTB/SmolLM2-135M-Instruct": 3,
        f"occurred_at_from_0={now - timedelta(days=1):%Y-%m-%d}&occurred_at_from_1=00:00:00": 2,
    }
    for query, count in found.items():
        answer = olivia.get(f"{address(UsageEvent, 'changelist')}?{query}")
        assert answer.context["cl"].result_count == count, query
