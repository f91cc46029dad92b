"""Who may do what in an account. One table; screens and the API both ask it."""

from accounts.models import Role

# What a role may do. A name here is a sentence: «may <manage_keys>».
# fmt: off
MAY: dict[str, frozenset[str]] = {
    Role.OWNER: frozenset({
        "see_usage", "manage_keys", "manage_webhooks", "see_billing", "manage_budgets", "manage_billing",
        "manage_members", "manage_account",
    }),
    Role.ADMIN: frozenset({
        "see_usage", "manage_keys", "manage_webhooks", "see_billing", "manage_budgets", "manage_members",
        "manage_account",
    }),
    Role.BILLING: frozenset({"see_usage", "see_billing", "manage_budgets", "manage_billing"}),
    Role.DEVELOPER: frozenset({"see_usage", "manage_keys", "manage_webhooks"}),
    Role.VIEWER: frozenset({"see_usage"}),
}
# fmt: on


def may(role: str, action: str) -> bool:
    """Tell whether a member with `role` may do `action`. An unknown role may do nothing."""
    return action in MAY.get(role, frozenset())
