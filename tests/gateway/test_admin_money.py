"""Olivia grants credit, credits a statement, reads the trial balance and closes a discrepancy in the admin."""

import pytest
from django.test import Client

from billing.credit_balances import prepaid_nano
from billing.invoicing import close_period
from billing.models import CreditNote, Discrepancy, JournalEntry, Statement
from billing.money import NANO
from billing.payments import mark_paid, payment_provider
from billing.pdf import credit_note_pdf
from tests.billing.people import PERIOD, on_plan_since
from tests.billing.test_statement_pdf import _text
from tests.browsing import sign_in, staff_browser, text_of
from tests.factories import Person
from tests.gateway.staff import address, confirm


@pytest.fixture
def statement(alice: Person) -> Statement:
    """Alice paid her fee of last month."""
    on_plan_since(PERIOD.previous.start, alice)
    frozen = close_period(alice.account, PERIOD)
    assert frozen
    return mark_paid(payment_provider().issue(frozen))


def test_olivia_grants_bob_credit_for_a_transfer_once(olivia: Client, bob: Person) -> None:
    form = {"source": "prepaid", "amount": "5.00", "days": "365", "reference": "bank-77"}
    assert "$5.00 granted to Bob." in text_of(confirm(olivia, bob.account, "grant_credit", **form))
    confirm(olivia, bob.account, "grant_credit", **form)
    assert prepaid_nano(bob.account) == 5 * NANO
    grant = bob.account.credit_grants.get()
    assert (grant.granted_by, grant.note) == ("olivia@staff.example", "Asked for by phone")


def test_half_a_cent_is_no_credit(olivia: Client, bob: Person) -> None:
    confirm(olivia, bob.account, "grant_credit", source="granted", amount="0.00")
    assert not bob.account.credit_grants.exists()


def test_olivia_credits_a_line_and_alice_sees_it(olivia: Client, statement: Statement, alice: Person) -> None:
    page = confirm(olivia, statement, "credit", lines="1=4.00", why="service", pay_back="balance")
    note = CreditNote.objects.get()
    assert f"{note.number} is issued: $4.00." in text_of(page)
    assert (note.total_minor, note.balance_minor, note.issued_by) == (400, 400, "olivia@staff.example")
    shown = text_of(sign_in(alice).get(f"/billing/statements/{statement.pk}/"))
    assert note.number in shown
    assert "Service was not as promised" in shown
    answer = sign_in(alice).get(f"/billing/credit-notes/{note.pk}/pdf/")
    assert answer["Content-Type"] == "application/pdf"


@pytest.mark.parametrize("lines", ["1", "7=1.00", "1=9.01", "1=0.005", "1=x"])
def test_lines_that_make_no_sense_are_refused(olivia: Client, statement: Statement, lines: str) -> None:
    confirm(olivia, statement, "credit", lines=lines, why="other", pay_back="balance")
    assert not CreditNote.objects.exists()


def test_the_pdf_says_what_becomes_of_it(olivia: Client, statement: Statement) -> None:
    confirm(olivia, statement, "credit", lines="", why="mistake", pay_back="out_of_band")
    note = CreditNote.objects.get()
    for language, words in (("en", "Paid back by other means"), ("ko", "다른 방법으로 돌려줌")):
        text = _text(credit_note_pdf(note, language))
        for part in (note.number, str(statement.number), "$9.00", words):
            assert part in text


def test_nobody_sees_anothers_credit_note(olivia: Client, statement: Statement, bob: Person) -> None:
    confirm(olivia, statement, "credit", lines="", why="mistake", pay_back="balance")
    note = CreditNote.objects.get()
    assert sign_in(bob).get(f"/billing/credit-notes/{note.pk}/pdf/").status_code == 404


def test_sam_who_may_only_look_can_do_none_of_it(statement: Statement, alice: Person) -> None:
    sam = staff_browser("Sam", "billing.view_statement", "accounts.view_account")
    assert confirm(sam, statement, "credit", lines="", why="other", pay_back="balance").status_code == 403
    assert confirm(sam, alice.account, "grant_credit", source="granted", amount="5").status_code == 403


def test_the_trial_balance_stands_above_the_journal(olivia: Client, statement: Statement) -> None:
    page = text_of(olivia.get(address(JournalEntry, "changelist")))
    for words in ("Trial balance", "Accounts receivable", "Revenue", "$9.00"):
        assert words in page


def test_olivia_closes_a_discrepancy_with_a_note(olivia: Client, db: None) -> None:
    row = Discrepancy.objects.create(
        check_name="rollups", period=PERIOD.key, subject="x", expected=1, found=2, unit="calls", detail="x"
    )
    confirm(olivia, row, "close")
    row.refresh_from_db()
    assert row.closed_at
    assert (row.note, row.closed_by) == ("Asked for by phone", "olivia@staff.example")
    assert confirm(olivia, row, "close").status_code == 403
