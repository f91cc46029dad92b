"""The billing period: a calendar month in UTC, written "2026-11".

Quotas, included credit and statements all follow it. Hugging Face renews on the 1st as well
(https://huggingface.co/docs/inference-providers/pricing). Plain Python, no clock inside.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache

_FORM = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class BillingPeriod:
    """One month. Orders by time; `str()` gives its key."""

    year: int
    month: int

    @classmethod
    def parse(cls, key: str) -> "BillingPeriod":
        """Read "2026-11". ValueError for anything else, "2026-5" among them."""
        match = _FORM.fullmatch(key)
        if not match:
            raise ValueError(f"{key!r} is not a billing period; write it as YYYY-MM, such as 2026-11.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def containing(cls, moment: datetime) -> "BillingPeriod":
        """Return the period that `moment` falls in. ValueError if it has no time zone."""
        if moment.tzinfo is None:
            raise ValueError("A moment needs a time zone to fall into a billing period.")
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    @classmethod
    def at(cls, unix_seconds: float) -> "BillingPeriod":
        """Return the period of a moment in Unix seconds. Worked out once an hour: for the path of a call."""
        return _of_hour(int(unix_seconds // 3600))

    @cached_property
    def key(self) -> str:
        """The period as rows, Redis keys and people write it: "2026-11"."""
        return f"{self.year:04d}-{self.month:02d}"

    @cached_property
    def start(self) -> datetime:
        """The first moment of the period, inclusive."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @cached_property
    def end(self) -> datetime:
        """The first moment after the period, exclusive."""
        return self.next.start

    @cached_property
    def bounds_ms(self) -> tuple[int, int]:
        """Return `start` and `end` in Unix milliseconds."""
        return int(self.start.timestamp() * 1000), int(self.end.timestamp() * 1000)

    @property
    def next(self) -> "BillingPeriod":
        """The month after."""
        return BillingPeriod(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> "BillingPeriod":
        """The month before."""
        return BillingPeriod(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return self.key


@lru_cache(maxsize=16)
def _of_hour(unix_hour: int) -> BillingPeriod:
    return BillingPeriod.containing(datetime.fromtimestamp(unix_hour * 3600, tz=UTC))
