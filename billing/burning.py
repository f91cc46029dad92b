"""In which order credit is burned, and how much of it a stretch of usage takes. Plain arithmetic, no rows.

The order: the plan's included credit of the usage's own period first (it is gone when the period ends), then
grants: the one that expires first, promotional before granted before prepaid, the oldest first.
A grant covers usage of every period that it touches, from the start of the period it starts in, but nothing
that was used at or after its expiry. Credit covers usage, never a plan's fee.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from billing.period import BillingPeriod

SOURCE_ORDER = {"promotional": 0, "granted": 1, "prepaid": 2}
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pot:
    """What is left of one grant, in nano-units."""

    grant: UUID
    source: str
    left: int
    starts_at: datetime
    expires_at: datetime | None = None

    @property
    def order(self) -> tuple[datetime, int, datetime, UUID]:
        """Sorts pots into the order of burning."""
        return self.expires_at or _NEVER, SOURCE_ORDER[self.source], self.starts_at, self.grant

    def touches(self, period: BillingPeriod) -> bool:
        """Whether it may cover usage of a period at all."""
        return self.starts_at < period.end and (self.expires_at is None or self.expires_at > period.start)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Usage of one period that no statement billed yet: `nano` of it, `included` of that covered by the plan.

    `used_before(moment)` is what of `nano` was used before a moment; asked only where a grant expired
    within the period.
    """

    period: BillingPeriod
    nano: int
    included: int
    used_before: Callable[[datetime], int]


def burn(pots: Iterable[Pot], stretch: Stretch, step: int = 1) -> dict[UUID, int]:
    """Return how much each grant covers of a stretch, in whole `step`s. Grants that cover nothing are left out.

    >>> burn([Pot(g, "prepaid", 10, start)], Stretch(period, 7, 2, ...))   # {g: 5}
    """
    taken: dict[UUID, int] = {}
    for pot in sorted(pots, key=lambda pot: pot.order):
        if not pot.touches(stretch.period):
            continue
        most = stretch.nano
        if pot.expires_at and pot.expires_at < stretch.period.end:
            most = min(most, stretch.used_before(pot.expires_at))
        open_nano = most - stretch.included - sum(taken.values())
        if amount := min(pot.left, max(open_nano, 0)) // step * step:
            taken[pot.grant] = amount
    return taken


def after(pots: Iterable[Pot], taken: Mapping[UUID, int]) -> list[Pot]:
    """Return the pots with what was taken gone."""
    return [replace(pot, left=pot.left - taken.get(pot.grant, 0)) for pot in pots]
