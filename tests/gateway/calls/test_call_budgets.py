"""Budgets and allow-lists of keys, members and accounts, in a running gateway, and how soon a change is heard."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from accounts.keys import issue_key
from accounts.models import ApiKey, Membership, Role
from billing.budget_window import Window
from billing.budgets import end_budget, set_budget
from billing.models import Budget, EntitlementOverride
from billing.seeding import subscribe
from gateway.meter_keys import keys_of
from tests.factories import CHAT_MODEL, EMBEDDING_MODEL, Person
from tests.live import FakeUpstream, Web, chat_body, eventually, record_usage

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]
DOLLAR = 1_000_000_000


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


def cost_of(answer: httpx2.Response) -> int:
    """What a call cost, in nano-units."""
    return int(answer.headers["x-turnpike-cost"].split()[0].replace(".", ""))


def spent(meter: Any, budget: Budget) -> dict[str, int]:
    """What the meter counts for a budget now."""
    name = f"{budget.subject_id}:{budget.window_at(timezone.now()).key}"
    found = meter.hgetall(keys_of(str(budget.account_id)).budget(name))
    return {field.decode(): int(value) for field, value in found.items()}


def pretend(meter: Any, budget: Budget, nano: int) -> None:
    """Let a budget have so much spent already."""
    name = f"{budget.subject_id}:{budget.window_at(timezone.now()).key}"
    meter.hset(keys_of(str(budget.account_id)).budget(name), "nano", nano)


# --- Budgets -------------------------------------------------------------------------------------


def test_a_call_counts_in_the_budgets_of_key_member_and_account(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro")
    member = Membership.objects.get(account=alice.account)
    budgets = [
        set_budget(alice.account, Window.DAY, DOLLAR, key=alice.key),
        set_budget(alice.account, Window.WEEK, DOLLAR, member=member),
        set_budget(alice.account, Window.LIFETIME, DOLLAR, hard_stop=False),
    ]
    other, _ = issue_key(alice.account, "Somebody else's")
    elsewhere = set_budget(alice.account, Window.DAY, DOLLAR, key=other)
    answer = web.chat(alice, "say 20")
    cost = cost_of(answer)
    assert cost > 0
    assert [spent(meter, budget)["nano"] for budget in budgets] == [cost] * 3
    assert [spent(meter, budget)["held_nano"] for budget in budgets] == [0] * 3
    assert spent(meter, elsewhere) == {}  # nobody has called with it, so nothing was made


@pytest.mark.parametrize(
    ("scope", "window"), [("key", Window.DAY), ("member", Window.WEEK), ("account", Window.LIFETIME)]
)
def test_a_used_up_budget_names_itself_its_owner_and_its_end(
    web: Web, upstream: FakeUpstream, person: People, meter: Any, scope: str, window: Window
) -> None:
    alice = person("Alice", "pro")
    member = Membership.objects.get(account=alice.account)
    subjects: dict[str, dict[str, Any]] = {"key": {"key": alice.key}, "member": {"member": member}}
    budget = set_budget(alice.account, window, DOLLAR, **subjects.get(scope, {}))
    assert web.chat(alice).status_code == 200
    pretend(meter, budget, DOLLAR)
    before = upstream.seen()["calls"]
    answer = web.chat(alice)
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["scope"]) == (402, "budget_exceeded", scope)
    assert (error["limit_name"], error["window"]) == ("budget", window)
    assert (error["limit"], error["used"]) == (DOLLAR, DOLLAR)
    ends = budget.window_at(timezone.now()).resets_at
    assert error.get("resets_at") == (ends.isoformat() if ends else None)
    assert "retry-after" not in answer.headers
    assert answer.headers["x-turnpike-budget-remaining"] == "0.000000000 USD"
    assert answer.headers["x-ratelimit-remaining-requests"] == "599"
    assert upstream.seen()["calls"] == before


def test_the_more_lasting_of_two_budgets_is_told(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro")
    budgets = [set_budget(alice.account, window, DOLLAR) for window in (Window.DAY, Window.MONTH)]
    web.chat(alice)
    for budget in budgets:
        pretend(meter, budget, DOLLAR)
    assert error_of(web.chat(alice))["window"] == "month"


def test_a_budget_that_only_warns_stops_nothing(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro")
    budget = set_budget(alice.account, Window.DAY, 1, hard_stop=False)
    assert web.chat(alice).status_code == 200
    assert spent(meter, budget)["nano"] > 1
    assert web.chat(alice).status_code == 200


def test_a_budget_set_in_the_middle_of_the_day_knows_what_was_called_before(
    web: Web, person: People, meter: Any
) -> None:
    """Two calls are in the ledger already, a third is on its way there."""
    alice = person("Alice", "pro")
    costs = [cost_of(web.chat(alice, "say 9")) for _ in range(2)]
    record_usage()
    costs.append(cost_of(web.chat(alice, "say 9")))
    budget = set_budget(alice.account, Window.DAY, DOLLAR)
    eventually(
        lambda: web.chat(alice).headers.get("x-turnpike-budget-remaining") is not None, "it counts", 1.0
    )
    counted = spent(meter, budget)
    calls_since = counted["nano"] - sum(costs)
    assert calls_since > 0
    record_usage()
    meter.delete(*meter.keys(f"*{budget.subject_id}:day:*"))
    web.chat(alice, "status 500")  # costs nothing, and has the counter made again
    assert spent(meter, budget)["nano"] == counted["nano"]


def test_after_a_loss_of_data_a_budget_is_what_it_was(web: Web, person: People, meter: Any) -> None:
    alice = person("Alice", "pro")
    budget = set_budget(alice.account, Window.MONTH, DOLLAR)
    for _ in range(3):
        web.chat(alice, "say 7")
    before = spent(meter, budget)
    record_usage()
    names = meter.keys(f"*{budget.subject_id}*")
    meter.delete(*names)
    web.chat(alice, "status 500")
    assert spent(meter, budget) == before | {"calls": 0, "held_calls": 0}


# --- Allow-lists ---------------------------------------------------------------------------------


def test_a_key_for_one_model_calls_no_other_and_hears_which_list(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    ApiKey.objects.filter(pk=alice.key.pk).update(allowed_models=["HuggingFaceTB/*"])
    assert web.chat(alice).status_code == 200
    answer = web.post("/v1/embeddings", alice.secret, {"model": EMBEDDING_MODEL, "input": "x"})
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (403, "permission_denied")
    assert (error["scope"], error["limit_name"]) == ("key", "allowed_models")
    assert answer.headers["x-ratelimit-remaining-requests"] == "599"


def test_a_key_for_one_task_does_no_other(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    ApiKey.objects.filter(pk=alice.key.pk).update(allowed_tasks=["feature-extraction"])
    error = error_of(web.chat(alice))
    assert (error["code"], error["scope"], error["limit_name"]) == (
        "permission_denied",
        "key",
        "allowed_tasks",
    )
    answer = web.post("/v1/embeddings", alice.secret, {"model": EMBEDDING_MODEL, "input": "x"})
    assert answer.status_code != 403


def test_what_the_account_does_not_allow_no_key_of_it_may(web: Web, person: People) -> None:
    alice = person("Alice", "pro", allowed_models=["openai/*"])
    ApiKey.objects.filter(pk=alice.key.pk).update(allowed_models=[CHAT_MODEL])
    assert error_of(web.chat(alice))["scope"] == "account"


def test_a_call_from_another_network_is_refused_before_its_body_is_read(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    alice = person("Alice", "pro", allowed_networks=["203.0.113.0/24"])
    before = upstream.seen()["calls"]
    answer = web.post("/v1/chat/completions", alice.secret, b"this is no JSON")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (403, "permission_denied")
    assert (error["scope"], error["limit_name"]) == ("account", "allowed_networks")
    headers = {"X-Forwarded-For": "203.0.113.9"}
    forged = web.post("/v1/chat/completions", alice.secret, chat_body(), headers=headers)
    assert forged.status_code == 403  # nobody is trusted to say so
    assert upstream.seen()["calls"] == before
    home = person("Alice", "pro", allowed_networks=["127.0.0.0/8", "::1"])
    assert web.chat(home).status_code == 200


# --- How soon it is heard --------------------------------------------------------------------------


def test_a_key_that_is_edited_is_what_it_says_within_a_second(web: Web, person: People) -> None:
    alice = person("Alice", "pro")
    assert web.chat(alice).status_code == 200
    alice.key.allowed_models = ["openai/*"]
    alice.key.save()
    eventually(lambda: web.chat(alice, "status 500").status_code == 403, "the list holds", 1.0)
    alice.key.allowed_models = []
    alice.key.save()
    eventually(lambda: web.chat(alice).status_code == 200, "the list is gone", 1.0)


def test_an_override_holds_within_a_second_and_no_longer_than_it_lasts(web: Web, person: People) -> None:
    bob = person("Bob")

    def limit() -> str:
        return web.chat(bob, "status 500").headers["x-ratelimit-limit-requests"]

    assert limit() == "20"
    override = EntitlementOverride.objects.create(
        account=bob.account, field="requests_per_minute", value=700, reason="A workshop"
    )
    eventually(lambda: limit() == "700", "the override holds", 1.0)
    override.ends_at = timezone.now()
    override.save()
    eventually(lambda: limit() == "20", "the plan's limit is back", 1.0)


def test_a_change_of_plan_holds_within_a_second(web: Web, person: People) -> None:
    bob = person("Bob")
    assert web.chat(bob).headers["x-ratelimit-limit-requests"] == "20"
    subscribe(bob.account, "pro")
    eventually(
        lambda: web.chat(bob, "status 500").headers["x-ratelimit-limit-requests"] == "600",
        "Bob is on Pro",
        1.0,
    )


def test_a_raised_or_ended_budget_lets_calls_through_within_a_second(
    web: Web, person: People, meter: Any
) -> None:
    alice = person("Alice", "pro")
    budget = set_budget(alice.account, Window.DAY, DOLLAR, key=alice.key)
    web.chat(alice)
    pretend(meter, budget, DOLLAR)
    assert web.chat(alice).status_code == 402
    raised = set_budget(alice.account, Window.DAY, 2 * DOLLAR, key=alice.key)
    eventually(lambda: web.chat(alice).status_code == 200, "the raised budget counts", 1.0)
    pretend(meter, budget, 2 * DOLLAR)
    assert web.chat(alice).status_code == 402
    end_budget(raised)
    eventually(lambda: web.chat(alice).status_code == 200, "the budget has ended", 1.0)


def test_the_budget_of_a_member_who_left_stops_nobody_within_a_second(
    web: Web, person: People, meter: Any
) -> None:
    alice, carol = person("Alice", "pro"), person("Carol")
    member = Membership.objects.create(account=alice.account, user=carol.user, role=Role.DEVELOPER)
    _, secret = issue_key(alice.account, "Carol's", created_by=carol.user)
    budget = set_budget(alice.account, Window.DAY, DOLLAR, member=member)

    def call() -> int:
        return web.post("/v1/chat/completions", secret, chat_body()).status_code

    assert call() == 200
    pretend(meter, budget, DOLLAR)
    assert call() == 402
    member.delete()
    eventually(lambda: call() == 200, "the member's budget counts no more", 1.0)
