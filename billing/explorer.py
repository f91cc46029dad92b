"""The usage explorer: what an account used in a range of time, by model, key or day. Reads hourly totals only.

Every figure on the screen, in the chart and in the CSV comes from one pass over the same rows, so that
they cannot disagree. All times are UTC.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict, cast

from django.db.models import BigIntegerField, F, QuerySet, Sum, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, TruncDay

from accounts.models import Account
from billing.models import UsageHour
from billing.ranges import DAY, HOUR, Range

Group = Literal["model", "key", "day"]
GROUPS: tuple[Group, ...] = ("model", "key", "day")
Metric = Literal["calls", "cost", "tokens"]
Name = str | uuid.UUID | datetime | None  # a model id, a key's id (None: without a key) or a day


class StepRow(TypedDict):
    """What the query gives for one step of time (hour or day), model and key."""

    at: datetime
    model: str
    api_key_id: uuid.UUID | None
    sum_calls: int
    sum_failures: int
    sum_input: int
    sum_output: int
    sum_nano: int


@dataclass(slots=True)
class Figures:
    """Sums of hourly totals. `nano` is what the customer is charged, in nano-units."""

    calls: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0

    def add(self, row: StepRow) -> None:
        """Add one row of the query below."""
        self.calls += row["sum_calls"]
        self.failures += row["sum_failures"]
        self.input_tokens += row["sum_input"]
        self.output_tokens += row["sum_output"]
        self.nano += row["sum_nano"]

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def failure_percent(self) -> float | None:
        """Failures of calls in percent; None without calls."""
        return 100 * self.failures / self.calls if self.calls else None


METRICS: dict[Metric, Callable[[Figures], int]] = {
    "calls": lambda figures: figures.calls,
    "cost": lambda figures: figures.nano,
    "tokens": lambda figures: figures.tokens,
}


@dataclass(slots=True)
class Exploration:
    """What one look at a range found: totals, a row per group, and each group's course over time."""

    total: Figures = field(default_factory=Figures)
    rows: dict[Name, Figures] = field(default_factory=lambda: defaultdict(Figures))
    by_bucket: dict[datetime, Figures] = field(default_factory=lambda: defaultdict(Figures))
    course: dict[tuple[Name, datetime], Figures] = field(default_factory=lambda: defaultdict(Figures))

    def sorted_rows(self, group: Group, metric: Metric) -> list[tuple[Name, Figures]]:
        """Rows as the table shows them: days newest first, everything else by the metric, largest first."""
        if group == "day":
            return sorted(self.rows.items(), key=lambda row: str(row[0]), reverse=True)
        return sorted(
            self.rows.items(), key=lambda row: (-METRICS[metric](row[1]), -row[1].calls, str(row[0]))
        )


def explore(account: Account, span: Range, group: Group, key_id: uuid.UUID | None = None) -> Exploration:
    """Sum the hourly totals of `account` in `span`, or of one of its keys. One query."""
    found, hours = Exploration(), hours_in(account, span)
    if key_id is not None:
        hours = hours.filter(api_key_id=key_id)
    for row in _rows(hours, span.step):
        name, bucket = _name(row, group), span.bucket_of(row["at"])
        for figures in (found.total, found.rows[name], found.by_bucket[bucket], found.course[name, bucket]):
            figures.add(row)
    return found


def total_of(account: Account, start: datetime, end: datetime) -> Figures:
    """Sum the hourly totals in [start, end). One query; for the comparison with the time before."""
    total = Figures()
    hours = UsageHour.objects.filter(account=account, currency=account.currency)
    for row in _rows(hours.filter(hour__gte=start, hour__lt=end), DAY):
        total.add(row)
    return total


def hours_in(account: Account, span: Range) -> QuerySet[UsageHour]:
    """The hourly totals that `span` covers. A billing period goes by the period that the calls belong to."""
    hours = UsageHour.objects.filter(account=account, currency=account.currency)
    if span.period:
        return hours.filter(period=span.period)
    return hours.filter(hour__gte=span.start, hour__lt=span.end)


def _rows(hours: QuerySet[UsageHour], step: timedelta) -> Iterable[StepRow]:
    """Sum per step, model and key in the database, so that Python folds few rows."""
    rows = (
        hours.order_by()
        .values("model", "api_key_id", at=F("hour") if step == HOUR else TruncDay("hour", tzinfo=UTC))
        .annotate(
            sum_calls=Sum("calls"),
            sum_failures=Sum("failures"),
            sum_input=_quantity("input_token") + _quantity("cached_input_token"),
            sum_output=_quantity("output_token"),
            sum_nano=Sum("nano_cost"),
        )
    )
    return cast(Iterable[StepRow], rows)


def _quantity(unit: str) -> Coalesce:
    counted = Sum(Cast(KT(f"quantities__{unit}"), BigIntegerField()))
    return Coalesce(counted, Value(0), output_field=BigIntegerField())


def _name(row: StepRow, group: Group) -> Name:
    if group == "model":
        return row["model"]
    return row["api_key_id"] if group == "key" else row["at"].replace(hour=0)


def change(now: int, before: int) -> float | None:
    """The change in percent; None where there was nothing before."""
    return 100 * (now - before) / before if before else None
