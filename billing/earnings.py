"""What the operator earns: revenue, upstream cost and margin, by day, account, model and error.

Sums over hourly totals (`UsageHour`), so they cost the same however many calls there were; error codes
alone come from the events. One currency at a time: amounts of two never add up. UTC throughout.
Amounts are integer nano-units. Only looks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import Account
from billing.models import UsageEvent, UsageHour

DAY = timedelta(days=1)
DAYS = {"today": 1, "7d": 7, "30d": 30}
DEFAULT_RANGE = "7d"
TOP = 10


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in whole hours. `before` is the same stretch of the clock, as many days earlier."""

    key: str
    start: datetime
    end: datetime

    @classmethod
    def ending(cls, key: str, now: datetime) -> "Window":
        """The days of `key` up to and with the running hour; an unknown key gives the default range."""
        key = key if key in DAYS else DEFAULT_RANGE
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return cls(key, hour.replace(hour=0) - DAY * (DAYS[key] - 1), hour + timedelta(hours=1))

    @property
    def before(self) -> "Window":
        """The stretch to compare with: yesterday until the same hour, the seven days before, …"""
        back = DAY * DAYS[self.key]
        return Window(self.key, self.start - back, self.end - back)

    def hours(self, currency: str) -> QuerySet[UsageHour]:
        """The hourly totals in the window, in no order (the model's own would break grouping)."""
        return UsageHour.objects.filter(hour__gte=self.start, hour__lt=self.end, currency=currency).order_by()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over some hours. Amounts in nano-units."""

    calls: int = 0
    failures: int = 0
    revenue: int = 0
    cost: int = 0
    accounts: int = 0

    @property
    def margin(self) -> int:
        """What is left of the revenue after the upstreams' share; negative if sold below cost."""
        return self.revenue - self.cost

    @property
    def margin_percent(self) -> Decimal | None:
        """Margin of revenue in percent; None without revenue."""
        return Decimal(self.margin) * 100 / self.revenue if self.revenue else None

    @property
    def error_percent(self) -> Decimal | None:
        """Failed of all calls in percent; None without calls."""
        return Decimal(self.failures) * 100 / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Share:
    """One account or model of a top list, with its figures."""

    id: Any
    name: str
    note: str
    figures: Figures


SUMS: dict[str, Any] = {
    "calls": Sum("calls", default=0),
    "failures": Sum("failures", default=0),
    "revenue": Sum("nano_cost", default=0),
    "cost": Sum("upstream_nano_cost", default=0),
}
WITH_ACCOUNTS = SUMS | {"accounts": Count("account", distinct=True)}


def used_currencies(now: datetime) -> list[str]:
    """The currencies with usage in the last 60 days, most calls first; USD on a new installation."""
    recent = UsageHour.objects.order_by().filter(hour__gte=now - 60 * DAY).values("currency")
    rows = recent.annotate(total=Sum("calls")).order_by("-total", "currency")
    return [row["currency"] for row in rows] or ["USD"]


def figures(window: Window, currency: str) -> Figures:
    """The sums of a window."""
    return Figures(**window.hours(currency).aggregate(**WITH_ACCOUNTS))


def by_day(window: Window, currency: str) -> list[tuple[datetime, Figures]]:
    """The window's days, oldest first, days without calls among them."""
    grouped: QuerySet[Any, Any] = (
        window.hours(currency).annotate(day=TruncDate("hour", tzinfo=UTC)).values("day")
    )
    found = {row.pop("day"): Figures(**row) for row in grouped.annotate(**WITH_ACCOUNTS)}
    days = [window.start + DAY * index for index in range(DAYS[window.key])]
    return [(day, found.get(day.date(), Figures())) for day in days]


def top_accounts(window: Window, currency: str) -> list[Share]:
    """The accounts that bring most, at most TOP of them."""
    rows = _top(window.hours(currency).values("account"))
    names = Account.objects.in_bulk([row["account"] for row in rows])
    return [
        Share(id_, names[id_].name if id_ in names else str(id_), "", Figures(**row))
        for row in rows
        for id_ in [row.pop("account")]
    ]


def top_models(window: Window, currency: str) -> list[Share]:
    """The models that bring most, at most TOP of them, with the upstream that serves them."""
    rows = _top(window.hours(currency).values("model", "upstream"))
    return [Share(row["model"], row.pop("model"), row.pop("upstream"), Figures(**row)) for row in rows]


def _top(grouped: QuerySet[Any, Any]) -> list[dict[str, Any]]:
    return list(grouped.annotate(**SUMS).order_by("-revenue", "-calls")[:TOP])


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure: where, with which model, which code, how often."""

    upstream: str
    model: str
    status: int
    code: str
    calls: int


def failures(window: Window, currency: str) -> list[Failure]:
    """The most frequent failures, at most TOP kinds. Failed: 400 and above, or abandoned."""
    failed = UsageEvent.objects.filter(
        Q(status__gte=400) | Q(kind=UsageEvent.Kind.ABANDONED),
        occurred_at__gte=window.start,
        occurred_at__lt=window.end,
        currency=currency,
    )
    by = ("upstream", "model", "status", "error_code")
    rows = failed.order_by().values_list(*by).annotate(calls=Count("id")).order_by("-calls", *by)[:TOP]
    return [Failure(*row) for row in rows]
