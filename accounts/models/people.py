"""Who someone is: users sign in, accounts own things, members join the two, API keys make calls.

Billing belongs to the account, never to the user: a person may leave, the account keeps its invoices.
"""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.ids import uuid7
from accounts.restrictions import (
    Restrictions,
    read_networks,
    validate_models,
    validate_networks,
    validate_tasks,
    validate_time_zone,
)


class UserManager(BaseUserManager["User"]):
    """Makes users. People who sign up come through allauth, which calls the same methods."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Write and return a user. E-mail addresses are unique whatever their case. ValueError if empty."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Write and return a user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user who signs in with this e-mail address, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, default="en")
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False, help_text=_("May open the admin."))
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_in_any_case")]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        """Return the person's name, or the address where no name was given."""
        return self.name or self.email

    def get_short_name(self) -> str:
        """Return what to call the person in a greeting."""
        return self.name.split(" ")[0] if self.name else self.email.partition("@")[0]


class Account(models.Model):
    """What owns keys, usage and invoices: one person's own, or an organization's."""

    class Kind(models.TextChoices):
        PERSONAL = "personal", _("Personal")
        ORGANIZATION = "organization", _("Organization")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind, default=Kind.PERSONAL)
    name = models.CharField(_("name"), max_length=120)
    # ISO 4217. Set when the account is made; never changed once usage exists, since counters carry no currency.
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    billing_email = models.EmailField(_("billing e-mail"), blank=True)
    billing_address = models.TextField(_("billing address"), blank=True)
    tax_id = models.CharField(_("tax id"), max_length=40, blank=True)
    # IANA name. Budgets of days, weeks and months begin at midnight there; statements stay in UTC.
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    # What the keys of this account may do at most; each key may be restricted further. Empty: everything.
    allowed_models = models.JSONField(
        _("allowed models"), default=list, blank=True, validators=[validate_models]
    )
    allowed_networks = models.JSONField(
        _("allowed addresses"), default=list, blank=True, validators=[validate_networks]
    )
    # Set by staff (or by dunning); while set, every call is refused with `account_suspended`.
    suspended_at = models.DateTimeField(_("suspended"), null=True, blank=True)
    suspension_reason = models.CharField(_("reason"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    users = models.ManyToManyField(User, through="Membership", related_name="accounts")

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_personal(self) -> bool:
        """Whether it is one person's own account."""
        return self.kind == self.Kind.PERSONAL

    @property
    def restrictions(self) -> Restrictions:
        """The account's allow-lists, as admission asks them."""
        networks = read_networks(self.allowed_networks)
        return Restrictions("account", tuple(self.allowed_models), networks=networks)


class Role(models.TextChoices):
    """What a member may do; each role below may do less. Who may what: `accounts/permissions.py`."""

    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    BILLING = "billing", _("Billing")
    DEVELOPER = "developer", _("Developer")
    VIEWER = "viewer", _("Viewer")


class Membership(models.Model):
    """One user's place in one account."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role, default=Role.DEVELOPER)
    created_at = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["account", "user"], name="one_membership_per_user")]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()} · {self.account}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Questions about keys."""

    def usable(self) -> "ApiKeyQuerySet":
        """Keys that open the door now: not revoked, not past their expiry."""
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


class ApiKey(models.Model):
    """A key that makes calls for an account. The secret itself is nowhere: see `accounts/keys.py`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_keys")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(_("prefix"), max_length=16, editable=False)
    last4 = models.CharField(_("last four"), max_length=4, editable=False)
    # HMAC-SHA256(pepper, whole key). Written once by keys.issue_key; unique, so the lookup is one index probe.
    digest = models.BinaryField(unique=True, editable=False, max_length=32)
    pepper_version = models.PositiveSmallIntegerField(editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    # What this key may do, within what its account may; may change at any time. Empty: everything.
    allowed_models = models.JSONField(
        _("allowed models"), default=list, blank=True, validators=[validate_models]
    )
    allowed_tasks = models.JSONField(
        _("allowed tasks"), default=list, blank=True, validators=[validate_tasks]
    )
    allowed_networks = models.JSONField(
        _("allowed addresses"), default=list, blank=True, validators=[validate_networks]
    )
    # Set once by keys.revoke_key and never cleared: a revoked key stays revoked.
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    # Written by the ledger writer from usage events, so it trails a call by seconds.
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        """How the key may be shown after its creation: `tp_live_…ab12`."""
        return f"{self.prefix}…{self.last4}"

    @property
    def restrictions(self) -> Restrictions:
        """The key's allow-lists, as admission asks them."""
        networks = read_networks(self.allowed_networks)
        return Restrictions("key", tuple(self.allowed_models), tuple(self.allowed_tasks), networks)

    @property
    def status(self) -> str:
        """`revoked`, `expired` or `active`, in this order of precedence."""
        if self.revoked_at:
            return "revoked"
        if self.expires_at and self.expires_at <= timezone.now():
            return "expired"
        return "active"

    @property
    def expires_soon(self) -> bool:
        """Whether the key stops within a week."""
        return self.expires_at is not None and self.expires_at - timezone.now() < timedelta(days=7)
