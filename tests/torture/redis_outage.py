"""The meter goes away under load, in every way it can, and comes back.

    stop     ended as an operator ends it              full     out of memory
    kill     kill -9                                   flush    its scripts are gone; it is not away
    freeze   SIGSTOP: connections stay, no answer      wipe     kill -9, and its disk is empty
    pause    CLIENT PAUSE: the same, by the server     gateway  frozen; a gateway is killed (-9), then it

Free plans fail closed: while the meter is away each new call must get 503 limiter_unavailable, 99 of 100 within 400 ms,
and none may reach the upstream. Paid plans live on leases that were granted beforehand: what passes must be within the
printed bound. Calls under way when the meter goes are answered, wait in the spool, and must have left it 10 s after the
meter is back. After each round upstream, meter and ledger must agree on every account, and each call that a customer
saw answered must be in the ledger once; also those that a gateway had answered just before it was killed.

Vacuous unless each fault happened, Free was refused often in each that refuses, settlements really waited in the spool,
and paid calls passed.
"""

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.runner.processes import wait_for
from tests.torture.load import Clients, Reply, chat
from tests.torture.meters import Meter
from tests.torture.run import Arguments, CannotRun, Checks, Run, at_least_one
from tests.torture.world import World, world

if TYPE_CHECKING:  # needs Django, which is set up when the world is made
    from tests.factories import Person

WEBS = 2
PEOPLE = 3  # of each plan
HOLD_SECONDS = 3.0
AWAY_SECONDS = 2.0
LEASE_SECONDS = 3.0  # after calls pass, until each process has asked for new leases
PATIENCE_SECONDS = 30.0
SPOOL_SECONDS = 10.0
P99_SECONDS = 0.4
PACE_SECONDS = 0.02
FEWEST_REFUSED = 5
LEASE_CALLS = 5  # an account's lease in one process; small, so that the run can use up what it allows


@dataclass(frozen=True)
class Fault:
    """What befalls the meter, and how it ends."""

    name: str
    begin: Callable[[Meter], None]
    end: Callable[[Meter], None]
    refuses: bool = True


def _empty_and_start(meter: Meter) -> None:
    meter.empty()
    meter.start()


FAULTS = (
    Fault("stop", lambda meter: meter.signal(signal.SIGTERM), Meter.start),
    Fault("kill", lambda meter: meter.signal(signal.SIGKILL), Meter.start),
    Fault("freeze", lambda meter: meter.signal(signal.SIGSTOP), lambda meter: meter.signal(signal.SIGCONT)),
    Fault(
        "pause",
        lambda meter: meter.tell("CLIENT", "PAUSE", round(AWAY_SECONDS * 1000) + 200, "ALL"),
        lambda meter: None,
    ),
    Fault(
        "full",
        lambda meter: meter.tell("CONFIG", "SET", "maxmemory", 1),
        lambda meter: meter.tell("CONFIG", "SET", "maxmemory", 0),
    ),
    Fault("flush", lambda meter: meter.tell("SCRIPT", "FLUSH"), lambda meter: None, refuses=False),
    Fault("wipe", lambda meter: meter.signal(signal.SIGKILL), _empty_and_start),
    Fault("gateway", lambda meter: meter.signal(signal.SIGSTOP), Meter.restart),
)


@dataclass
class Round:
    """What came of one fault."""

    fault: Fault
    under_way: list[Reply] = field(default_factory=list)
    free: list[Reply] = field(default_factory=list)
    paid: list[Reply] = field(default_factory=list)
    after: list[Reply] = field(default_factory=list)
    free_at_upstream: int = 0  # calls of Free that reached it while the meter was away
    most_paid: int = 0  # that passed of one account
    spooled: int = 0
    spool_seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    @property
    def replies(self) -> list[Reply]:
        """All of them."""
        return self.under_way + self.free + self.paid + self.after


