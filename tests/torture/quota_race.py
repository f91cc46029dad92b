"""Many clients race for the last calls of a quota, through two web processes, on a real meter.

Each round has two races, by accounts of their own. The quota of calls: exactly --quota are admitted, never one more
or less, and the upstream saw exactly as many. The budget in money: what is used and held never exceeds it while the
race is on, and when it is over less than one hold is left of it. Every call must end as one row of the ledger, and the
charges that clients were told, the meter's and the ledger's must be the same sum.

Vacuous unless at least three quarters of the clients were under way at once, half of the attempts were sent beside that
many others, the upstream had many calls at once, each web process admitted a fifth, and both races met refusals.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway import counters
from tests.torture.load import Clients, Reply, chat, nano
from tests.torture.run import Arguments, Checks, Run, at_least_one
from tests.torture.world import World, world

if TYPE_CHECKING:  # needs Django, which is set up when the world is made
    from tests.factories import Person

WEBS = 2
TOKENS = 200  # so that the answer, not the prompt, is most of a call's cost, and a hold is near to its charge
WAIT_MS = 20
SAMPLE_SECONDS = 0.01


@dataclass
class Race:
    """One race: what its clients saw, and the most that the meter had used and held meanwhile."""

    replies: list[Reply] = field(default_factory=list)
    crowded: int = 0  # attempts that were sent beside three quarters of the clients
    most_calls: int = 0
    most_nano: int = 0
    most_at_upstream: int = 0
    upstream: int = 0
    used: dict[str, int] = field(default_factory=dict)
    is_over: bool = False

    @property
    def admitted(self) -> list[Reply]:
        """The calls that were answered."""
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def told(self) -> int:
        """The sum of the charges that the clients were told, in nano-units."""
        return sum(nano(reply.cost) for reply in self.admitted)

    def statuses(self) -> dict[str, int]:
        """How often each answer came."""
        return dict(Counter(f"{reply.status} {reply.code}".strip() for reply in self.replies))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=at_least_one, default=64, help="clients at once (64)")
    parser.add_argument("--attempts", type=at_least_one, default=2000, help="calls tried in a race (2000)")
    parser.add_argument("--quota", type=at_least_one, default=1000, help="calls that may pass (1000)")
    parser.add_argument("--rounds", type=at_least_one, default=30, help="rounds of both races (30)")
    parser.add_argument("--share", type=int, default=20, help="percent that each web process must admit (20)")


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    with world(webs=WEBS, cluster=options.cluster, METER_TIMEOUT_SECONDS="10") as here:
        hold, charge = _price(here, options)
        calls_plan = here.ledger.make_plan(
            calls_per_period=options.quota, overage=False, included_credit_nano=10**15
        )
        budget = options.quota * charge
        money_plan = here.ledger.make_plan(overage=False, included_credit_nano=budget)
        print(f"a call costs {charge} nano and holds {hold}; the budget is {budget}")
        exact, worst = 0, 0
        races: list[Race] = []
        people: list[Person] = []
        for number in range(1, options.rounds + 1):
            by_calls = _race(here, options, calls_plan, people, checks)
            by_money = _race(here, options, money_plan, people, checks)
            races += [by_calls, by_money]
            exact += _is_exact(by_calls, options.quota)
            worst = max(worst, budget - by_money.used["nano"])
            print(
                f"round {number}/{options.rounds}: {by_calls.statuses()}, upstream {by_calls.upstream}; "
                f"money {by_money.statuses()}, {budget - by_money.used['nano']} of {budget} left"
            )
        calls, money = races[::2], races[1::2]
        checks.that(
            exact == options.rounds, f"exactly {options.quota} admitted in {exact} of {options.rounds} rounds"
        )
        _check_calls(calls, options.quota, checks)
        _check_money(money, budget, hold, checks)
        _check_books(here, people, races, checks)
        _check_not_vacuous(races, options, checks)
    more = {"clients": options.clients, "attempts": options.attempts, "quota": options.quota}
    more |= {"worst_slack_nano": worst, "hold_nano": hold, "calls": sum(len(race.admitted) for race in races)}
    return f"{exact}/{options.rounds}", more


def _price(here: World, options: Arguments) -> tuple[int, int]:
    """Make one call and return what it holds and what it costs, in nano-units."""
    person = here.ledger.make_people(1, here.ledger.make_plan())[0]

    async def call_and_look() -> tuple[int, int]:
        async with Clients(here.urls) as clients, _meter(here) as meter:
            body = chat(f"wait 500 {TOKENS}", str(person.account.pk), TOKENS)
            call = asyncio.create_task(clients.call(0, person.secret, body))
            held = 0
            while not call.done():
                await asyncio.sleep(0.05)
                found = await meter.usage_of(str(person.account.pk), here.ledger.period_now().key)
                held = max(held, found["held_nano"])
            return held, nano((await call).cost)

    return asyncio.run(call_and_look())


def _race(here: World, options: Arguments, plan: str, people: list["Person"], checks: Checks) -> Race:
    person = here.ledger.make_people(1, plan)[0]
    people.append(person)
    account = str(person.account.pk)
    here.upstream_saw()  # its `most_at_once` starts anew
    race = asyncio.run(_run_race(here, options, person, checks.dice.random()))
    saw = here.upstream_saw()
    race.upstream, race.most_at_upstream = saw["users"].get(account, 0), saw["most_at_once"]
    race.used = here.ledger.used(person)
    return race


async def _run_race(here: World, options: Arguments, person: "Person", tilt: float) -> Race:
    """All clients go for the quota at once. Then one goes on alone until it is refused: with no hold open, a refusal
    means that the budget is used up to less than one hold."""
    race, left, account = Race(), iter(range(options.attempts)), str(person.account.pk)
    body = chat(f"wait {WAIT_MS} {TOKENS}", account, TOKENS)
    crowd = options.clients * 3 // 4

    async def client(clients: Clients, number: int) -> None:
        for turn, _ in enumerate(left):  # each client takes turns, so a slower process gets as many calls
            race.crowded += clients.under_way >= crowd - 1
            web = (turn + number + int(tilt * 10)) % WEBS
            race.replies.append(await clients.call(web, person.secret, body))

    async with Clients(here.urls) as clients, _meter(here) as meter:
        watch = asyncio.create_task(_watch(meter, account, here.ledger.period_now().key, race))
        await asyncio.gather(*(client(clients, number) for number in range(options.clients)))
        while race.replies[-1].status == 200 and len(race.replies) < options.attempts * 3:
            race.replies.append(await clients.call(0, person.secret, body))
        race.is_over = (
            True  # and not cancelled: a client of Redis may swallow that, and the watch would go on
        )
        await watch
    return race


async def _watch(meter: counters.Counters, account: str, period: str, race: Race) -> None:
    while not race.is_over:
        found = await meter.usage_of(account, period)
        race.most_calls = max(race.most_calls, found["calls"] + found["held_calls"])
        race.most_nano = max(race.most_nano, found["nano"] + found["held_nano"])
        await asyncio.sleep(SAMPLE_SECONDS)


@asynccontextmanager
async def _meter(here: World) -> AsyncIterator[counters.Counters]:
    client = counters.connect(here.meter.url, timeout=20)
    try:
        yield counters.Counters(client)
    finally:
        await client.aclose()


def _is_exact(race: Race, quota: int) -> bool:
    refused = race.statuses().get("402 quota_exceeded", 0)
    everybody = len(race.admitted) + refused == len(race.replies)
    return everybody and len(race.admitted) == race.upstream == race.used["calls"] == quota


def _check_calls(races: list[Race], quota: int, checks: Checks) -> None:
    over = sum(max(0, len(race.admitted) - quota) for race in races)
    under = sum(max(0, quota - len(race.admitted)) for race in races)
    checks.that(over == under == 0, f"calls: {over} over, {under} under")
    saw = [race.upstream for race in races]
    checks.that(set(saw) == {quota}, f"calls: the upstream saw {min(saw)} to {max(saw)} in a round")
    most = max(race.most_calls for race in races)
    checks.that(most <= quota, f"calls: never more than {quota} used and held (most seen: {most})")


def _check_money(races: list[Race], budget: int, hold: int, checks: Checks) -> None:
    used = [race.used["nano"] for race in races]
    checks.that(max(used) <= budget, f"money: never over the budget of {budget} (most used: {max(used)})")
    most = max(race.most_nano for race in races)
    checks.that(most <= budget, f"money: never more than {budget} used and held (most seen: {most})")
    slack = budget - min(used)
    checks.that(slack < hold, f"money: at most {slack} left, less than one hold of {hold}")
    wrong = [race.statuses() for race in races if race.statuses().keys() - {"200", "402 insufficient_credit"}]
    checks.that(not wrong, f"money: nothing but answers and insufficient_credit {wrong or ''}".strip())
    same = all(race.upstream == len(race.admitted) for race in races)
    checks.that(same, "money: the upstream saw exactly the calls that were admitted")


def _check_books(here: World, people: list["Person"], races: list[Race], checks: Checks) -> None:
    here.ledger.drain()
    held = [race.used["held_calls"] + race.used["held_nano"] for race in races]
    checks.that(not any(held) and here.ledger.open_holds() == 0, "at rest no hold is open")
    rows = here.ledger.rows(people)
    seen = {reply.request_id for race in races for reply in race.admitted}
    once = len(rows) == len({row.request_id for row in rows}) and {row.request_id for row in rows} == seen
    checks.that(once, f"each of {len(seen)} calls is in the ledger once ({len(rows)} rows)")
    told, metered = sum(race.told for race in races), sum(race.used["nano"] for race in races)
    booked = sum(row.nano for row in rows)
    checks.that(told == metered == booked, f"one sum: clients {told}, meter {metered}, ledger {booked} nano")


def _check_not_vacuous(races: list[Race], options: Arguments, checks: Checks) -> None:
    crowd = options.clients * 3 // 4
    crowded = min(race.crowded for race in races)
    checks.not_vacuous(
        crowded * 2 >= options.attempts,
        f"at least {crowded} of {options.attempts} attempts beside {crowd} others",
    )
    upstream = min(race.most_at_upstream for race in races[::2])
    checks.not_vacuous(upstream * 4 >= options.clients, f"the upstream had {upstream} or more calls at once")
    for web in range(WEBS):
        share = min(
            sum(reply.web == web for reply in race.admitted) / max(1, len(race.admitted)) for race in races
        )
        checks.not_vacuous(
            share * 100 >= options.share, f"web process {web + 1} admitted {share:.0%} or more of each race"
        )
    refused = min(sum(reply.status == 402 for reply in race.replies) for race in races)
    checks.not_vacuous(refused > 0, f"each race met refusals ({refused} or more)")


RUN = Run("quota_race", __doc__, "all rounds exact", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
