"""Mail: written with its news, in the reader's language, sent once it can be."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import mails
from accounts.models import OutgoingMail, Role
from tests.browsing import join
from tests.factories import Person, make_person


def letter() -> mails.Letter:
    """A letter whose words depend on the language."""
    return mails.Letter(
        "Hello\nBcc: mallory@example.com", [_("Budget"), "5 < 6 & more"], _("Billing"), "/billing/"
    )


def test_everybody_reads_it_in_their_own_language_as_text_and_as_html(alice: Person) -> None:
    minji = make_person("Minji")
    minji.user.language = "ko"
    minji.user.save()
    join(minji, alice.account, Role.BILLING)
    assert mails.write(mails.readers_of(alice.account), letter, alice.account) == 2
    assert mails.send_due() == 2
    by_reader = {sent.to[0]: sent for sent in mail.outbox}
    english, korean = by_reader["alice@example.com"], by_reader["minji@example.com"]
    assert "Budget" in english.body
    assert "예산" in korean.body
    assert "5 < 6 & more" in english.body
    html = str(korean.alternatives[0][0])  # type: ignore[attr-defined]
    assert 'lang="ko"' in html
    assert "5 &lt; 6 &amp; more" in html
    assert "/billing/" in html
    assert english.extra_headers["Auto-Submitted"] == "auto-generated"


def test_a_line_break_in_a_subject_makes_no_header(alice: Person) -> None:
    mails.write(mails.readers_of(alice.account), letter)
    mails.send_due()
    assert mail.outbox[0].subject == "Hello Bcc: mallory@example.com"
    assert mail.outbox[0].bcc == []


def test_the_billing_address_owners_and_billing_people_hear_once_each(alice: Person) -> None:
    alice.account.billing_email = "Alice@example.com"
    alice.account.save()
    for name, role in [("Bea", Role.BILLING), ("Devi", Role.DEVELOPER), ("Vic", Role.VIEWER)]:
        join(make_person(name), alice.account, role)
    readers = [reader.email.lower() for reader in mails.readers_of(alice.account)]
    assert sorted(readers) == ["alice@example.com", "bea@example.com"]
    admins = mails.readers_of(alice.account, Role.DEVELOPER)
    assert [reader.email for reader in admins] == ["devi@example.com"]


def test_news_that_is_rolled_back_is_mailed_to_nobody(alice: Person) -> None:
    with transaction.atomic():
        mails.write(mails.readers_of(alice.account), letter)
        transaction.set_rollback(True)
    assert mails.send_due() == 0
    assert mail.outbox == []


def test_a_mail_server_that_is_away_delays_a_mail_and_loses_none(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails.write(mails.readers_of(alice.account), letter)
    with monkeypatch.context() as broken:
        broken.setattr(EmailBackend, "send_messages", _refuse)
        assert mails.send_due() == 0
    waiting = OutgoingMail.objects.get()
    assert "ConnectionRefusedError" in waiting.error
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at > timezone.now()
    assert mails.send_due() == 0  # not before its time
    OutgoingMail.objects.update(next_attempt_at=timezone.now())
    assert mails.send_due() == 1
    assert mails.send_due() == 0
    assert len(mail.outbox) == 1
    assert OutgoingMail.objects.get().sent_at is not None


def test_a_mail_that_cannot_be_sent_is_given_up_in_the_end(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails.write(mails.readers_of(alice.account), letter)
    monkeypatch.setattr(EmailBackend, "send_messages", _refuse)
    for _attempt in range(mails.MOST_ATTEMPTS):
        OutgoingMail.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        mails.send_due()
    assert OutgoingMail.objects.get().next_attempt_at is None


def _refuse(*_: object) -> int:
    raise ConnectionRefusedError
