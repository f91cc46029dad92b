"""The billing screens: where an account stands, its budget, changing the plan, statements and their PDF."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pypdf import PdfReader

from accounts.models import Account, Role
from billing.credits import grant_credit
from billing.entitlements import entitlements_of, rights_of
from billing.invoicing import close_period
from billing.models import CreditSource, Statement, Subscription
from billing.money import NANO
from billing.payments import issue_frozen_statements, mark_paid
from billing.period import BillingPeriod
from billing.plan_in_force import plan_version_of
from billing.pricing import Unit
from billing.seeding import subscribe
from billing.standing import coming_change, forecast, standing_of
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_failure, make_report, record_calls

LAST_MONTH = BillingPeriod.containing(datetime.now(UTC)).previous


def plan_of(person: Person, at: datetime | None = None) -> str:
    """The plan that somebody is on."""
    return plan_version_of(person.account, at or timezone.now())[0].plan.slug


def use(person: Person, dollars: int, at: datetime | None = None) -> None:
    """Record one call that costs so many dollars ($0.04 a million output tokens)."""
    record_calls(make_report(person, at, {Unit.OUTPUT_TOKEN: dollars * 25_000_000}))


def issue_last_month(person: Person) -> Statement:
    """Close last month for somebody who was on Pro then, and issue the statement."""
    Subscription.objects.filter(account=person.account).update(started_at=LAST_MONTH.start)
    close_period(person.account, LAST_MONTH)
    issue_frozen_statements()
    return Statement.objects.get(account=person.account)


# --- Where the account stands --------------------------------------------------------------------


def test_alice_reads_what_she_used_and_what_the_next_statement_says(alice: Person) -> None:
    use(alice, 5)
    record_calls(make_failure(alice))
    page = sign_in(alice).get("/billing/")
    standing = page.context["standing"]
    assert standing.calls == 1  # failed calls do not count against the plan
    assert standing.nano == 5 * NANO
    assert standing.credit_used_nano == 2 * NANO
    assert standing.estimate_nano == (9 + 5 - 2) * NANO
    text = text_of(page)
    assert "You pay $3.00 past the credit" in text
    assert "1 of 50,000" in text
    assert "Total so far $12.00" in text
    assert "This installation has no payment provider" in text


def test_prepaid_credit_comes_off_the_estimate_and_the_forecast(alice: Person) -> None:
    """$5.00 of usage: $2.00 are included, $2.50 were paid in advance, $0.50 are charged."""
    grant_credit(alice.account, CreditSource.PREPAID, 5 * NANO // 2, reference="cs_1")
    use(alice, 5)
    page = sign_in(alice).get("/billing/")
    standing = page.context["standing"]
    assert (standing.beyond_credit_nano, standing.charged_nano) == (3 * NANO, NANO // 2)
    assert standing.estimate_nano == 9 * NANO + NANO // 2
    assert standing.estimate_nano <= standing.forecast_estimate_nano
    text = text_of(page)
    assert "Prepaid and granted credit -$2.50" in text
    assert "Total so far $9.50" in text
    assert "You pay $0.50 past the credit" in text


def test_an_interim_statement_and_the_estimate_count_prepaid_credit_once(alice: Person) -> None:
    grant_credit(alice.account, CreditSource.PREPAID, 5 * NANO // 2, reference="cs_1")
    use(alice, 5)
    now = timezone.now()
    statement = close_period(alice.account, BillingPeriod.containing(now), until=now)
    assert statement
    assert statement.total_minor == 950
    assert standing_of(alice.account, timezone.now()).estimate_nano == 0


def test_the_estimate_leaves_out_what_an_interim_statement_has_billed(alice: Person) -> None:
    use(alice, 5)
    now = timezone.now()
    close_period(alice.account, BillingPeriod.containing(now), until=now)
    standing = standing_of(alice.account, timezone.now())
    assert standing.billed_nano == 12 * NANO
    assert standing.estimate_nano == 0


def test_the_forecast_goes_on_in_a_straight_line_to_the_end_of_the_period() -> None:
    november = BillingPeriod(2026, 11)
    at = datetime(2026, 11, 11, tzinfo=UTC)
    ahead = forecast(100, 3 * NANO, november, november.start, at)
    assert (ahead.calls, ahead.nano) == (300, 9 * NANO)
    joined = datetime(2026, 11, 10, tzinfo=UTC)
    assert forecast(10, NANO, november, joined, at).calls == 10 * 21


def test_one_call_in_the_first_minute_does_not_forecast_thousands() -> None:
    november = BillingPeriod(2026, 11)
    ahead = forecast(1, NANO, november, november.start, november.start + timedelta(minutes=1))
    assert ahead.calls == 30


def test_the_forecast_of_bob_on_free_never_says_that_he_pays(bob: Person) -> None:
    record_calls(make_report(bob, units={Unit.OUTPUT_TOKEN: 2_000_000}))  # $0.08 of the $0.10
    Account.objects.filter(pk=bob.account.pk).update(created_at=LAST_MONTH.start)
    first_day = BillingPeriod.containing(timezone.now()).start + timedelta(days=1)
    standing = standing_of(Account.objects.get(pk=bob.account.pk), first_day)
    assert standing.forecast.nano > NANO  # at this pace
    assert standing.forecast_estimate_nano == 0  # but calls stop at $0.10


def test_bob_is_told_when_his_credit_is_used_up(bob: Person) -> None:
    record_calls(make_report(bob, units={Unit.OUTPUT_TOKEN: 2_500_000}))  # $0.10
    assert "Your credit of this period is used up" in text_of(sign_in(bob).get("/billing/"))


def test_charlie_the_viewer_is_told_to_ask_alice(alice: Person, charlie: Person) -> None:
    statement = issue_last_month(alice)
    client = sign_in(charlie, alice.account)
    addresses = ["", "details/", "plan/free/", "statements/", f"statements/{statement.pk}/"]
    for address in [*addresses, f"statements/{statement.pk}/pdf/"]:
        answer = client.get(f"/billing/{address}")
        assert answer.status_code == 403, address
        assert "mailto:alice@example.com" in answer.content.decode()
    assert client.post("/billing/budget/", {"budget": "1"}).status_code == 403
    assert client.post("/billing/plan/free/").status_code == 403
    assert coming_change(alice.account, timezone.now()) is None


def test_an_admin_sees_the_billing_but_changes_nothing(alice: Person, dave: Person) -> None:
    join(dave, alice.account, Role.ADMIN)
    client = sign_in(dave, alice.account)
    page = client.get("/billing/")
    assert "You see the billing, but cannot change it" in text_of(page)
    assert "/billing/plan/" not in page.content.decode()
    assert client.post("/billing/budget/", {"budget": "1"}).status_code == 403


# --- Budget ---------------------------------------------------------------------------------------


def limits(person: Person) -> list[int]:
    """What the account's budgets that stop calls let through."""
    return [budget.limit_nano for budget in rights_of(person.key).budgets if budget.hard_stop]


