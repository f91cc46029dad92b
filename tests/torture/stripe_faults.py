"""Twenty customers use, renew and pay, month after month, while everything between us and Stripe goes wrong.

Processes are killed (SIGKILL) at each boundary of our operations: before the row is written, after it, after
Stripe's answer, after it is noted. The fake Stripe closes and resets connections before and after it did the work,
answers 500 and keeps that answer, answers 429, is away for 25 hours, longer than an idempotency key lives, and loses,
doubles and shuffles its webhooks. Then a thousand webhooks come that are replayed, out of order, of another time or
tampered with.

In the end ledger, statements and the fake Stripe must say the same of every account, to the minor unit, and no line
may stand on an invoice twice. Vacuous unless each kill and each fault happened at least `--least` times.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.stripe.faults import NAMES, WEBHOOK_NAMES
from tests.fakes.stripe.process import SECRET_KEY, WEBHOOK_SECRET, FakeStripe
from tests.processes import any_port
from tests.torture.run import Arguments, CannotRun, Checks, Run, at_least_one
from tests.torture.world import World, world

if TYPE_CHECKING:  # these need Django, which is set up when the world is made
    from tests.torture.collection import Side

# Of what changes something; what only looks is hit a fifth as often.
RATES = dict.fromkeys(NAMES, 0.045) | dict.fromkeys(WEBHOOK_NAMES, 0.12) | {"webhook_reorder": 0.7}
READS = 0.2
UNHEARD = ("error_after", "cut_after", "reset_after")
SLOW_SECONDS = 0.2
MOST_MONTHS = 36
OUTAGE_HOURS = 25


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--windows", type=at_least_one, default=200, help="processes that are killed (200)")
    parser.add_argument("--accounts", type=at_least_one, default=20, help="customers (20)")
    parser.add_argument(
        "--webhooks", type=at_least_one, default=1000, help="webhooks of the last part (1000)"
    )
    parser.add_argument("--least", type=int, default=50, help="how often each fault must happen (50)")


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    with _both_sides(options, checks) as (here, side):
        months = _live(side, options)
        side.settle()
        agreed = _check_money(side, checks)
        forged = _check_forgery(here, side, options, checks)
        state = side.fake.state()
        _check_faults(side, state, options, checks)
    figure = {
        "months": months, "windows": sum(side.killed.values()), "kills": dict(side.killed), "rounds": side.rounds,
        "faults": state["faults"]["fired"], "webhooks": forged, "webhooks_sent": state["webhooks_sent"],
        "requests_judged": state["validated_requests"], "objects_judged": state["validated_objects"],
    }  # fmt: skip
    return f"{agreed}/{options.accounts}", figure


@contextmanager
def _both_sides(options: Arguments, checks: Checks) -> Iterator[tuple[World, "Side"]]:
    os.environ["DATABASE_POOL"] = "false"  # a pool does not survive a fork
    fake = FakeStripe.start(any_port(), "--now", str(int(time.time())))
    try:
        told = {
            "STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_API_BASE": fake.url, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }  # fmt: skip
        with world(webs=1, cluster=options.cluster, **told) as here:
            from tests.torture.collection import Side

            side = Side(fake, Path(here.env["TURNPIKE_VAR"]) / "rounds.log", checks.dice)
            side.begin(options.accounts)
            webhook = f"{here.urls[0]}/webhooks/stripe"
            fake.control("endpoint", url=webhook, secret=WEBHOOK_SECRET)
            yield here, side
    finally:
        fake.stop()


def _live(side: "Side", options: Arguments) -> int:
    """Months go by until as many processes were killed as asked for. Returns how many months."""
    _let_things_go_wrong(side)
    _all_subscribe(side)
    for month in range(1, MOST_MONTHS + 1):
        side.use()
        _let_things_go_wrong(side)
        side.to_next_period()
        _break_things(side, options, outage=month in (1, 3))
        print(
            f"month {month}: {sum(side.killed.values())} kills of {options.windows}, {side.rounds} rounds",
            flush=True,
        )
        if not side.settle():
            return month  # the checks say what is wrong
        if sum(side.killed.values()) >= options.windows and _all_fired(side, options):
            return month
    raise CannotRun(
        f"{MOST_MONTHS} months gave only {sum(side.killed.values())} kills. Ask for fewer --windows."
    )


def _let_things_go_wrong(side: "Side") -> None:
    seed = side.dice.randrange(10**6)
    # Where it matters most: lines were added, or an invoice was issued, and we do not hear of it.
    unheard = [{"fault": fault, "path": path} for fault in UNHEARD for path in ("add_lines", "finalize")]
    side.fake.control(
        "faults", seed=seed, rates=RATES, reads=READS, slow_seconds=SLOW_SECONDS, next=unheard * 2
    )


def _all_subscribe(side: "Side") -> None:
    """Everybody asks for the Checkout page again until there is one, as people do, and pays."""
    from tests.torture.collection import BOUNDARIES

    for number, person in enumerate(side.people):
        key = f"subscribe:{number}"
        for nth in range(100):
            boundary = BOUNDARIES[(number + nth) % len(BOUNDARIES)] if nth < 3 else None
            side.window(lambda person=person, key=key: side.ask_for_page(person, key), boundary, 1 + nth % 2)  # type: ignore[misc]
            if side.subscribe(person, key):
                break
    side.settle()


def _break_things(side: "Side", options: Arguments, *, outage: bool) -> None:
    """Rounds of beat in processes that are killed, a few minutes apart; in some months Stripe is away meanwhile."""
    from tests.torture.collection import BOUNDARIES

    side.move(seconds=3900)  # the period's grace is over
    for number in range(max(8, options.windows // 5)):
        if outage and number == 4:
            side.fake.control("outage", hours=OUTAGE_HOURS)
        least = min(BOUNDARIES, key=lambda name: side.killed[name])
        side.window(side.beat, least, side.dice.randint(1, 3))
        side.move(seconds=120)
        if outage and number == 7:
            side.move(seconds=OUTAGE_HOURS * 3600)


def _all_fired(side: "Side", options: Arguments) -> bool:
    fired = side.fake.state()["faults"]["fired"]
    return all(fired.get(name, 0) >= options.least for name in RATES)


# --- what must hold -----------------------------------------------------------------------------------------


def _check_money(side: "Side", checks: Checks) -> int:
    from tests.torture import agreement

    stripe = agreement.Stripe(side.fake)
    agreed = 0
    for person in side.people:
        found = list(agreement.differences(person.account, stripe))
        agreed += not found
        for difference in found[:5]:
            print(f"      {person.account}: {difference}")
    count = len(side.people)
    checks.that(
        agreed == count,
        f"ledger = statements = fake Stripe for {agreed} of {count} accounts, to the minor unit",
    )
    twice = stripe.lines_twice()
    lines = sum(len(one["lines"]["data"]) for one in stripe.invoices)
    checks.that(not twice, f"no line twice: {len(twice)} of {lines} lines on {len(stripe.invoices)} invoices")
    checks.that(not agreement.alarms(), f"no alarm: {agreement.alarms()[:3]}")
    checks.that(
        not side.problems, f"no round raised what it should not: {len(side.problems)} {side.problems[:1]}"
    )
    checks.not_vacuous(
        all(len(stripe.of(person.account)) > 1 for person in side.people),
        "every account has more than one invoice",
    )
    return agreed


def _check_forgery(here: World, side: "Side", options: Arguments, checks: Checks) -> int:
    from tests.torture import agreement
    from tests.torture.forgery import BAD, GOOD, Forger

    before = agreement.fingerprint()
    known = side.inbox_rows()
    forger = Forger(here.urls[0], side.fake.objects("event"), side.dice)
    forger.post_all(options.webhooks)
    for _ in range(10):
        side.window(side.beat, None, 0)
    sent = sum(forger.statuses.values())
    checks.that(forger.taken(BAD) == 0, f"none of {sent - forger.taken(GOOD)} forged webhooks was accepted")
    checks.that(
        not forger.wrongly_answered(), f"each of {sent} answered as it should: {forger.wrongly_answered()}"
    )
    checks.that(agreement.fingerprint() == before, f"{sent} webhooks changed nothing about money and plans")
    checks.that(side.inbox_rows() >= known, "no row of the inbox was lost")
    checks.not_vacuous(forger.taken(GOOD) > 0, f"{forger.taken(GOOD)} true ones among them were taken")
    return sent


def _check_faults(side: "Side", state: dict[str, Any], options: Arguments, checks: Checks) -> None:
    from tests.torture.collection import BOUNDARIES

    violations = state["violations"]
    judged = f"{state['validated_requests']} requests and {state['validated_objects']} objects"
    checks.that(not violations, f"{judged} valid under Stripe's specification: {violations[:2]}")
    checks.not_vacuous(
        all(
            side.killed[name] >= min(options.least, options.windows // len(BOUNDARIES)) for name in BOUNDARIES
        ),
        f"{sum(side.killed.values())} processes were killed: {dict(side.killed)}",
    )
    fired = state["faults"]["fired"]
    checks.not_vacuous(
        all(fired.get(name, 0) >= options.least for name in (*NAMES, *WEBHOOK_NAMES)),
        f"each fault happened {options.least} times or more: {fired}",
    )
    checks.not_vacuous(fired.get("outage", 0) > 0, f"{fired.get('outage', 0)} requests fell into an outage")


RUN = Run("stripe_faults", __doc__, "all accounts agree", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
