"""A budget as the screens and the API show it: used, limit, forecast, and what happens at the limit. Only reads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from billing.budget_window import Window
from billing.budget_words import name_of, whose
from billing.budgets import BudgetUse, budget_use
from billing.models import Budget
from billing.wording import day

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One budget with what is used of it in the window that runs."""

    budget: Budget
    use: BudgetUse
    forecast_nano: int | None

    @property
    def name(self) -> str:
        """What it is called, with a capital where the language has them."""
        name = name_of(self.budget)
        return name[:1].upper() + name[1:]

    @property
    def whose(self) -> str:
        """Whose calls count."""
        return whose(self.budget)

    @property
    def is_reached(self) -> bool:
        """Whether the limit is used up."""
        return self.use.used_nano >= self.budget.limit_nano

    @property
    def resets(self) -> str:
        """The day on which counting begins again, on the account's own calendar; "" for never."""
        moment = self.use.window.resets_at
        return day(moment, self.budget.account.time_zone) if moment else ""

    @property
    def consequence(self) -> str:
        """What the budget does, in a sentence."""
        if not self.budget.hard_stop:
            return _("You get an alert; calls go on.")
        until = {"date": self.resets} if self.resets else None
        if self.is_reached:
            return (
                _("Calls are refused with 402 until %(date)s.") % until
                if until
                else _("Calls are refused with 402.")
            )
        if until:
            return _("At the limit calls are refused with 402 until %(date)s.") % until
        return _("At the limit calls are refused with 402.")


def row_of(budget: Budget) -> Row:
    """Look up what is used of a budget now."""
    now = timezone.now()
    use = budget_use(budget, now)
    return Row(budget, use, forecast(use, now))


def forecast(use: BudgetUse, now: datetime) -> int | None:
    """Continue the pace since the window began to its end, over a 24th of it at least. None for a lifetime."""
    window = use.window
    if window.window is Window.LIFETIME:
        return None
    length = (window.end - window.start) // SECOND
    elapsed = max((now - window.start) // SECOND, length // 24)
    return -(-use.used_nano * length // elapsed)
