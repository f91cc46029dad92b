"""`manage.py close_period`: the same functions, for people and scripts."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from accounts.signup import open_organization
from billing.models import Statement
from billing.period import BillingPeriod
from tests.billing.people import PERIOD, on_plan_since
from tests.factories import Person, make_report, record_calls


def _run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("close_period", *arguments, stdout=out)
    return out.getvalue()


def _refused(*arguments: str, code: int = 2) -> str:
    with pytest.raises(CommandError) as refusal:
        _run(*arguments)
    assert refusal.value.returncode == code
    return str(refusal.value)


def test_last_month_is_closed_for_everybody_and_issued(alice: Person, bob: Person, mallory: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    record_calls(make_report(bob, PERIOD.start))
    lines = _run().splitlines()
    assert lines[0].split() == ["NUMBER", "ACCOUNT", "PERIOD", "PART", "STATE", "LINES", "TOTAL"]
    assert sorted(line.split()[1:] for line in lines[1:]) == [
        ["Alice", PERIOD.key, "1", "finalized", "1", "$9.00", "new"],
        ["Bob", PERIOD.key, "1", "paid", "2", "$0.00", "new"],
    ]
    assert not Statement.objects.filter(account=mallory.account).exists()


def test_running_it_again_changes_nothing(alice: Person) -> None:
    on_plan_since(PERIOD.start, alice)
    _run()
    before = list(Statement.objects.values())
    assert _run() == f"Nothing to close for {PERIOD}.\n"
    assert "was there" in _run(PERIOD.key, "--account", "alice@example.com")
    assert before == list(Statement.objects.values())


def test_json_and_pdf_for_one_account(alice: Person, bob: Person, tmp_path: Path) -> None:
    record_calls(make_report(alice, PERIOD.start), make_report(bob, PERIOD.start))
    (row,) = json.loads(_run(PERIOD.key, "--account", str(bob.account.pk), "--json", "--pdf", str(tmp_path)))
    assert (row["account"], row["total_minor"], row["state"], row["new"]) == ("Bob", 0, "paid", True)
    assert (tmp_path / f"{row['number']}.pdf").read_bytes().startswith(b"%PDF-")
    assert Statement.objects.count() == 1


def test_a_running_month_needs_a_moment(alice: Person) -> None:
    running = BillingPeriod.containing(timezone.now())
    assert "Add --until now for an interim statement" in _refused(running.key)
    assert "Alice" in _run(running.key, "--until", "now")
    assert "was there" in _run(running.key, "--until", "now")
    assert Statement.objects.count() == 1


@pytest.mark.parametrize("moment", ["soon", "2026-01-01", "2026-13-01T00:00Z"])
def test_a_moment_that_does_not_fit_is_refused_in_words(alice: Person, moment: str) -> None:
    assert f"--until {moment} does not fit. Write now, or a past time in" in _refused(
        PERIOD.key, "--until", moment
    )


def test_a_moment_outside_the_month_is_refused(alice: Person) -> None:
    after = (PERIOD.end + timedelta(seconds=1)).isoformat()
    assert "does not fit" in _refused(PERIOD.key, "--until", after)


def test_a_period_of_the_wrong_form_is_refused_in_words(price_list: None) -> None:
    assert "write it as YYYY-MM, such as 2026-11" in _refused("2026-5")


def test_an_account_that_does_not_exist_is_refused_in_words(alice: Person) -> None:
    assert "No account has the id or member nobody@example.com" in _refused("--account", "nobody@example.com")


def test_a_member_of_two_accounts_has_to_say_which(alice: Person) -> None:
    bank = open_organization(User.objects.get(), "Alice's Bank")
    assert f"Give one's id: {alice.account.pk} (Alice), {bank.pk} (Alice's Bank)" in _refused(
        "--account", "alice@example.com"
    )


def test_one_account_that_cannot_be_closed_is_named_and_the_others_are_closed(
    alice: Person, bob: Person
) -> None:
    record_calls(make_report(alice, PERIOD.start, {}, currency="KRW"), make_report(bob, PERIOD.start))
    assert "Alice is billed in USD and has usage in KRW" in _refused(code=1)
    assert Statement.objects.get().account == bob.account
