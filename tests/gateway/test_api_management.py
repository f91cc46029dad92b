"""/api/v1: budgets, webhooks and keys, by role; keys look and change nothing; each account sees its own."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.keys import find_key
from accounts.models import ApiKey, Membership, Role, WebhookEndpoint
from accounts.webhooks.endpoints import add_endpoint, ping
from billing.budget_window import Window
from billing.budgets import set_budget
from billing.models import Budget
from billing.money import to_nano
from tests.browsing import join, sign_in
from tests.factories import Person, make_person

DOLLAR = to_nano(Decimal(1))
BUDGET = {"window": "month", "limit_nano": 10 * DOLLAR}
HOOK = {"url": "http://127.0.0.1:9/hook", "events": ["key.created"]}


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Send JSON to the management API."""
    return client.generic(
        method, f"/api/v1/{path}", data=b"" if body is None else json.dumps(body).encode(),
        content_type="application/json", headers=headers,
    )  # fmt: skip


def with_key(person: Person) -> dict[str, str]:
    """The header of a call with a person's key."""
    return {"Authorization": f"Bearer {person.secret}"}


# --- What is not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "nothing", "budgets/", "budgets/5", "keys/not-an-id/rotate"])
def test_a_path_that_means_nothing_gets_the_error_object(client: Client, method: str, path: str) -> None:
    answer = send(client, method, path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("unknown_endpoint", "not_found_error")
    assert f"/api/v1/{path}" in error["message"]
    assert error["request_id"] == answer["x-request-id"]


# --- Budgets ------------------------------------------------------------------------------------------------


def test_alice_sets_changes_and_ends_a_budget(alice: Person) -> None:
    client = sign_in(alice)
    made = send(client, "POST", "budgets", BUDGET)
    assert made.status_code == 201
    said = made.json()
    assert (said["scope"], said["limit_nano"], said["used_nano"]) == ("account", 10 * DOLLAR, 0)
    assert (said["thresholds"], said["hard_stop"], said["currency"]) == ([50, 80, 100], True, "USD")
    changed = send(
        client, "PATCH", f"budgets/{said['id']}", {"limit_nano": 20 * DOLLAR, "thresholds": [90, 10]}
    )
    assert changed.json()["limit_nano"] == 20 * DOLLAR
    assert changed.json()["thresholds"] == [10, 90]
    assert changed.json()["hard_stop"] is True
    assert changed.json()["id"] != said["id"]
    assert [row["id"] for row in send(client, "GET", "budgets").json()["data"]] == [changed.json()["id"]]
    assert send(client, "GET", f"budgets/{said['id']}").json()["ended_at"] is not None
    assert send(client, "PATCH", f"budgets/{said['id']}", BUDGET).status_code == 404
    assert send(client, "DELETE", f"budgets/{changed.json()['id']}").json()["ended_at"] is not None
    assert not Budget.objects.in_force().exists()


def test_a_budget_of_a_key_and_of_a_member(alice: Person) -> None:
    client, member = sign_in(alice), Membership.objects.get(account=alice.account)
    assert send(client, "POST", "budgets", BUDGET | {"key": str(alice.key.pk)}).json()["scope"] == "key"
    assert send(client, "POST", "budgets", BUDGET | {"member": str(member.pk)}).json()["scope"] == "member"
    both = BUDGET | {"key": str(alice.key.pk), "member": str(member.pk)}
    assert send(client, "POST", "budgets", both).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit_nano": -1}, {"limit_nano": "much"}, {"limit_nano": 10**19}, {"window": "year"},
        {"thresholds": [0]}, {"thresholds": [101]}, {"thresholds": list(range(1, 12))}, {"hardstop": False},
        {"hard_stop": "perhaps"}, {"key": "no id"},
    ],
)  # fmt: skip
def test_a_wrong_budget_is_400_and_names_the_field(alice: Person, wrong: dict[str, Any]) -> None:
    answer = send(sign_in(alice), "POST", "budgets", BUDGET | wrong)
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]
    assert answer.json()["error"]["request_id"]
    assert not Budget.objects.exists()


# --- Webhooks -----------------------------------------------------------------------------------------------


def test_alice_adds_changes_and_removes_an_endpoint(alice: Person) -> None:
    client = sign_in(alice)
    made = send(client, "POST", "webhooks", HOOK)
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["secret"]
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.secrets_at(endpoint.created_at) == [secret]
    one = f"webhooks/{endpoint.pk}"
    assert secret not in send(client, "GET", one).content.decode()
    assert secret not in send(client, "GET", "webhooks").content.decode()
    off = send(client, "PATCH", one, {"enabled": False, "description": "Ops"}).json()
    assert (off["enabled"], off["description"]) == (False, "Ops")
    assert send(client, "PATCH", one, {"enabled": True}).json()["enabled"] is True
    ping(endpoint)
    (row,) = send(client, "GET", f"{one}/deliveries").json()["data"]
    assert (row["event"], row["state"]) == ("webhook.ping", "pending")
    assert row["id"].startswith("msg_")
    assert send(client, "DELETE", one).status_code == 204
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "hook"},
        {"url": "https://x@1.1.1.1/"},
        {"events": []},
        {"events": ["key.eaten"]},
        {"secret": "x"},
    ],
)
def test_a_wrong_endpoint_is_400_and_names_the_field(alice: Person, wrong: dict[str, Any]) -> None:
    answer = send(sign_in(alice), "POST", "webhooks", HOOK | wrong)
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]
    assert not WebhookEndpoint.objects.exists()


