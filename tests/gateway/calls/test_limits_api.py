"""GET /api/v1/limits: every limit of the caller, and where it stands."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from accounts.models import Membership
from billing.budget_window import Window
from billing.budgets import set_budget
from billing.period import BillingPeriod
from tests.factories import Person
from tests.live import Web

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def ask(web: Web, secret: str | None, **headers: str) -> httpx2.Response:
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    return httpx2.get(web.url + "/api/v1/limits", headers=headers, timeout=30)


def limits(web: Web, person: Person) -> dict[str, dict[str, Any]]:
    answer = ask(web, person.secret)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["limits"]
    return {
        row["name"] if row["name"] != "budget" else f"{row['scope']}/{row['window']}": row for row in rows
    }


def test_bob_sees_what_is_used_and_what_is_left_before_and_after_a_call(web: Web, person: People) -> None:
    bob = person("Bob")
    first = limits(web, bob)
    assert (first["calls"]["limit"], first["calls"]["used"], first["calls"]["remaining"]) == (1000, 0, 1000)
    web.chat(bob, "say 5")
    after = limits(web, bob)
    assert (after["calls"]["used"], after["calls"]["held"], after["calls"]["remaining"]) == (1, 0, 999)
    assert after["requests_per_minute"]["used"] == 1
    tokens = after["tokens_per_minute"]
    assert (
        tokens["used"] + tokens["remaining"] == tokens["limit"] == 20_000
    )  # the rate gives some back each moment
    assert after["credit"]["used"] > 0
    assert after["credit"]["remaining"] == 10**8 - after["credit"]["used"]
    assert after["concurrency"] == {
        "name": "concurrency", "scope": "account", "unit": "calls", "limit": 2, "used": 0, "held": 0,
        "remaining": 2, "resets_at": None,
    }  # fmt: skip
    period = BillingPeriod.containing(timezone.now())
    assert datetime.fromisoformat(after["calls"]["resets_at"]) == period.end
    assert after["request_bytes"]["scope"] == "plan"


def test_pay_as_you_go_has_limits_without_an_end(web: Web, person: People) -> None:
    found = limits(web, person("Alice", "pro"))
    assert (found["calls"]["limit"], found["calls"]["remaining"]) == (None, None)


def test_a_key_sees_the_budgets_that_its_calls_count_towards(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    member = Membership.objects.get(account=alice.account)
    set_budget(alice.account, Window.DAY, 10**9, key=alice.key)
    set_budget(alice.account, Window.MONTH, 10**9, member=member, hard_stop=False)
    set_budget(alice.account, Window.LIFETIME, 10**9)
    web.chat(alice, "say 5")
    found = limits(web, alice)
    used = {name: row["used"] for name, row in found.items() if "/" in name}
    assert used.keys() == {"key/day", "member/month", "account/lifetime"}
    assert len(set(used.values())) == 1
    assert used["key/day"] > 0
    assert found["key/day"]["remaining"] == 10**9 - used["key/day"]
    assert (found["key/day"]["hard_stop"], found["member/month"]["hard_stop"]) == (True, False)
    assert found["account/lifetime"]["resets_at"] is None


def test_nobody_sees_limits_without_a_key_or_from_a_network_that_is_not_allowed(
    web: Web, person: People
) -> None:
    assert ask(web, None).status_code == 401
    assert ask(web, "tp_live_nonsense").json()["error"]["code"] == "invalid_api_key"
    away = person("Alice", "pro", allowed_networks=["203.0.113.0/24"])
    answer = ask(web, away.secret)
    assert (answer.status_code, answer.json()["error"]["limit_name"]) == (403, "allowed_networks")
    assert ask(web, away.secret, **{"X-Forwarded-For": "203.0.113.1"}).status_code == 403
