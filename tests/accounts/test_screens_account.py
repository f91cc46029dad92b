"""The account's settings and a key's limits: calendar, allow-lists, expiry; and who may change them."""

from datetime import UTC, datetime

import pytest

from accounts.models import ApiKey, Role
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_person


def test_alice_sets_her_calendar_and_allow_lists(alice: Person) -> None:
    form = {
        "time_zone": "Asia/Seoul",
        "allowed_models": "meta-llama/*\norg/one, org/one",
        "allowed_networks": "",
    }
    said = text_of(sign_in(alice).post("/settings/account/", form, follow=True))
    assert "settings are saved" in said
    alice.account.refresh_from_db()
    assert alice.account.time_zone == "Asia/Seoul"
    assert alice.account.allowed_models == ["meta-llama/*", "org/one"]


def test_alice_is_warned_when_her_own_address_is_not_in_the_list(alice: Person) -> None:
    client = sign_in(alice)
    assert "Your own address is not allowed" not in text_of(client.get("/settings/account/"))
    form = {"time_zone": "UTC", "allowed_models": "", "allowed_networks": "203.0.113.0/24\n2001:db8::/32"}
    said = text_of(client.post("/settings/account/", form, follow=True))
    assert "Your own address is not allowed" in said
    assert "127.0.0.1" in said
    form["allowed_networks"] += "\n127.0.0.0/8"
    assert "Your own address is not allowed" not in text_of(
        client.post("/settings/account/", form, follow=True)
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"allowed_networks": "203.0.113.7/24"}, "is no address range"),
        ({"allowed_networks": "everywhere"}, "is no address range"),
        ({"allowed_models": "a/b/c"}, "is no model"),
        ({"time_zone": "Seoul"}, "Seoul"),
    ],
)
def test_what_is_no_list_is_refused_in_words(alice: Person, wrong: dict[str, str], said: str) -> None:
    form = {"time_zone": "UTC", "allowed_models": "", "allowed_networks": ""} | wrong
    assert said in text_of(sign_in(alice).post("/settings/account/", form))
    alice.account.refresh_from_db()
    assert (alice.account.time_zone, alice.account.allowed_networks) == ("UTC", [])


@pytest.mark.parametrize("role", [Role.BILLING, Role.DEVELOPER, Role.VIEWER])
def test_others_see_the_settings_and_whom_to_ask(alice: Person, role: str) -> None:
    erin = make_person("Erin")
    join(erin, alice.account, role)
    client = sign_in(erin, alice.account)
    page = client.get("/settings/account/")
    assert "cannot change them" in text_of(page)
    assert "alice@example.com" in page.content.decode()
    assert client.post("/settings/account/", {"time_zone": "Asia/Seoul"}).status_code == 403


# --- A key --------------------------------------------------------------------------------------------------


def key_form(**fields: str) -> dict[str, str]:
    """What stands in the form of a key."""
    return {
        "name": "Shop",
        "expires_on": "",
        "allowed_models": "",
        "allowed_tasks": "",
        "allowed_networks": "",
    } | fields


def test_alice_limits_a_key(alice: Person) -> None:
    form = key_form(
        expires_on="2099-01-31", allowed_models="meta-llama/*", allowed_tasks="text-generation",
        allowed_networks="203.0.113.0/24",
    )  # fmt: skip
    assert "is saved" in text_of(sign_in(alice).post(f"/keys/{alice.key.pk}/", form, follow=True))
    key = ApiKey.objects.get(pk=alice.key.pk)
    assert (key.name, key.expires_at) == ("Shop", datetime(2099, 2, 1, tzinfo=UTC))
    assert key.restrictions.models == ("meta-llama/*",)
    assert key.restrictions.tasks == ("text-generation",)
    assert not key.restrictions.allows_address("198.51.100.1")


def test_saving_without_a_change_keeps_the_expiry_to_the_second(alice: Person) -> None:
    client = sign_in(alice)
    client.post("/keys/new/", {"name": "Trial", "expiry": "7d"})
    key = ApiKey.objects.get(name="Trial")
    assert key.expires_at is not None
    day = key.expires_at.date()
    client.post(f"/keys/{key.pk}/", key_form(name="Trial", expires_on=day.isoformat()))
    key.refresh_from_db()
    before, key_now = key.expires_at, ApiKey.objects.get(pk=key.pk).expires_at
    assert before == key_now
    client.post(f"/keys/{key.pk}/", key_form(name="Trial"))
    assert ApiKey.objects.get(pk=key.pk).expires_at is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "required"),
        ({"expires_on": "2020-01-01"}, "That day is past"),
        ({"expires_on": "soon"}, "YYYY-MM-DD"),
        ({"allowed_tasks": "Text Generation"}, "is no task"),
        ({"allowed_networks": "10.0.0.1/8"}, "is no address range"),
    ],
)
def test_a_wrong_limit_is_refused_in_words(alice: Person, wrong: dict[str, str], said: str) -> None:
    page = sign_in(alice).post(f"/keys/{alice.key.pk}/", key_form(**wrong))
    assert said in text_of(page)
    assert ApiKey.objects.get(pk=alice.key.pk).name == "Alice's laptop"


def test_a_revoked_key_cannot_be_changed(mallory: Person) -> None:
    page = sign_in(mallory).post(f"/keys/{mallory.key.pk}/", key_form())
    assert "This key is revoked" in text_of(page)
    assert ApiKey.objects.get(pk=mallory.key.pk).name == "Mallory's laptop"


def test_dave_and_charlie_change_no_key_of_alices(alice: Person, dave: Person, charlie: Person) -> None:
    assert sign_in(dave).post(f"/keys/{alice.key.pk}/", key_form()).status_code == 404
    assert sign_in(charlie, alice.account).post(f"/keys/{alice.key.pk}/", key_form()).status_code == 403
