"""The project package and the live call."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class GatewayConfig(AppConfig):
    """Django's handle on the room; wires Celery and the system checks."""

    name = "gateway"

    def ready(self) -> None:
        """Load the Celery app, so that tasks find it, and register the checks over settings."""
        from gateway import announcements, celery, checks

        _ = celery, checks
        announcements.connect_signals()


class StaffAdminConfig(AdminConfig):
    """Django's admin with our own site, so that `admin.site` is it wherever something registers."""

    default_site = "gateway.admin_site.StaffAdminSite"
