"""A gateway is frozen (SIGSTOP) in the middle of its calls until their holds were swept; then it goes on.

Its calls were recorded as abandoned, at no charge, and their customers get their answers all the same. So each must be
billed, once, as `late`; nothing may be held twice or become negative; and the sums of meter and ledger stay equal.
Half of the calls are streams.

Vacuous unless every call's hold was swept while its gateway was frozen: an `abandoned` row of each is there.
"""

import argparse
import asyncio
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.runner.processes import wait_for
from tests.torture.load import Clients, Reply, chat, nano
from tests.torture.run import Arguments, Checks, Run, at_least_one
from tests.torture.world import World, world

if TYPE_CHECKING:  # these need Django, which is set up when the world is made
    from tests.factories import Person
    from tests.torture.ledger import Row

HOLD_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
KINDS = ("abandoned", "late")  # in the order in which they come


@dataclass
class Stop:
    """What came of one stop."""

    swept: int  # while the gateway was frozen
    held_after_sweep: int
    lowest: int  # of all counters, at every look
    replies: list[Reply]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=at_least_one, default=50, help="stops of the gateway (50)")
    parser.add_argument("--calls", type=at_least_one, default=8, help="calls under way at each stop (8)")


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    with world(
        webs=1, cluster=options.cluster, HOLD_SECONDS=str(HOLD_SECONDS), METER_TIMEOUT_SECONDS="10"
    ) as here:
        person = here.ledger.make_people(1, here.ledger.make_plan())[0]
        stops = []
        for number in range(1, options.rounds + 1):
            stops.append(_stop_once(here, person, options.calls, checks))
            print(f"stop {number}/{options.rounds}: {stops[-1].swept} swept, {_statuses(stops[-1])}")
        right = _check(here, person, stops, options, checks)
    calls = sum(len(stop.replies) for stop in stops)
    return f"{right}/{options.rounds}", {"calls": calls, "calls_a_stop": options.calls}


def _statuses(stop: Stop) -> dict[int, int]:
    return dict(Counter(reply.status for reply in stop.replies))


def _stop_once(here: World, person: "Person", calls: int, checks: Checks) -> Stop:
    """1 calls are under way  2 freeze  3 deadlines pass, sweep  4 thaw, answers come. Everything is looked at."""
    seen = _seen(here, person) + calls
    looks: list[dict[str, int]] = []

    async def run() -> Stop:
        async with Clients(here.urls) as clients:
            under_way = [
                asyncio.create_task(clients.call(0, person.secret, _body(person, number, checks)))
                for number in range(calls)
            ]
            await asyncio.to_thread(wait_for, lambda: _seen(here, person) >= seen, PATIENCE_SECONDS, 0.01)
            here.webs[0].process.kill(signal.SIGSTOP)
            try:
                # An own event loop for the meter, in a thread: this one keeps the clients.
                swept, held = await asyncio.to_thread(_sweep_all, here, person, calls, looks)
            finally:
                here.webs[0].process.kill(signal.SIGCONT)
            return Stop(swept, held, 0, list(await asyncio.gather(*under_way)))

    stop = asyncio.run(run())
    looks.append(here.ledger.used(person))
    stop.lowest = min(min(look.values()) for look in looks)
    return stop


def _seen(here: World, person: "Person") -> int:
    return int(here.upstream_saw()["users"].get(str(person.account.pk), 0))


def _body(person: "Person", number: int, checks: Checks) -> bytes:
    """Every second call is a stream; both last longer than it takes to freeze the gateway."""
    if number % 2:
        return chat("slow 20", str(person.account.pk), 64, stream=True)
    return chat(f"wait {checks.dice.randint(600, 1500)}", str(person.account.pk), 64)


def _sweep_all(here: World, person: "Person", calls: int, looks: list[dict[str, int]]) -> tuple[int, int]:
    """Sweep, as the worker does each second, until nothing is open. Returns (how many, what is held then)."""
    swept = 0

    def ended() -> bool:
        nonlocal swept
        looks.append(here.ledger.used(person))
        swept += int(here.ledger.sweep())
        return swept >= calls

    wait_for(ended, PATIENCE_SECONDS, interval=0.2)
    looks.append(here.ledger.used(person))
    return swept, looks[-1]["held_calls"] + looks[-1]["held_nano"]


def _check(here: World, person: "Person", stops: list[Stop], options: Arguments, checks: Checks) -> int:
    """Check what the ledger has of every call. Returns in how many stops all was right."""
    here.ledger.drain()
    rows: dict[str, list[Row]] = {}
    for row in here.ledger.rows([person]):
        rows.setdefault(row.request_id, []).append(row)
    right = sum(all(_billed_once(rows, reply) for reply in stop.replies) for stop in stops)
    checks.that(
        right == options.rounds, f"every call billed once, as late, in {right} of {options.rounds} stops"
    )
    answers = sum((Counter(_statuses(stop)) for stop in stops), Counter())
    checks.that(set(answers) == {200}, f"every customer got their answer: {dict(answers)}")
    lowest = min(stop.lowest for stop in stops)
    checks.that(lowest >= 0, f"no counter was ever negative (lowest: {lowest})")
    held = max(stop.held_after_sweep for stop in stops)
    checks.that(held == 0 and here.ledger.open_holds() == 0, f"after each sweep nothing is held ({held})")
    _check_sums(here, person, stops, rows, checks)
    swept = min(stop.swept for stop in stops)
    checks.not_vacuous(
        swept == options.calls, f"at every stop all {options.calls} holds were swept ({swept} or more)"
    )
    abandoned = sum(row.kind == "abandoned" for found in rows.values() for row in found)
    checks.not_vacuous(
        abandoned == options.rounds * options.calls, f"{abandoned} calls were recorded as abandoned before"
    )
    return right


def _billed_once(rows: dict[str, list["Row"]], reply: Reply) -> bool:
    """One abandoned row at no charge, one late row with the charge that the customer was told, where they were."""
    found = {row.kind: row for row in rows.get(reply.request_id, [])}
    if len(rows.get(reply.request_id, [])) != len(KINDS) or set(found) != set(KINDS):
        return False
    told = nano(reply.cost) if reply.cost else found["late"].nano
    return found["abandoned"].nano == 0 and found["late"].nano == told > 0


def _check_sums(
    here: World, person: "Person", stops: list[Stop], rows: dict[str, list["Row"]], checks: Checks
) -> None:
    meter = here.ledger.used(person)
    booked = [row for found in rows.values() for row in found]
    calls, charged = sum(row.kind == "late" for row in booked), sum(row.nano for row in booked)
    saw = _seen(here, person)
    checks.that(
        meter["calls"] == calls == saw == sum(len(stop.replies) for stop in stops),
        f"one count: upstream {saw}, meter {meter['calls']}, ledger {calls}",
    )
    checks.that(meter["nano"] == charged, f"one sum: meter {meter['nano']}, ledger {charged} nano")


RUN = Run("late_settle", __doc__, "all stops billed once", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
