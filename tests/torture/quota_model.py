"""A Hypothesis state machine on the real scripts and a real server, beside an oracle in plain Python (model/oracle.py).

Each example is one account's life of --steps steps: calls are admitted, settled, lost, swept and settled late; quotes
are taken, redeemed, given back and expire; idempotency keys are claimed, claimed again, answered and given back; limits
change, periods roll, scripts are flushed, the server is killed and comes back from its log. After each step the meter
must say what the oracle says: what is used, what is held, which holds are open, and one entry of the usage stream for
each ending; nothing may be over a limit, and no call refused that fits (nor one admitted that does not).

How time passes: the scripts compare stored times with the server's clock and use nothing else of it. So every stored
time of the account is moved back by 7 s, and that is, for the scripts, the same as 7 s later. Periods are stand-ins
with bounds of the run's own, so that one can end at any moment.

A second property: whatever is admitted at a rate of tokens, in any window of T the tokens that passed are at most the
burst + rate * T.

Vacuous unless every rule fired --at-least times, and doubt about the clock was rare.
"""

import argparse
import multiprocessing
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.torture.meters import meter
from tests.torture.model.bench import ACCOUNTS, Bench
from tests.torture.model.life import RULES
from tests.torture.model.machine import QuotaMachine
from tests.torture.model.rate import Call, check_rate, minutes_of_calls
from tests.torture.run import Arguments, Checks, Run, at_least_one

MOST_UNSURE = 0.01  # of all judged calls
RARER_IN_CLUSTER = 10  # restarts: a node of a cluster serves no sooner than 2 s after its start


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--examples", type=at_least_one, default=2000, help="lives of an account (2000)")
    parser.add_argument("--steps", type=at_least_one, default=60, help="steps of each life (60)")
    parser.add_argument("--processes", type=at_least_one, default=2, help="that share the examples (2)")
    parser.add_argument("--at-least", type=int, default=500, help="how often every rule must fire (500)")


OUTCOMES = (
    *("admitted", "refused_calls", "refused_spend", "refused_budget", "refused_requests", "refused_tokens"),
    *("refused_concurrency", "swept", "abandoned", "restarted"),
    *("quoted", "refused_quotes", "redeemed", "redeemed_again", "redeem_used", "redeem_late", "redeem_gone"),
    *("released", "released_nothing", "quote_expired", "reopened", "used_up"),
    *("claim_new", "claim_busy", "claim_done", "claim_other", "claim_freed", "mark_answered", "mark_free"),
    *("rate_admitted", "rate_refused", "rate_gave_back"),
)


@dataclass(frozen=True)
class Share:
    """One process's part of the examples, with a meter of its own."""

    examples: int
    steps: int
    seed: int
    cluster: bool


@dataclass(frozen=True)
class Proved:
    """What came of it. `problems`: a counterexample for each property that does not hold."""

    fired: Counter[str]
    judged: int
    unsure: int
    problems: dict[str, str]


def _story(options: Arguments, checks: Checks) -> tuple[Any, dict[str, Any]]:
    each = -(-options.examples // options.processes)
    shares = [Share(each, options.steps, options.seed + i, options.cluster) for i in range(options.processes)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        proved = pool.map(prove, shares)
    for name in PROPERTIES:
        problems = [found.problems[name] for found in proved if name in found.problems]
        print("\n".join(problems), end="\n" if problems else "")
        checks.that(not problems, f"{name} ({each * options.processes} examples)")
    fired = sum((found.fired for found in proved), Counter[str]())
    for name in (*sorted(set(RULES)), *OUTCOMES):
        rare = name == "restarted" and options.cluster
        wanted = options.at_least // (RARER_IN_CLUSTER if rare else 1)
        checks.not_vacuous(fired[name] >= wanted, f"{name} fired {fired[name]} times")
    judged, unsure = sum(found.judged for found in proved), sum(found.unsure for found in proved)
    checks.not_vacuous(
        unsure <= MOST_UNSURE * judged, f"of {judged} judged calls {unsure} fell on a deadline"
    )
    more = {"examples": each * options.processes, "steps": options.steps, "fired": sum(fired.values())}
    return sum(len(found.problems) for found in proved), more


def prove(share: Share) -> Proved:
    """Try all properties on a meter of this process's own."""
    with (
        tempfile.TemporaryDirectory(prefix="turnpike-torture-", dir=_fast_folder()) as folder,
        meter(Path(folder), cluster=share.cluster) as own_meter,
    ):
        bench, problems = Bench(own_meter), {}
        for name, proof in PROPERTIES.items():
            try:
                proof(bench, share)
            except Exception:
                problems[name] = traceback.format_exc()
        bench.close()
    return Proved(bench.fired, bench.judged, bench.unsure, problems)


def _fast_folder() -> str | None:
    """Memory, where there is such a folder: what a killed server wrote is there again, as it would be on a disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _prove_model(bench: Bench, share: Share) -> None:
    QuotaMachine.bench = bench
    run_state_machine_as_test(hypothesis.seed(share.seed)(QuotaMachine), settings=_settings(share))


def _prove_rate(bench: Bench, share: Share) -> None:
    @hypothesis.seed(share.seed)
    @_settings(share)
    @hypothesis.given(st.sampled_from(ACCOUNTS), minutes_of_calls())
    def every_window(account: str, calls: tuple[int, list[Call]]) -> None:
        check_rate(bench, account, *calls)

    every_window()


def _settings(share: Share) -> settings:
    return settings(
        max_examples=share.examples,
        stateful_step_count=share.steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


PROPERTIES = {
    "the scripts do what the oracle says": _prove_model,
    "no window passes more tokens than burst and rate allow": _prove_rate,
}
RUN = Run("quota_model", __doc__, "0 counterexamples", _arguments, _story)

if __name__ == "__main__":
    sys.exit(RUN.main())