def test_alices_budget_becomes_the_limit_of_her_next_call(alice: Person) -> None:
    client = sign_in(alice)
    client.post("/billing/budget/", {"budget": "25.50"})
    assert limits(alice) == [int(27.5 * NANO)]  # with the $2.00 of credit
    assert 'value="25.50"' in client.get("/billing/").content.decode()
    client.post("/billing/budget/", {"budget": ""})
    assert limits(alice) == []
    client.post("/billing/budget/", {"budget": "0"})
    assert limits(alice) == [2 * NANO]


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ("-1", "A budget cannot be below zero"),
        ("much", "Write an amount such as 25.00"),
        ("1.005", "at most 2 digits after the point"),
        ("NaN", "Write an amount such as 25.00"),
        ("1e12", "more than a budget can be"),
    ],
)
def test_a_budget_that_makes_no_sense_changes_nothing_and_says_what_to_write(
    alice: Person, budget: str, says: str
) -> None:
    assert says in text_of(sign_in(alice).post("/billing/budget/", {"budget": budget}))
    assert limits(alice) == []


def test_a_used_up_budget_is_said_on_top(alice: Person) -> None:
    use(alice, 5)
    sign_in(alice).post("/billing/budget/", {"budget": "3"})
    assert "Your budget of this period is used up" in text_of(sign_in(alice).get("/billing/"))


def test_bob_on_free_needs_no_budget(bob: Person) -> None:
    client = sign_in(bob)
    assert "/billing/budget/" not in client.get("/billing/").content.decode()
    assert "needs no budget" in text_of(client.post("/billing/budget/", {"budget": "5"}, follow=True))


# --- Changing the plan ----------------------------------------------------------------------------


def test_bob_reads_what_pro_costs_and_is_on_it_after_he_confirms(bob: Person) -> None:
    client = sign_in(bob)
    asked = text_of(client.get("/billing/plan/pro/"))
    assert "Pro begins at once" in asked
    assert "$9.00" in asked
    assert plan_of(bob) == "free"
    client.post("/billing/plan/pro/")
    assert plan_of(bob) == "pro"
    assert Subscription.objects.get(account=bob.account).created_by == bob.user
    assert entitlements_of(bob.account).requests_per_minute == 600


def test_a_double_click_on_pro_makes_one_subscription(bob: Person) -> None:
    client = sign_in(bob)
    client.post("/billing/plan/pro/")
    client.post("/billing/plan/pro/")
    assert Subscription.objects.filter(account=bob.account).count() == 1


def test_bob_takes_pro_from_the_next_month_and_then_takes_it_back(bob: Person) -> None:
    client, end = sign_in(bob), BillingPeriod.containing(timezone.now()).end
    client.post("/billing/plan/pro/", {"when": "next"})
    assert (plan_of(bob), plan_of(bob, end)) == ("free", "pro")
    assert "Pro begins on" in text_of(client.get("/billing/"))
    client.post("/billing/plan/free/")
    assert plan_of(bob, end) == "free"
    assert "Pro begins on" not in text_of(client.get("/billing/"))