@dataclass
class People:
    """Who calls."""

    free: list["Person"]
    paid: list["Person"]
    victims: list["Person"]  # their gateway is killed, so some of their calls may be answered to nobody

    def everybody(self) -> list["Person"]:
        """All of them."""
        return self.free + self.paid + self.victims


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=at_least_one, default=20, help="faults, all kinds in turn (20)")
    parser.add_argument("--only", choices=[fault.name for fault in FAULTS], help="one kind of fault")
    parser.add_argument("--untimed", action="store_true", help="do not judge the 400 ms: on a busy machine")


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    env = {"HOLD_SECONDS": str(HOLD_SECONDS), "METER_LEASE_CALLS": str(LEASE_CALLS)}
    with world(webs=WEBS, cluster=options.cluster, **env) as here:
        people = _make_people(here)
        bound = here.ledger.paid_bound(people.paid[0], WEBS)
        print(
            f"while the meter is away a paid account passes at most {bound} calls: {WEBS} processes x its lease"
        )
        rounds = []
        for number, fault in enumerate(_faults(options, checks), 1):
            rounds.append(_round(here, people, fault, checks))
            print(f"round {number}/{options.rounds} {_summary(rounds[-1])}")
        return _check(rounds, bound, options, checks)


def _make_people(here: World) -> People:
    free = here.ledger.make_people(
        PEOPLE, here.ledger.make_plan(fails_closed=True, overage=False, included_credit_nano=10**12)
    )
    paid_plan = here.ledger.make_plan(fails_closed=False)
    return People(free, here.ledger.make_people(PEOPLE, paid_plan), here.ledger.make_people(2, paid_plan))


