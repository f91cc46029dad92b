"""500 calls from 16 clients, while the workers that write the ledger are killed with -9 five times."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from billing.models import UsageEvent, UsageHour, UsagePeriod
from billing.period import BillingPeriod
from tests.factories import Person
from tests.live import FakeUpstream, Process, Web, eventually, open_holds, used, with_meter

CALLS, CLIENTS, KILLS, PEOPLE = 500, 16, 5, 4


@pytest.mark.timeout(240)
def test_killed_workers_lose_and_double_nothing(
    web: Web, background: dict[str, Process], upstream: FakeUpstream, person: Callable[..., Person]
) -> None:
    people = [person(f"Erin{number}", "enterprise") for number in range(PEOPLE)]
    before = upstream.seen()["calls"]
    stop = threading.Event()
    killer = threading.Thread(target=_kill_now_and_then, args=(background["worker"], stop))
    killer.start()
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            statuses = Counter(clients.map(lambda number: _call(web, people, number), range(CALLS)))
    finally:
        stop.set()
        killer.join()
    assert statuses == {200: CALLS}
    assert upstream.seen()["calls"] == before + CALLS

    ids = [person.account.pk for person in people]
    events = UsageEvent.objects.filter(account__in=ids)
    backlog: Callable[[], int] = lambda: with_meter(lambda meter, stream: stream.backlog())  # noqa: E731
    eventually(lambda: backlog() == 0, "the stream is empty", 90)
    eventually(lambda: _rolled_up(ids) == CALLS, "the roll-up has seen every call", 60)

    assert events.count() == events.values("request_id").distinct().count() == CALLS
    period = BillingPeriod.containing(timezone.now()).key
    counted = [used(person, period) for person in people]
    nano = events.aggregate(nano=Sum("nano_cost"))["nano"]
    assert sum(found["nano"] for found in counted) == nano
    assert sum(found["calls"] for found in counted) == CALLS
    for totals in (UsageHour, UsagePeriod):
        found = totals.objects.filter(account__in=ids).aggregate(nano=Sum("nano_cost"), calls=Sum("calls"))
        assert found == {"nano": nano, "calls": CALLS}
    assert open_holds() == 0
    assert sum(found["held_nano"] + found["held_calls"] for found in counted) == 0


def _call(web: Web, people: list[Person], number: int) -> int:
    return web.chat(people[number % PEOPLE], f"say {number % 20 + 1}").status_code


def _kill_now_and_then(worker: Process, stop: threading.Event) -> None:
    """Kill the worker with its children five times, each time in the middle of the work, and start it again."""
    for _ in range(KILLS):
        stop.wait(random.uniform(0.8, 2.0))
        worker.kill()
        worker.start()
        time.sleep(0.5)


def _rolled_up(ids: list[uuid.UUID]) -> int:
    connection.close_if_unusable_or_obsolete()
    found = UsagePeriod.objects.filter(account__in=ids).aggregate(calls=Sum("calls", default=0))
    calls: int = found["calls"]
    return calls
