"""The screens of keys: created once, seen once, revoked for good, each account's own."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.keys import find_key, issue_key
from accounts.models import ApiKey, Membership, Role
from tests.browsing import join, sign_in, text_of
from tests.factories import Person

SECRET = re.compile(r"tp_live_[0-9A-Za-z]{27}_[0-9A-Za-z]{6}")


def test_alice_sees_the_secret_of_a_new_key_once_and_it_opens_the_door(alice: Person) -> None:
    client = sign_in(alice)
    created = client.post("/keys/new/", {"name": "Shop backend", "expiry": "never"})
    (secret,) = set(SECRET.findall(created.content.decode()))
    assert "no-store" in created["Cache-Control"]
    assert "cannot be retrieved later" in text_of(created)
    key = find_key(secret)
    assert key is not None
    assert (key.name, key.account, key.created_by, key.expires_at) == (
        "Shop backend",
        alice.account,
        alice.user,
        None,
    )
    listed = client.get("/keys/").content.decode()
    assert not SECRET.search(listed)
    assert f"tp_live_…{secret[-4:]}" in listed


def test_a_reload_that_sends_the_form_again_makes_no_second_key(alice: Person) -> None:
    client = sign_in(alice)
    once = re.search(r'name="once" value="([^"]+)"', client.get("/keys/new/").content.decode())
    assert once
    form = {"name": "Shop backend", "expiry": "never", "once": once[1]}
    client.post("/keys/new/", form)
    again = client.post("/keys/new/", form, follow=True)
    assert "made already" in text_of(again)
    assert not SECRET.search(again.content.decode())
    assert ApiKey.objects.filter(name="Shop backend").count() == 1


@pytest.mark.parametrize(("expiry", "days"), [("1d", 1), ("7d", 7), ("30d", 30)])
def test_a_key_lives_as_long_as_the_preset_says(alice: Person, expiry: str, days: int) -> None:
    sign_in(alice).post("/keys/new/", {"name": "Trial", "expiry": expiry})
    expires_at = ApiKey.objects.get(name="Trial").expires_at
    assert expires_at is not None
    assert abs(expires_at - timezone.now() - timedelta(days=days)) < timedelta(minutes=1)


def test_a_key_with_a_chosen_last_day_works_until_that_day_is_over(alice: Person) -> None:
    sign_in(alice).post("/keys/new/", {"name": "Fair", "expiry": "custom", "expires_on": "2099-01-31"})
    assert ApiKey.objects.get(name="Fair").expires_at == datetime(2099, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"name": "", "expiry": "never"}, "Give the key a name"),
        ({"name": "Fair", "expiry": "custom"}, "Choose the last day"),
        ({"name": "Fair", "expiry": "custom", "expires_on": "2020-01-01"}, "That day is past"),
        ({"name": "Fair", "expiry": "custom", "expires_on": "soon"}, "Write the day as YYYY-MM-DD"),
    ],
)
def test_a_wrong_form_makes_no_key_and_says_what_to_do(
    alice: Person, form: dict[str, str], says: str
) -> None:
    answer = sign_in(alice).post("/keys/new/", form)
    assert says in text_of(answer)
    assert ApiKey.objects.filter(account=alice.account).count() == 1


def test_alice_revokes_a_key_by_typing_its_name(alice: Person) -> None:
    client, address = sign_in(alice), f"/keys/{alice.key.pk}/revoke/"
    wrong = client.post(address, {"name": "Alice"})
    assert "This is not the name of the key" in text_of(wrong)
    assert ApiKey.objects.get(pk=alice.key.pk).status == "active"
    right = client.post(address, {"name": alice.key.name}, follow=True)
    assert "Calls with it now get 401" in text_of(right)
    key = find_key(alice.secret)
    assert key is not None
    assert key.status == "revoked"
    assert "is revoked already" in text_of(client.get(address, follow=True))


def test_dave_gets_404_for_alices_key(alice: Person, dave: Person) -> None:
    client, address = sign_in(dave), f"/keys/{alice.key.pk}/revoke/"
    assert client.get(address).status_code == 404
    assert client.post(address, {"name": alice.key.name}).status_code == 404
    assert ApiKey.objects.get(pk=alice.key.pk).status == "active"
    assert alice.key.masked not in client.get("/keys/").content.decode()


def test_charlie_the_viewer_sees_the_keys_but_is_told_to_ask_alice_for_one(
    alice: Person, charlie: Person
) -> None:
    client = sign_in(charlie, alice.account)
    listed = client.get("/keys/")
    assert alice.key.masked in listed.content.decode()
    assert 'href="/keys/new/"' not in listed.content.decode()
    refused = client.post("/keys/new/", {"name": "Mine", "expiry": "never"})
    assert refused.status_code == 403
    assert "You may not create, change or revoke the keys" in text_of(refused)
    assert "mailto:alice@example.com" in refused.content.decode()
    assert client.post(f"/keys/{alice.key.pk}/revoke/", {"name": alice.key.name}).status_code == 403
    assert list(ApiKey.objects.filter(account=alice.account)) == [alice.key]


def test_a_developer_may_create_keys_but_the_billing_role_may_not(alice: Person, dave: Person) -> None:
    membership = join(dave, alice.account, Role.DEVELOPER)
    client = sign_in(dave, alice.account)
    assert client.get("/keys/new/").status_code == 200
    Membership.objects.filter(pk=membership.pk).update(role=Role.BILLING)
    assert client.get("/keys/new/").status_code == 403


def test_nobody_sees_keys_without_signing_in(alice: Person) -> None:
    for address in ("/keys/", "/keys/new/", f"/keys/{alice.key.pk}/revoke/"):
        answer = Client().get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/")


def test_keys_sort_by_name_and_unused_ones_come_last(alice: Person) -> None:
    issue_key(alice.account, "Zoo")
    issue_key(alice.account, "Bakery")
    ApiKey.objects.filter(name="Zoo").update(last_used_at=timezone.now())
    client = sign_in(alice)

    def order(sort: str) -> list[str]:
        return [key.name for key in client.get("/keys/", {"sort": sort}).context["keys"]]

    assert order("name") == ["Alice's laptop", "Bakery", "Zoo"]
    assert order("-last_used_at")[0] == "Zoo"
    assert order("digest") == ["Bakery", "Zoo", "Alice's laptop"]


def test_a_key_name_with_markup_is_shown_as_text(alice: Person) -> None:
    issue_key(alice.account, "<img src=x onerror=alert(1)>")
    page = sign_in(alice).get("/keys/").content.decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_somebody_without_any_account_is_offered_one(alice: Person) -> None:
    Membership.objects.filter(user=alice.user).delete()
    answer = sign_in(alice).get("/keys/")
    assert answer.status_code == 403
    assert "/organizations/new/" in answer.content.decode()
