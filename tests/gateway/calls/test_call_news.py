"""What changes about an account is heard by a running gateway within a second, though it remembers callers."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from accounts.keys import revoke_key
from tests.factories import Person
from tests.live import Web, eventually

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def test_mallorys_revoked_key_is_refused_within_a_second_everywhere(web: Web, person: People) -> None:
    mallory = person("Mallory", "pro")
    assert web.chat(mallory).status_code == 200  # the process knows the key now
    revoke_key(mallory.key)
    eventually(lambda: web.chat(mallory, "status 500").status_code == 401, "the revoked key is refused", 1.0)


def test_a_suspended_account_is_403_within_a_second_and_back_when_reactivated(
    web: Web, person: People
) -> None:
    alice = person("Alice", "pro")
    assert web.chat(alice).status_code == 200
    alice.account.suspended_at = timezone.now()
    alice.account.save()
    eventually(lambda: web.chat(alice, "status 500").status_code == 403, "the account is suspended", 1.0)
    assert web.chat(alice).json()["error"]["code"] == "account_suspended"
    alice.account.suspended_at = None
    alice.account.save()
    eventually(lambda: web.chat(alice).status_code == 200, "the account is back", 1.0)
