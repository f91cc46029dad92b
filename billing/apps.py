"""The room of what usage costs and who owes it."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Django's handle on the room."""

    name = "billing"

    def ready(self) -> None:
        """Let a payment end its dunning at once, wherever it is written, and a paid top-up become credit."""
        from billing import dunning, topups  # noqa: F401 - topups listens once it is imported

        dunning.connect_signals()
