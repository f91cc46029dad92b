"""The Django side of `stripe_faults`: customers who use and pay, rounds of beat in processes that are killed, and what
ledger, statements and the fake Stripe say in the end. Import it after `django.setup()` only; see world.py.
"""

import itertools
import os
import random
import signal
import traceback
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone

from billing import invoicing, partitions, payments
from billing.collection import following, inbox, plans, subscribing
from billing.models import PlanVersion, Statement, StripeCheckout, StripeInvoice, WebhookInbox
from billing.payments import operations, stripe
from billing.payments.provider import ProviderAway
from billing.period import BillingPeriod
from billing.pricing import Unit
from tests.factories import Person, make_person, make_report, record_calls
from tests.fakes.stripe.process import SECRET_KEY, WEBHOOK_SECRET, FakeStripe

CURRENCIES = ("USD", "KRW", "EUR", "JPY", "GBP")
BACK = "http://127.0.0.1:8000/billing/"
RETRY_SECONDS = 0.02
# Where a process is killed, in the order of `billing/payments/operations.py`.
BOUNDARIES = ("before the row", "after the row", "after the answer", "after the note")
Object = dict[str, Any]


class _Shifted(datetime):
    """The machine's time, shifted to the fake's: `django.utils.timezone` reads this one."""

    shift = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.shift


@dataclass
class Side:
    """Our side of a run: who pays, and the fake that they pay at."""

    fake: FakeStripe
    log: Path
    dice: random.Random
    people: list[Person] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    problems: list[str] = field(default_factory=list)  # what a round raised that it should not

    def begin(self, accounts: int) -> None:
        """Configure Stripe, bring the clocks together, sell the plans and sign people up, on Free."""
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = SECRET_KEY, self.fake.url
        settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
        timezone.datetime = _Shifted  # type: ignore[attr-defined]
        self._follow_clock()
        plans.sync_plans()
        for number in range(accounts):
            name = f"torture-{uuid.uuid4().hex[:12]}"
            person = make_person(name, currency=CURRENCIES[number % len(CURRENCIES)])
            self.people.append(person)
        connections.close_all()

    # --- time -----------------------------------------------------------------------------------------------

    def move(self, **how: float) -> None:
        """Move the fake's clock, and ours with it."""
        self.fake.advance(**how)
        self._follow_clock()

    def to_next_period(self) -> None:
        """Go to the first second of the next month: subscriptions renew."""
        end = BillingPeriod.containing(timezone.now()).end
        self.move(to=end.timestamp())

    def _follow_clock(self) -> None:
        _Shifted.shift = datetime.fromtimestamp(self.fake.now(), UTC) - datetime.now(UTC)

    # --- what people do -------------------------------------------------------------------------------------

    def use(self) -> None:
        """Everybody makes some calls in what is left of this month, and the clock goes to its end."""
        period = BillingPeriod.containing(timezone.now())
        partitions.ensure_partitions([period, period.next, period.next.next])
        begin, seconds = timezone.now(), int((period.end - timezone.now()).total_seconds()) - 60
        self.move(to=period.end.timestamp() - 30)
        reports = []
        for person in self.people:
            for _ in range(self.dice.randint(3, 9)):
                units = {
                    Unit.INPUT_TOKEN: self.dice.randint(10**6, 9 * 10**7),
                    Unit.OUTPUT_TOKEN: self.dice.randint(10**5, 9 * 10**6),
                }
                at = begin + timedelta(seconds=self.dice.randrange(seconds))
                reports.append(make_report(person, at, units))
        record_calls(*reports)
        connections.close_all()

    def subscribe(self, person: Person, key: str) -> bool:
        """Ask for a Checkout page and pay on it. Returns whether there was one."""
        page = StripeCheckout.objects.filter(account=person.account, details__key=key).exclude(url="").first()
        if page is None:
            return False
        self.fake.complete_checkout(page.pk, country="US")
        return True

    def ask_for_page(self, person: Person, key: str) -> None:
        """What the view does when somebody chooses Pro."""
        version = PlanVersion.objects.current(currency=person.account.currency).get(plan__slug="pro")
        subscribing.subscribe_page(person.account, version, key=key, back_url=BACK)

    # --- windows --------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """A round of what Celery's beat rings, in any order."""
        ticks: list[Callable[[], object]] = [
            invoicing.close_due_periods, payments.issue_frozen_statements, following.follow_all, inbox.work,
            inbox.catch_up,
        ]  # fmt: skip
        self.dice.shuffle(ticks)
        for tick in ticks:
            try:
                tick()
            except ProviderAway:
                continue  # Celery rings again

    def window(self, work: Callable[[], object], boundary: str | None, nth: int) -> bool:
        """Do `work` in a process that is killed the nth time it comes to `boundary`; tell whether it was."""
        self.rounds += 1
        seed = self.dice.random()
        connections.close_all()
        pid = os.fork()
        if not pid:
            self.dice.seed(seed)
            self._child(work, boundary, nth)
        _, status = os.waitpid(pid, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if died:
            self.killed[str(boundary)] += 1
        elif status:
            self.problems.append(self.log.read_text()[-1500:])
        return died

    def _child(self, work: Callable[[], object], boundary: str | None, nth: int) -> None:
        """Never returns. No cleanup of the parent's: `os._exit`."""
        with self.log.open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        stripe._api.cache_clear()
        _retry_at_once()
        code = 1
        try:
            if boundary:
                _kill_at(boundary, nth)
            work()
            code = 0
        except ProviderAway:
            code = 0
        except BaseException:
            traceback.print_exc()
        connections.close_all()
        os._exit(code)

    def inbox_rows(self) -> set[str]:
        """The ids of the events that were kept."""
        return set(WebhookInbox.objects.values_list("pk", flat=True))

    def is_settled(self) -> bool:
        """Tell whether nothing waits: statements issued, invoices collected, webhooks worked on."""
        waiting = (
            Statement.objects.filter(state__in=Statement.UNISSUED),
            StripeInvoice.objects.filter(status__in=("draft", "open")),
            WebhookInbox.objects.filter(done_at=None),
        )
        settled = not any(found.exists() for found in waiting)
        connections.close_all()
        return settled

    def settle(self, rounds: int = 60) -> bool:
        """Without faults: let beat do its work until nothing waits. False if something waits for good."""
        self.fake.control("faults", clear=True, rates={})
        for _ in range(rounds):
            self.fake.control("deliver")
            self.window(self.beat, None, 0)
            if self.is_settled():
                return True
            self.move(seconds=1200)
        return False


def _retry_at_once() -> None:
    """Stripe's library tries again as often as ever, and does not wait seconds for a fake that is broken on purpose."""
    from stripe import HTTPClient

    for name in ("INITIAL_DELAY", "MAX_DELAY"):
        setattr(HTTPClient, name, RETRY_SECONDS)


def _kill_at(boundary: str, nth: int) -> None:
    """Arm this process: it ends without a word where it is told to."""
    left = itertools.count(nth - 1, -1)

    def strike(here: str) -> None:
        if here == boundary and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(work: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
        def struck(*args: Any, **named: Any) -> Any:
            strike(before)
            found = work(*args, **named)
            strike(after)
            return found

        return struck

    operations._written = around(operations._written, "before the row", "after the row")
    stripe.Api.post = around(stripe.Api.post, "", "after the answer")  # type: ignore[method-assign]
    operations._answered = around(operations._answered, "", "after the note")
