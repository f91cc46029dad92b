"""A budget through everything: calls are refused, the limit is raised on the screen, calls pass; and news arrives."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

from accounts.models import OutgoingMail
from accounts.webhooks.endpoints import add_endpoint
from accounts.webhooks.events import EVENTS
from billing.budget_window import Window
from billing.budgets import set_budget
from billing.models import AlertFired
from tests.browsing import sign_in, text_of
from tests.factories import Person
from tests.fakes.receiver import receiving
from tests.live import Process, Web, eventually

PASSED = 200
# What the process keeps of an account is kept for 30 s: whoever passes sooner passed because of the news.
SOON = 5


def test_bob_is_blocked_raises_his_budget_and_his_next_call_passes(
    web: Web, person: Callable[..., Person]
) -> None:
    bob = person("Bob", "pro")
    budget = set_budget(bob.account, Window.DAY, 1)
    refused = web.chat(bob)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "budget_exceeded"
    form = {"limit": "5.00", "thresholds": "50, 80, 100", "hard_stop": "on"}
    said = text_of(sign_in(bob).post(f"/billing/budgets/{budget.pk}/", form, follow=True))
    assert "The budget is changed" in said
    eventually(lambda: web.chat(bob).status_code == PASSED, "Bob's call passes after the raise", SOON)


def test_alice_limits_a_key_on_the_screen_and_the_next_call_is_refused(
    web: Web, person: Callable[..., Person]
) -> None:
    alice = person("Alice", "pro")
    assert web.chat(alice).status_code == PASSED
    form = {
        "name": "Shop", "expires_on": "", "allowed_models": "meta-llama/*", "allowed_tasks": "", "allowed_networks": ""
    }  # fmt: skip
    sign_in(alice).post(f"/keys/{alice.key.pk}/", form)
    eventually(lambda: web.chat(alice).status_code == 403, "the key may not call this model any more", SOON)


def test_the_limits_page_says_what_the_api_says(web: Web, person: Callable[..., Person]) -> None:
    alice = person("Alice", "pro")
    set_budget(alice.account, Window.DAY, 5_000_000_000)
    web.chat(alice)
    client = sign_in(alice)
    page = text_of(client.get("/usage/limits/"))
    said = {(row["name"], row["scope"]): row for row in client.get("/api/v1/limits").json()["limits"]}
    budget = said["budget", "account"]
    assert (budget["limit"], budget["held"], budget["hard_stop"]) == (5_000_000_000, 0, True)
    assert budget["used"] > 0
    assert "Budget of the account, each day" in page
    assert "of $5.00" in page
    assert "1 of 600" in page
    assert "At the limit, calls get 402." in page
    assert "Most output tokens a call" in page


def test_each_threshold_reaches_alices_server_and_her_mail_once(
    web: Web, background: dict[str, Process], person: Callable[..., Person]
) -> None:
    alice = person("Alice", "pro")
    with receiving() as server:
        _, secret = add_endpoint(alice.account, server.url, list(EVENTS))
        budget = set_budget(alice.account, Window.DAY, 800, hard_stop=False, thresholds=[50, 100])
        for _ in range(5):
            assert web.chat(alice).status_code == PASSED  # this budget only tells
        eventually(lambda: len(server.got) >= 2, "two messages arrive", 60)
        mails = OutgoingMail.objects.filter(account=alice.account, subject__contains="daily budget")
        eventually(lambda: mails.exclude(sent_at=None).count() == 2, "two mails are sent", 60)
        told = AlertFired.objects.filter(budget=budget).count()
        bodies = [json.loads(got.body) for got in server.got]
    assert told == 2
    assert sorted(body["data"]["threshold_percent"] for body in bodies) == [50, 100]
    assert {body["type"] for body in bodies} == {"budget.threshold_reached"}
    for got in server.got:
        signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.{got.body}".encode()
        mac = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
        assert got.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
