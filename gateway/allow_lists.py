"""What a key or its account is restricted to: addresses, models, tasks. Checked before the meter is asked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from accounts.restrictions import Restrictions
from gateway import errors

if TYPE_CHECKING:
    from gateway.http import Call

_WHOSE = {"key": "This API key", "account": "This account"}


def check_address(call: "Call", restrictions: Iterable[Restrictions]) -> None:
    """Refusal `permission_denied` where a call comes from an address that is not on the list."""
    for whose in restrictions:
        if whose.networks and not whose.allows_address(call.client_address()):
            raise address_denied(whose)


def address_denied(whose: Restrictions) -> errors.Refusal:
    """The words of that refusal. The address itself is not told: it may be a proxy's."""
    message = f"{_WHOSE[whose.scope]} may not be used from your address. Call from a network on its list."
    return errors.permission_denied(message, whose.scope, "allowed_networks")


def check_model(model_id: str, task: str, restrictions: Iterable[Restrictions]) -> None:
    """Refusal `permission_denied` where a model or a task is not on the list."""
    for whose in restrictions:
        if not whose.allows_model(model_id):
            message = f"{_WHOSE[whose.scope]} may not use {model_id}. Choose a model on its list."
            raise errors.permission_denied(message, whose.scope, "allowed_models")
        if not whose.allows_task(task):
            message = f"{_WHOSE[whose.scope]} may not use the task {task}. Choose a task on its list."
            raise errors.permission_denied(message, whose.scope, "allowed_tasks")