# --- Keys ---------------------------------------------------------------------------------------------------


def test_alice_creates_limits_and_revokes_a_key(alice: Person) -> None:
    client = sign_in(alice)
    made = send(client, "POST", "keys", {"name": "Shop", "allowed_models": ["meta-llama/*"]})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    key = find_key(made.json()["secret"])
    assert key is not None
    assert key.restrictions.models == ("meta-llama/*",)
    one = f"keys/{key.pk}"
    assert made.json()["secret"] not in send(client, "GET", one).content.decode()
    changed = send(client, "PATCH", one, {"allowed_networks": ["203.0.113.0/24"]}).json()
    assert (changed["allowed_networks"], changed["allowed_models"]) == (["203.0.113.0/24"], ["meta-llama/*"])
    assert send(client, "DELETE", one).json()["status"] == "revoked"
    assert send(client, "PATCH", one, {"name": "Again"}).status_code == 404
    assert len(send(client, "GET", "keys").json()["data"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"allowed_networks": ["10.0.0.1/8"]},
        {"allowed_tasks": ["A b"]},
        {"expires_at": "soon"},
        {"plan": "x"},
    ],
)
def test_a_wrong_key_is_400_and_is_not_made(alice: Person, wrong: dict[str, Any]) -> None:
    answer = send(sign_in(alice), "POST", "keys", {"name": "Shop"} | wrong)
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]
    assert ApiKey.objects.count() == 1


# --- Who may ------------------------------------------------------------------------------------------------


def test_dave_sees_404_for_everything_of_alices(alice: Person, dave: Person) -> None:
    budget = set_budget(alice.account, Window.MONTH, 10 * DOLLAR)
    endpoint, _ = add_endpoint(alice.account, HOOK["url"], HOOK["events"])  # type: ignore[arg-type]
    client = sign_in(dave)
    rows = [f"budgets/{budget.pk}", f"webhooks/{endpoint.pk}", f"keys/{alice.key.pk}"]
    for path in rows:
        for method, body in (("GET", None), ("PATCH", {"name": "Mine"}), ("DELETE", None)):
            answer = send(client, method, path, body)
            assert answer.status_code == 404, (method, path)
            assert answer.json()["error"]["code"] == "not_found"
    assert send(client, "GET", f"webhooks/{endpoint.pk}/deliveries").status_code == 404
    assert send(client, "POST", "budgets", BUDGET | {"key": str(alice.key.pk)}).status_code == 404
    member = Membership.objects.get(account=alice.account)
    assert send(client, "POST", "budgets", BUDGET | {"member": str(member.pk)}).status_code == 404
    for path in ("budgets", "webhooks"):
        assert send(client, "GET", path).json()["data"] == []
    assert send(client, "GET", rows[0], **with_key(dave)).status_code == 404
    alice.key.refresh_from_db()
    assert alice.key.revoked_at is None


ROLES: dict[str, set[str]] = {
    Role.OWNER: {"budgets", "webhooks", "keys"},
    Role.ADMIN: {"budgets", "webhooks", "keys"},
    Role.BILLING: {"budgets"},
    Role.DEVELOPER: {"webhooks", "keys"},
    Role.VIEWER: set(),
}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_writes_what_its_table_says(alice: Person, role: str) -> None:
    erin = make_person("Erin")
    join(erin, alice.account, role)
    client = sign_in(erin, alice.account)
    for path, body in (("budgets", BUDGET), ("webhooks", HOOK), ("keys", {"name": "Shop"})):
        answer = send(client, "POST", path, body)
        assert answer.status_code == (201 if path in ROLES[role] else 403), path
        if answer.status_code == 403:
            assert answer.json()["error"]["code"] == "permission_denied"


def test_a_key_may_look_and_change_nothing(alice: Person) -> None:
    budget = set_budget(alice.account, Window.DAY, DOLLAR, key=alice.key)
    client = Client()
    assert send(client, "GET", "budgets", **with_key(alice)).json()["data"][0]["id"] == str(budget.pk)
    assert send(client, "GET", "keys", **with_key(alice)).status_code == 200
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", f"budgets/{budget.pk}", {"limit_nano": 10**12}),
        ("DELETE", f"budgets/{budget.pk}", None),
        ("POST", "budgets", BUDGET),
        ("POST", "keys", {"name": "Another"}),
        ("PATCH", f"keys/{alice.key.pk}", {"allowed_models": []}),
        ("GET", "webhooks", None),
        ("POST", "webhooks", HOOK),
    ]
    for method, path, body in changes:
        answer = send(client, method, path, body, **with_key(alice))
        assert answer.status_code == 403, (method, path)
        assert "change nothing" in answer.json()["error"]["message"]
    assert Budget.objects.in_force().get().limit_nano == DOLLAR


@pytest.mark.parametrize("path", ["budgets", "webhooks", "keys"])
def test_nobody_and_mallory_get_401(mallory: Person, path: str) -> None:
    for headers in ({}, with_key(mallory)):
        answer = send(Client(), "GET", path, **headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_page_elsewhere_cannot_use_alices_session(alice: Person) -> None:
    """Without the token of the form, a signed-in browser's POST is refused."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert send(client, "POST", "keys", {"name": "Shop"}).status_code == 403
    assert ApiKey.objects.count() == 1
