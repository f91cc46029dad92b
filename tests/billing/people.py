"""What several tests of this folder share."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from billing.models import Statement, StatementLine, Subscription
from billing.period import BillingPeriod
from tests.factories import Person

# The last period that is over, whenever the tests run.
PERIOD = BillingPeriod.containing(timezone.now()).previous


def on_plan_since(moment: datetime, *people: Person) -> None:
    """Let people have been on their plans since a moment, so that past periods have a fee."""
    accounts = [person.account for person in people]
    Subscription.objects.filter(account__in=accounts).update(started_at=moment)


def written(statement: Statement | None) -> list[tuple[str, int]]:
    """What a statement says: (description, amount in minor units) by line."""
    lines = StatementLine.objects.filter(statement=statement).order_by("position")
    return [(line.description, line.amount_minor) for line in lines]


def meanwhile(work: Callable[[], object], *jobs: Callable[[], object], keep: bool = True) -> None:
    """Do `work` in a transaction that stays open until every job, begun after it, waits for its locks.

    Then commit it (or roll it back, without `keep`) and let the jobs finish; raise what any of them raised.
    """
    done = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            work()
            done.set()
            _wait_until_blocked(len(jobs))
            transaction.set_rollback(not keep)

    def after(job: Callable[[], object]) -> Callable[[], object]:
        return lambda: done.wait(timeout=10) and job()

    together(hold, *map(after, jobs))


def _wait_until_blocked(count: int) -> None:
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0] >= count:
                return
        time.sleep(0.01)
    raise AssertionError(f"{count} jobs should wait for a lock by now, and do not.")


def together(*jobs: Callable[[], object]) -> None:
    """Run jobs at once, each on a connection of its own; raise what any of them raised."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        try:
            gate.wait(timeout=10)
            job()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
