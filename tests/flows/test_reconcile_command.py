"""`manage.py reconcile` on the real meter: green after real calls, red for one cent in the counters."""

import contextlib
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import Discrepancy, UsagePeriod
from billing.period import BillingPeriod
from gateway.meter_keys import keys_of
from tests.factories import Person
from tests.live import Process, Web, eventually, open_holds

CENT = 10_000_000


@pytest.fixture
def nothing_open(live_database: dict[str, str]) -> Iterator[None]:
    """Start and end without open discrepancies: they are rows that stay."""
    Discrepancy.objects.all().delete()
    yield
    Discrepancy.objects.all().delete()


def test_a_cent_in_the_counters_turns_the_command_red(
    web: Web,
    background: dict[str, Process],
    person: Callable[..., Person],
    meter: "redis.Redis",
    nothing_open: None,
) -> None:
    alice = person("Alice", "pro")
    for _ in range(3):
        assert web.chat(alice, "say 5").status_code == 200
    eventually(lambda: open_holds() == 0, "everything is settled")
    period = BillingPeriod.containing(timezone.now())
    subject = f"{alice.account.pk} nano"
    assert not _of_alice(alice, _reconcile(period))
    assert UsagePeriod.objects.get(account=alice.account).calls == 3

    counters = keys_of(str(alice.account.pk)).quota(period.key)
    meter.hincrby(counters, "nano", CENT)
    found = _of_alice(alice, _reconcile(period))
    assert [(row["check_name"], row["subject"], row["found"] - row["expected"]) for row in found] == [
        ("counters", subject, CENT)
    ]
    with pytest.raises(CommandError, match="close each with a note") as red:
        call_command("reconcile", "--period", period.key, stdout=StringIO())
    assert red.value.returncode == 1
    meter.hincrby(counters, "nano", -CENT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--date", "24.11.2026"], "Write the day as YYYY-MM-DD"),
        (["--period", "2026-13"], "Write the day as YYYY-MM-DD"),
        (["--upstream-bill", "hf-router"], "Write --upstream-bill as"),
    ],
)
def test_wrong_usage_says_what_to_write(
    live_database: dict[str, str], arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as refused:
        call_command("reconcile", *arguments)
    assert refused.value.returncode == 2


def _reconcile(period: BillingPeriod) -> dict[str, Any]:
    out = StringIO()
    with contextlib.suppress(CommandError):  # red, perhaps for what other tests left: the JSON says which
        call_command("reconcile", "--period", period.key, "--json", stdout=out)
    result: dict[str, Any] = json.loads(out.getvalue())
    assert result["compared"]["counters"] > 0
    return result


def _of_alice(alice: Person, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The open rows about her: other tests leave accounts whose counters they broke on purpose."""
    return [row for row in result["open"] if str(alice.account.pk) in row["subject"]]