def test_alice_goes_back_to_free_when_the_month_that_she_pays_for_is_over(alice: Person) -> None:
    client, end = sign_in(alice), BillingPeriod.containing(timezone.now()).end
    assert "You stay on Pro, which this month's fee pays for" in text_of(client.get("/billing/plan/free/"))
    client.post("/billing/plan/free/")
    assert (plan_of(alice), plan_of(alice, end)) == ("pro", "free")
    page = text_of(client.get("/billing/"))
    assert "Free begins on" in page
    assert "Renews on" not in page
    assert "Change to Free" not in page
    client.post("/billing/plan/pro/")
    assert plan_of(alice, end) == "pro"


def test_enterprise_is_by_agreement_so_nobody_takes_it_by_address(bob: Person) -> None:
    client = sign_in(bob)
    assert "mailto:" in client.get("/billing/").content.decode()
    assert client.post("/billing/plan/enterprise/").status_code == 404
    assert client.post("/billing/plan/unheard-of/").status_code == 404
    assert plan_of(bob) == "free"


def test_erin_on_enterprise_cannot_leave_her_agreement_by_a_click(bob: Person) -> None:
    subscribe(bob.account, "enterprise")
    answer = sign_in(bob).post("/billing/plan/free/", follow=True)
    assert "made by agreement" in text_of(answer)
    assert plan_of(bob, BillingPeriod.containing(timezone.now()).end) == "enterprise"


# --- Statements -----------------------------------------------------------------------------------


def test_alice_reads_her_statement_line_by_line_and_its_pdf_says_the_same(alice: Person) -> None:
    use(alice, 5, LAST_MONTH.start + timedelta(days=3))
    statement = issue_last_month(alice)
    client = sign_in(alice)
    listed = text_of(client.get("/billing/statements/"))
    assert str(statement.number) in listed
    assert "$12.00 to be paid" in listed
    text = text_of(client.get(f"/billing/statements/{statement.pk}/"))
    assert "125,000,000 $0.04 per 1M $5.00" in text
    assert "Pro plan" in text
    assert "-$2.00" in text
    assert "Total $12.00" in text
    pdf = client.get(f"/billing/statements/{statement.pk}/pdf/")
    assert pdf["Content-Type"] == "application/pdf"
    assert f'{statement.number}.pdf"' in pdf["Content-Disposition"]
    written = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    assert str(statement.number) in written
    assert "$12.00" in written


def test_a_paid_statement_says_so_and_is_no_longer_due(alice: Person) -> None:
    statement = issue_last_month(alice)
    mark_paid(statement)
    text = text_of(sign_in(alice).get("/billing/statements/"))
    assert "Paid" in text
    assert "to be paid" not in text


def test_a_statement_past_its_date_says_past_due(alice: Person) -> None:
    statement = issue_last_month(alice)
    Statement.objects.filter(pk=statement.pk).update(due_at=timezone.now() - timedelta(days=1))
    assert "Past due" in text_of(sign_in(alice).get(f"/billing/statements/{statement.pk}/"))


def test_a_statement_that_is_not_issued_yet_is_not_shown(alice: Person) -> None:
    Subscription.objects.filter(account=alice.account).update(started_at=LAST_MONTH.start)
    frozen = close_period(alice.account, LAST_MONTH)
    assert frozen is not None
    client = sign_in(alice)
    assert "No statements yet" in text_of(client.get("/billing/statements/"))
    assert client.get(f"/billing/statements/{frozen.pk}/").status_code == 404
    assert client.get(f"/billing/statements/{frozen.pk}/pdf/").status_code == 404


def test_dave_gets_404_for_alices_statement(alice: Person, dave: Person) -> None:
    statement = issue_last_month(alice)
    client = sign_in(dave)
    assert client.get(f"/billing/statements/{statement.pk}/").status_code == 404
    assert client.get(f"/billing/statements/{statement.pk}/pdf/").status_code == 404
    assert str(statement.number) not in client.get("/billing/statements/").content.decode()


def test_the_details_that_alice_enters_stand_on_the_next_pdf(alice: Person) -> None:
    client = sign_in(alice)
    details = {
        "name": "Alice's Bakery GmbH",
        "billing_email": "bills@example.com",
        "billing_address": "Hauptstr. 1\n10115 Berlin",
        "tax_id": "DE123456789",
    }
    assert client.post("/billing/details/", details).status_code == 302
    statement = issue_last_month(Person(alice.user, Account.objects.get(pk=alice.account.pk), alice.key, ""))
    pdf = client.get(f"/billing/statements/{statement.pk}/pdf/").content
    written = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    for part in ("Bakery GmbH", "Hauptstr. 1", "10115 Berlin", "DE123456789"):
        assert part in written


def test_details_without_a_name_are_refused_in_words(alice: Person) -> None:
    answer = sign_in(alice).post("/billing/details/", {"name": "", "billing_email": "x"})
    assert "Enter the name that the statement is made out to" in text_of(answer)
    assert "This is no e-mail address" in text_of(answer)
    assert Account.objects.get(pk=alice.account.pk).name == "Alice"
