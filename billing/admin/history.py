"""Rows that staff add and end, and never edit or delete."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.admin.base import StaffAdmin


class AddOnlyAdmin(StaffAdmin):
    """A list, a page to look at, and a form to add another row."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What applied stays written."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What applied stays written."""
        return False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django's permissions say; unfold passes the object along."""
        return super().has_add_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Only «Save»: what is saved cannot be edited further."""
        only = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, only | (extra_context or {}))
