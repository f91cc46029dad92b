"""People who sign in, what staff among them may do, and how they prove who they are."""

from typing import Any

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.base import ReadOnlyAdmin, ReadOnlyTabular, StaffAdmin, Unchangeable
from accounts.models import Membership, User
from accounts.signup import open_personal_account


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # unfold ships no types
    """Asks for the e-mail address instead of a user name."""

    class Meta:
        model = User
        fields = ("email", "name", "language")


class ChangedUserForm(UserChangeForm):  # type: ignore[misc]  # unfold ships no types
    """Django's form for our user."""

    class Meta:
        model = User
        fields = "__all__"


class UserMembershipInline(ReadOnlyTabular):
    """Where the person is a member; changed on the account's page."""

    model = Membership
    fields = ("account", "role", "created_at")
    tab = True
    verbose_name_plural = _("accounts")
    show_change_link = False


@admin.register(User)
class UserAdmin(DjangoUserAdmin, StaffAdmin):  # type: ignore[type-arg]
    """People. Nobody is deleted: an account keeps its history; turn «Active» off instead."""

    form, add_form, change_password_form = ChangedUserForm, NewUserForm, AdminPasswordChangeForm
    list_display = (
        "email",
        "name",
        "language",
        "is_active",
        "is_staff",
        "is_superuser",
        "last_login",
        "date_joined",
    )
    list_filter = ("is_active", "is_staff", "is_superuser", "language")
    search_fields = ("email", "name")
    ordering = ("-date_joined",)
    date_hierarchy = "date_joined"
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    autocomplete_fields = ("groups",)
    inlines = (UserMembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "language", "password")}),
        (
            _("May do"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups"), "classes": ["tab"]},
        ),
        (_("Times"), {"fields": ("last_login", "date_joined"), "classes": ["tab"]}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "language", "usable_password", "password1", "password2")}),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The language is one of those that the screens speak."""
        if db_field.name != "language":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        widget = UnfoldAdminSelectWidget(choices=settings.LANGUAGES)
        return forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, widget=widget)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Write the person; somebody new gets a personal account, as everybody who signs up."""
        super().save_model(request, obj, form, change)
        if not change:
            open_personal_account(obj)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only a superuser edits a superuser: otherwise a password change would be a way up."""
        allowed = super().has_change_permission(request, obj)
        return allowed and not (isinstance(obj, User) and obj.is_superuser and not _is_superuser(request))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody deletes people."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """The address changes in the person's own settings, verified; power is given by superusers."""
        fixed = [*super().get_readonly_fields(request, obj), *(["email"] if obj else [])]
        powers = ["is_staff", "is_superuser", "groups"]
        return fixed if _is_superuser(request) else fixed + powers


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, StaffAdmin):
    """Sets of permissions for staff: support, finance, operation."""


@admin.register(EmailAddress)
class EmailAddressAdmin(Unchangeable, AllauthEmailAddressAdmin, StaffAdmin):  # type: ignore[misc]  # allauth ships no types
    """Addresses and whether they are verified, for people whom the code never reached."""

    list_select_related = ("user",)
    actions = ("make_verified",)

    @admin.action(permissions=["act"], description=_("Mark the chosen addresses as verified"))
    def make_verified(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Verify addresses by hand, as if the code had arrived."""
        super().make_verified(request, queryset)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Second factors, without their secrets. Deleting one lets in a person who lost their phone."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = list_display

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django's permissions say; ask the person to prove who they are first."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)
