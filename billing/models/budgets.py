"""Budgets: what an account, a member or a key may spend in a day, a week, a month, or ever.

History is kept: a budget that is changed or taken away is ended, and a new row says what holds from then on
(`billing/budgets.py`).
"""

from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.models import Account, ApiKey, Membership, User
from billing.budget_window import BudgetWindow, Window

DEFAULT_THRESHOLDS = (50, 80, 100)


def default_thresholds() -> list[int]:
    """A new list each time: rows must not share one."""
    return list(DEFAULT_THRESHOLDS)


def validate_thresholds(value: Any) -> None:
    """ValidationError unless it is a rising list of at most ten whole percents from 1 to 100."""
    whole = isinstance(value, list) and all(type(percent) is int for percent in value)
    if not whole or len(value) > 10 or value != sorted(set(value)) or not all(1 <= p <= 100 for p in value):
        raise ValidationError(
            _("Write up to ten rising whole percents from 1 to 100, such as [50, 80, 100].")
        )


class BudgetQuerySet(models.QuerySet["Budget"]):
    """Questions about budgets."""

    def in_force(self) -> "BudgetQuerySet":
        """Budgets that count now. One whose member has left counts nobody any more."""
        return self.filter(ended_at=None).exclude(scope=Budget.Scope.MEMBER, member=None)

    def of_key(self, key: ApiKey) -> "BudgetQuerySet":
        """Budgets in force that a call with `key` counts towards: the key's, its maker's, the account's."""
        mine = Q(scope=Budget.Scope.ACCOUNT) | Q(key=key)
        if key.created_by_id:
            mine |= Q(member__user_id=key.created_by_id)
        return self.in_force().filter(mine, account=key.account_id)


class Budget(models.Model):
    """A limit on what calls may cost in a window of time, counted at list price, included credit and all."""

    class Scope(models.TextChoices):
        ACCOUNT = "account", _("Account")
        MEMBER = "member", _("Member")
        KEY = "key", _("API key")

    class WindowChoices(models.TextChoices):
        DAY = Window.DAY.value, _("A day")
        WEEK = Window.WEEK.value, _("A week")
        MONTH = Window.MONTH.value, _("A month")
        LIFETIME = Window.LIFETIME.value, _("For good")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="budgets")
    scope = models.CharField(_("counts"), max_length=8, choices=Scope, default=Scope.ACCOUNT)
    # Whose keys count, where the scope is a member. NULL again once that member has left.
    member = models.ForeignKey(
        Membership, on_delete=models.SET_NULL, null=True, blank=True, related_name="budgets"
    )
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="budgets")
    window = models.CharField(_("window"), max_length=8, choices=WindowChoices, default=WindowChoices.MONTH)
    # Nano-units of the account's currency. Never edited: another limit is another row.
    limit_nano = models.BigIntegerField(_("limit"))
    # True: at the limit calls are refused with `budget_exceeded`. False: the budget only warns.
    hard_stop = models.BooleanField(_("stops calls"), default=True)
    # Percents of the limit at which the account is told, each once a window.
    thresholds = models.JSONField(
        _("tell at, in percent"), default=default_thresholds, blank=True, validators=[validate_thresholds]
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # Set once, when it was changed or taken away.
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, editable=False)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "window"],
                condition=Q(scope="account", ended_at=None),
                name="one_open_account_budget_per_window",
            ),
            models.UniqueConstraint(
                fields=["member", "window"],
                condition=Q(scope="member", ended_at=None),
                name="one_open_member_budget_per_window",
            ),
            models.UniqueConstraint(
                fields=["key", "window"],
                condition=Q(scope="key", ended_at=None),
                name="one_open_key_budget_per_window",
            ),
            # A member may be NULL: that is what becomes of the row when the member leaves.
            models.CheckConstraint(
                condition=Q(scope="account", member=None, key=None)
                | Q(scope="member", key=None)
                | Q(scope="key", member=None, key__isnull=False),
                name="budget_counts_what_its_scope_says",
            ),
            models.CheckConstraint(condition=Q(limit_nano__gte=0), name="budget_is_not_negative"),
            models.CheckConstraint(
                condition=Q(window__in=[window.value for window in Window]), name="budget_window_is_known"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("created_at")),
                name="budget_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} · {self.get_window_display()} · {self.account}"

    def clean(self) -> None:
        """The member or key must be the account's own."""
        for name, owned in (("member", self.member), ("key", self.key)):
            if owned is not None and owned.account_id != self.account_id:
                raise ValidationError({name: _("This belongs to another account.")})
        if self.scope == self.Scope.MEMBER and self.member is None:
            raise ValidationError({"member": _("Choose the member whose keys count.")})

    @property
    def subject_id(self) -> str:
        """What its counter is named after: the id of the account, the membership or the key. "" of one who left."""
        owner = {"member": self.member_id, "key": self.key_id}.get(self.scope, self.account_id)
        return str(owner or "")

    def window_at(self, moment: datetime) -> BudgetWindow:
        """The stretch that `moment` falls in, in the account's time zone."""
        return BudgetWindow.containing(moment, Window(self.window), self.account.time_zone)