def _faults(options: Arguments, checks: Checks) -> list[Fault]:
    """All kinds in turn, each turn in an order of its own."""
    kinds = [fault for fault in FAULTS if options.only in (None, fault.name)]
    turns = [checks.dice.sample(kinds, len(kinds)) for _ in range(-(-options.rounds // len(kinds)))]
    return [fault for turn in turns for fault in turn][: options.rounds]


def _summary(found: Round) -> str:
    def counted(replies: list[Reply]) -> str:
        return str(dict(Counter(reply.status for reply in replies)))

    return (
        f"{found.fault.name}: under way {counted(found.under_way)}, free {counted(found.free)}, paid "
        f"{counted(found.paid)}, spooled {found.spooled}, gone in {found.spool_seconds:.1f} s"
        + "".join(f"\n      {difference}" for difference in found.differences)
    )


# --- A round ---


def _round(here: World, people: People, fault: Fault, checks: Checks) -> Round:
    """1 all is well and at rest  2 calls are under way  3 the meter goes  4 others call  5 it comes back
    6 the spool empties, calls pass  7 at rest again, the books are compared."""
    found = Round(fault)
    asyncio.run(_greet(here, people, found))
    _rest(here)
    asyncio.run(
        _lose_gateway(here, people, found) if fault.name == "gateway" else _lose(here, people, found, checks)
    )
    found.spooled = sum(file.read_bytes().count(b"\n") for file in here.spool_files())
    fault.end(here.meter)
    back = time.monotonic()
    wait_for(lambda: not here.spool_files(), PATIENCE_SECONDS)
    found.spool_seconds = time.monotonic() - back
    if fault.name == "gateway":
        here.replace_web(0)
    asyncio.run(_greet(here, people, found))
    _rest(here)
    _compare(here, people, found)
    return found


async def _greet(here: World, people: People, found: Round) -> None:
    """One call of each at each gateway, as soon as calls pass: everybody is known there, and has a lease."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with Clients(here.urls) as clients:
        for person in people.everybody():
            for web in range(WEBS):
                reply = await clients.call(web, person.secret, _body(person, "say 5"))
                while reply.status != 200 and time.monotonic() < deadline:
                    await asyncio.sleep(0.2)
                    reply = await clients.call(web, person.secret, _body(person, "say 5"))
                found.after.append(reply)
        await asyncio.sleep(LEASE_SECONDS)


def _rest(here: World) -> None:
    """Wait until nothing is under way: no hold, no entry of the stream that the ledger lacks."""

    def at_rest() -> bool:
        here.ledger.sweep()
        here.ledger.drain()
        return bool(here.ledger.open_holds() == 0)

    if not wait_for(at_rest, PATIENCE_SECONDS, interval=0.3):
        raise CannotRun("Holds stay open although they are swept: look into the meter.")


async def _lose(here: World, people: People, found: Round, checks: Checks) -> None:
    callers = people.free + people.paid
    async with Clients(here.urls) as clients:
        seen = _seen(here, callers)
        under_way = [
            asyncio.create_task(clients.call(i % WEBS, person.secret, _long_body(person, i, checks)))
            for i, person in enumerate(callers)
        ]
        await asyncio.to_thread(
            wait_for, lambda: _seen(here, callers) >= seen + len(callers), PATIENCE_SECONDS
        )
        free, paid = _seen(here, people.free), [_seen(here, [person]) for person in people.paid]
        found.fault.begin(here.meter)
        until = time.monotonic() + AWAY_SECONDS
        await asyncio.gather(
            *(_keep_calling(clients, i, people.free, until, found.free) for i in range(3)),
            *(_keep_calling(clients, i, people.paid, until, found.paid) for i in range(2)),
        )
        found.under_way = list(await asyncio.gather(*under_way))
        found.free_at_upstream = _seen(here, people.free) - free
        found.most_paid = max(
            _seen(here, [person]) - before for person, before in zip(people.paid, paid, strict=True)
        )


async def _keep_calling(
    clients: Clients, number: int, people: list["Person"], until: float, replies: list[Reply]
) -> None:
    while time.monotonic() < until:
        number += 1
        person = people[number % len(people)]
        replies.append(
            await clients.call(number // len(people) % WEBS, person.secret, _body(person, "say 5"))
        )
        await asyncio.sleep(PACE_SECONDS)


async def _lose_gateway(here: World, people: People, found: Round) -> None:
    """The meter freezes with calls under way at one gateway, which is killed as soon as it has answered one of them.

    Then the meter is killed too, before it can read what the gateway had sent: only what was on disk is left.
    """
    async with Clients(here.urls) as clients:
        seen = _seen(here, people.victims)
        under_way = {
            asyncio.create_task(clients.call(0, person.secret, _body(person, "wait 600")))
            for person in people.victims * 3
        }
        await asyncio.to_thread(
            wait_for, lambda: _seen(here, people.victims) >= seen + len(under_way), PATIENCE_SECONDS
        )
        found.fault.begin(here.meter)
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        here.webs[0].process.kill(signal.SIGKILL)
        found.under_way = list(await asyncio.gather(*under_way))


def _body(person: "Person", text: str) -> bytes:
    return chat(text, str(person.account.pk), 64)


def _long_body(person: "Person", number: int, checks: Checks) -> bytes:
    """A call that is still under way when the meter goes, and over before it is back. Every second is a stream."""
    if number % 2:
        return chat(f"slow {checks.dice.randint(15, 30)}", str(person.account.pk), 64, stream=True)
    return _body(person, f"wait {checks.dice.randint(500, 1200)}")


def _seen(here: World, people: list["Person"]) -> int:
    users = here.upstream_saw()["users"]
    return sum(users.get(str(person.account.pk), 0) for person in people)


def _compare(here: World, people: People, found: Round) -> None:
    """Upstream, meter and ledger must agree on every account; each answered call is in the ledger once."""
    rows = Counter(row.request_id for row in here.ledger.rows(people.everybody()) if row.kind != "abandoned")
    wrong = [reply for reply in found.replies if reply.status == 200 and rows[reply.request_id] != 1]
    if wrong:
        times = sorted({rows[reply.request_id] for reply in wrong})
        found.differences.append(f"{len(wrong)} answered calls are in the ledger {times} times")
    for person in people.everybody():
        meter, own = here.ledger.used(person), here.ledger.rows([person])
        calls = sum(row.kind != "abandoned" and row.status == 200 for row in own)
        ledger = {"calls": calls, "nano": sum(row.nano for row in own), "held_calls": 0, "held_nano": 0}
        saw = _seen(here, [person])
        if meter != ledger or (saw != calls and person not in people.victims) or saw < calls:
            found.differences.append(f"{person.user.name}: meter {meter}, ledger {ledger}, upstream {saw}")


# --- What must hold ---


def _check(rounds: list[Round], bound: int, options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    away = [found for found in rounds if found.fault.refuses and found.fault.name != "gateway"]
    refused = [reply for found in away for reply in found.free]
    wrong = Counter(
        f"{r.status} {r.code}" for r in refused if (r.status, r.code) != (503, "limiter_unavailable")
    )
    checks.that(
        not wrong, f"Free: {len(refused)} calls while the meter was away, all 503 {dict(wrong) or ''}".strip()
    )
    p99 = statistics.quantiles([reply.seconds for reply in refused], n=100)[98] if len(refused) > 1 else 0.0
    if not options.untimed:
        checks.that(p99 <= P99_SECONDS, f"Free: refused in {p99 * 1000:.0f} ms (p99)")
    reached = sum(found.free_at_upstream for found in away)
    checks.that(reached == 0, f"Free: {reached} calls reached the upstream meanwhile")
    most = max((found.most_paid for found in away), default=0)
    checks.that(most <= bound, f"paid: at most {most} calls of an account passed in an outage, bound {bound}")
    odd = Counter(
        f"{r.status} {r.code}" for found in rounds for r in found.paid if r.status not in (200, 503)
    )
    checks.that(not odd, f"paid: nothing but answers and 503 {dict(odd) or ''}".strip())
    lost = [
        reply.status
        for found in rounds
        if found.fault.name != "gateway"
        for reply in found.under_way
        if reply.status != 200
    ]
    checks.that(not lost, f"every call under way was answered {lost or ''}".strip())
    slowest = max(found.spool_seconds for found in rounds)
    checks.that(
        slowest <= SPOOL_SECONDS, f"the spool was empty {slowest:.1f} s after the meter's return, or sooner"
    )
    stuck = [reply.status for found in rounds for reply in found.after if reply.status != 200]
    checks.that(not stuck, f"calls passed again after each fault {stuck or ''}".strip())
    unequal = [found.fault.name for found in rounds if found.differences]
    checks.that(
        not unequal,
        f"upstream = meter = ledger after {len(rounds) - len(unequal)} of {len(rounds)} rounds {unequal or ''}".strip(),
    )
    _check_not_vacuous(rounds, away, bound, checks)
    return f"{len(rounds) - len(unequal)}/{len(rounds)}", {
        "p99_ms": round(p99 * 1000),
        "free_refused": len(refused),
        "paid_bound": bound,
        "paid_most": most,
        "spool_seconds": round(slowest, 1),
        "spooled": sum(found.spooled for found in rounds),
        "rounds_by_fault": dict(Counter(found.fault.name for found in rounds)),
    }


def _check_not_vacuous(rounds: list[Round], away: list[Round], bound: int, checks: Checks) -> None:
    kinds = Counter(found.fault.name for found in rounds)
    wanted = len(FAULTS) if len(rounds) >= len(FAULTS) else 1
    checks.not_vacuous(len(kinds) >= wanted, f"faults: {dict(kinds)}")
    if away:
        fewest = min(len(found.free) for found in away)
        checks.not_vacuous(fewest >= FEWEST_REFUSED, f"Free called {fewest} times or more in each outage")
        spooled = min(found.spooled for found in away)
        checks.not_vacuous(spooled > 0, f"{spooled} or more settlements waited in the spool in each outage")
        passed = max(found.most_paid for found in away)
        checks.not_vacuous(passed > 0 or bound == 0, f"paid calls passed ({passed} of an account)")
    for found in rounds:
        if found.fault.name == "gateway":
            seen = sum(reply.status == 200 for reply in found.under_way)
            checks.not_vacuous(seen > 0, f"the killed gateway had answered {seen} calls")


RUN = Run("redis_outage", __doc__, "all rounds equal", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
