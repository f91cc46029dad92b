"""The staff admin of people, accounts, keys and news, one file per subject. Importing registers everything."""

from accounts.admin import accounts, keys, news, people

__all__ = ["accounts", "keys", "news", "people"]
