"""Mail to people: written in their language together with what it tells of, sent by a tick.

`write` makes rows in the caller's transaction, so a mail exists exactly if the news does. `send_due` sends
them. A mail may arrive twice (we die between the mail server's yes and our commit); its Message-ID is the
same then, by which mail programs recognise it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import override

from accounts.models import Account, Membership, OutgoingMail, Role

AT_ONCE = 20
# Waits between attempts, each twice the one before: about a day and a half in all, then it is given up.
FIRST_WAIT = timedelta(seconds=30)
MOST_ATTEMPTS = 13
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who gets a mail, and in which language."""

    email: str
    language: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says: one text, laid out as plain text and as HTML. `link` is a path of this site."""

    subject: str
    paragraphs: Sequence[str]
    button: str
    link: str


def readers_of(account: Account, *roles: str) -> list[Reader]:
    """Return the billing address and the members with one of `roles` (owners and billing, if none is given).

    Each address once. The billing address is written to in the language of the oldest owner.
    """
    wanted = roles or (Role.OWNER, Role.BILLING)
    members = Membership.objects.filter(account=account, role__in=wanted, user__is_active=True)
    people = [Reader(member.user.email, member.user.language) for member in members.select_related("user")]
    language = _owners_language(account)
    if account.billing_email and not roles:
        people.insert(0, Reader(account.billing_email, language))
    return list({reader.email.lower(): reader for reader in reversed(people)}.values())[::-1]


def write(readers: Iterable[Reader], compose: Callable[[], Letter], account: Account | None = None) -> int:
    """Write a mail to each reader, composed in the reader's language; return how many. Sent after the commit."""
    rows = [_written(reader, compose, account) for reader in readers]
    return len(OutgoingMail.objects.bulk_create(rows))


def send_due() -> int:
    """Send what is due, at most `AT_ONCE`, and stop at the first failure; return how many went out.

    One mail, one transaction, its row locked: two senders never hold the same mail.
    """
    server, sent = get_connection(), 0
    while sent < AT_ONCE and _send_next(server):
        sent += 1
    return sent


@transaction.atomic
def _send_next(server: BaseEmailBackend) -> bool:
    due = OutgoingMail.objects.filter(next_attempt_at__lte=timezone.now()).order_by("next_attempt_at")
    mail = due.select_for_update(skip_locked=True).first()
    if mail is None:
        return False
    mail.attempts += 1
    try:
        server.send_messages([_message(mail)])
        # If we die here the mail is out and its row says nothing of it: it goes again, with the same Message-ID.
        mail.sent_at, mail.next_attempt_at, mail.error = timezone.now(), None, ""
    except Exception as failure:  # whatever the mail server does: the row says it and waits
        _log.warning("mail not sent", mail=str(mail.pk), error=repr(failure))
        mail.error = repr(failure)[:200]
        mail.next_attempt_at = _next_attempt(mail.attempts)
    mail.save()
    return mail.sent_at is not None


def _next_attempt(attempts: int) -> datetime | None:
    return None if attempts >= MOST_ATTEMPTS else timezone.now() + FIRST_WAIT * 2 ** (attempts - 1)


def _written(reader: Reader, compose: Callable[[], Letter], account: Account | None) -> OutgoingMail:
    with override(reader.language):
        letter = compose()
        context = {"letter": letter, "url": settings.SITE_URL + letter.link, "language": reader.language}
        return OutgoingMail(
            account=account,
            to=reader.email,
            subject=" ".join(letter.subject.split())[:200],
            text=render_to_string("mail/letter.txt", context).strip() + "\n",
            html=render_to_string("mail/letter.html", context),
        )


def _message(mail: OutgoingMail) -> EmailMultiAlternatives:
    headers = {
        "Message-ID": f"<{mail.pk.hex}@{urlsplit(settings.SITE_URL).hostname}>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMultiAlternatives(mail.subject, mail.text, to=[mail.to], headers=headers)
    message.attach_alternative(mail.html, "text/html")
    return message


def _owners_language(account: Account) -> str:
    owner = Membership.objects.filter(account=account, role=Role.OWNER).select_related("user").first()
    return owner.user.language if owner else settings.LANGUAGE_CODE
