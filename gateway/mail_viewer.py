"""Reads the mails that Django's file backend wrote, so that a newcomer finds the verification code."""

import email
import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

NEWEST = 50
# What django.core.mail.backends.filebased writes after each message.
_SEPARATOR = "\n" + "-" * 79 + "\n"


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail as the page shows it."""

    subject: str
    to: str
    text: str
    written_at: datetime


def stored_mails() -> list[StoredMail]:
    """Return the newest mails first, at most 50; none where mail does not go into files."""
    folder = getattr(settings, "EMAIL_FILE_PATH", None)
    if not folder or not Path(folder).is_dir():
        return []
    files = sorted(Path(folder).glob("*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [mail for file in files[:NEWEST] for mail in reversed(_read(file))][:NEWEST]


def _read(file: Path) -> list[StoredMail]:
    """One file holds the mails of one connection, oldest first."""
    written_at = datetime.fromtimestamp(file.stat().st_mtime, tz=UTC)
    parts = file.read_text(errors="replace").split(_SEPARATOR)
    return [_parse(part, written_at) for part in parts if part.strip()]


def _parse(text: str, written_at: datetime) -> StoredMail:
    message = email.message_from_string(text, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    content = body.get_content() if body else ""
    return StoredMail(message.get("Subject", ""), message.get("To", ""), str(content).strip(), written_at)
