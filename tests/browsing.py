"""Opening screens as somebody: a signed-in test client that works in one account."""

import html
import re
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client

from accounts.middleware import SESSION_KEY
from accounts.models import Account, Membership, User
from tests.factories import Person


def sign_in(person: Person, account: Account | None = None) -> Client:
    """Return a client signed in as `person`, working in `account` (their own, if not given)."""
    client = Client()
    client.force_login(person.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    session = client.session
    session[SESSION_KEY] = str((account or person.account).pk)
    session.save()
    return client


def join(person: Person, account: Account, role: str) -> Membership:
    """Make `person` a member of somebody else's account."""
    return Membership.objects.create(account=account, user=person.user, role=role)


def staff_browser(name: str, *permissions: str, is_superuser: bool = False) -> Client:
    """Return a client signed in as somebody of the staff, who may do what `permissions` ("app.codename") say."""
    user = User.objects.create_user(
        f"{name.lower()}@staff.example", name=name, is_staff=True, is_superuser=is_superuser
    )
    for permission in permissions:
        label, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def text_of(response: Any) -> str:
    """Return what the page says, without tags, with single spaces."""
    without_tags = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(without_tags).split())
