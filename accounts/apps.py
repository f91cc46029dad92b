"""The room of who someone is: users, accounts, members and their roles, API keys."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Django's handle on the room."""

    name = "accounts"
