"""What tests/bench/ledger.py measures, one thing to a process, with the engines in its environment: the product's code.

python -m tests.bench.ledger_work drain|grow|busy|many NUMBER SEED     prints one line of JSON at its end

A process of its own for each size, so that its peak of memory is that size's.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Account  # noqa: E402
from billing import alerts  # noqa: E402
from billing.aggregation import catch_up  # noqa: E402
from billing.budget_window import Window  # noqa: E402
from billing.budgets import set_budget  # noqa: E402
from billing.call_log import latest_calls  # noqa: E402
from billing.explorer import explore, total_of  # noqa: E402
from billing.invoicing import close_due_periods, close_period  # noqa: E402
from billing.metering import record  # noqa: E402
from billing.models import Statement, StatementLine, UsageEvent, UsagePeriod  # noqa: E402
from billing.period import BillingPeriod  # noqa: E402
from billing.ranges import read_range  # noqa: E402
from billing.seeding import seed_billing  # noqa: E402
from gateway.ledger_writer import drain_usage  # noqa: E402
from tests.bench.ledger_events import fill_stream, insert, make_accounts, news  # noqa: E402
from tests.bench.ledger_postgres import Postgres  # noqa: E402

_LAST = BillingPeriod.containing(timezone.now()).previous
_LOOKS = 5  # at a page; the quickest counts
_EACH = 10  # events of each of many accounts
_SECONDS = 20  # of a busy hour that are measured
_EACH_SECOND = 100  # calls recorded in each of them

Figures = dict[str, Any]


def drain(events: int, seed: int) -> Figures:
    """Put reports of a hundred accounts into the stream, and time the writer that takes them out, once each."""
    accounts = make_accounts(100, "drained", _LAST)
    nano = asyncio.run(fill_stream(accounts, events, random.Random(seed)))
    moved: list[int] = []
    spent = _measured(lambda: moved.append(asyncio.run(drain_usage())))
    rows = UsageEvent.objects.filter(account__in=accounts)
    return spent | {
        "events": events,
        "new": _SECONDS * _EACH_SECOND,
        "ticks": _SECONDS,
        "moved": moved[0],
        "rows": rows.count(),
        "exact": rows.aggregate(nano=Sum("nano_cost"))["nano"] == nano,
        "load": os.getloadavg()[0],
    }


def grow(events: int, seed: int) -> Figures:
    """Give one account `events` in last month; measure their roll-up, the usage page and the closing."""
    (account,) = make_accounts(1, f"with {events}", _LAST)
    insert([account], events, _LAST.start, _LAST.end, seed)
    rolled, ledger = _measured(catch_up), _ledger_nano(account)
    pages = _pages(account)
    closed = _measured(lambda: close_period(account, _LAST))
    lines = StatementLine.objects.filter(statement__account=account, kind=StatementLine.Kind.USAGE)
    return {
        "events": events,
        "roll_up": rolled,
        "close": closed,
        "pages_ms": pages,
        "memory_mb": _peak_mb(),
        "exact": ledger
        == UsagePeriod.objects.get(account=account).nano_cost
        == lines.aggregate(nano=Sum("nano_amount"))["nano"],
    }


def busy(events: int, seed: int) -> Figures:
    """Give one account, with a budget for the month, `events` in an hour that fills; measure recording and counting
    what each of its last seconds brings, and the look at its budgets."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    (account,) = make_accounts(1, f"busy with {events}", _LAST)
    insert([account], events, hour, hour + timedelta(hours=1), seed)
    set_budget(account, Window.MONTH, 10**15)
    catch_up()
    alerts.check_due()
    chance, last = random.Random(seed), hour + timedelta(minutes=59, seconds=30)

    def seconds_go_by() -> None:
        for second in range(_SECONDS):
            record(news(account, last + timedelta(seconds=second), _EACH_SECOND, chance))
            catch_up()
            alerts.check_due()

    spent = _measured(seconds_go_by)
    total = UsagePeriod.objects.get(account=account)
    return spent | {
        "events": events,
        "new": _SECONDS * _EACH_SECOND,
        "ticks": _SECONDS,
        "exact": (events + _SECONDS * _EACH_SECOND, _ledger_nano(account)) == (total.calls, total.nano_cost),
    }


def many(accounts: int, seed: int) -> Figures:
    """Close the period of many accounts with ten events each, as the task does."""
    made = make_accounts(accounts, "one of many", _LAST)
    insert(made, _EACH, _LAST.start, _LAST.end, seed)
    rolled = _measured(catch_up)
    closed = _measured(lambda: close_due_periods() and None)
    statements = Statement.objects.filter(account__in=made, period=_LAST.key)
    return {
        "accounts": accounts,
        "statements": statements.count(),
        "roll_up": rolled,
        "close": closed,
        "memory_mb": _peak_mb(),
    }


def _pages(account: Account) -> dict[str, float]:
    """The quickest of a few looks at each query of the usage page, in ms, with the whole month in view."""
    days = {"range": "custom", "from": f"{_LAST.key}-01", "to": f"{_LAST.key}-28"}
    span = read_range(days, timezone.now())
    looks: dict[str, Callable[[], object]] = {
        "explore": lambda: explore(account, span, "model"),
        "total": lambda: total_of(account, _LAST.start, _LAST.end),
        "latest": lambda: latest_calls(account, 50),
    }
    return {name: min(_seconds(look) for _ in range(_LOOKS)) * 1000 for name, look in looks.items()}


def _ledger_nano(account: Account) -> int:
    found: int = UsageEvent.objects.filter(account=account).aggregate(nano=Sum("nano_cost"))["nano"]
    return found


def _measured(work: Callable[[], object]) -> Figures:
    """Do it, and tell wall time and CPU in seconds, and the memory of the hungriest PostgreSQL backend in MB."""
    connection.close()
    database: Any = connection
    database.close_pool()  # a backend of its own: what the set-up needed is not counted
    server = Postgres(os.environ["DATABASE_URL"])
    with server.watched() as peak:
        theirs, ours = server.cpu_seconds(), time.process_time()
        seconds = _seconds(work)
        ours, theirs = time.process_time() - ours, server.cpu_seconds() - theirs
    return {"seconds": seconds, "worker_cpu": ours, "postgres_cpu": theirs, "postgres_mb": peak.mb}


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure one thing, and print it."""
    kind, number, seed = sys.argv[1:]
    seed_billing()
    measure = {"drain": drain, "grow": grow, "busy": busy, "many": many}[kind]
    print(json.dumps(measure(int(number), int(seed))))


if __name__ == "__main__":
    main()
