"""Changes that wait for a payment (`pending_if_incomplete`): until it is made the subscription stays as it was."""

from typing import TYPE_CHECKING

from tests.fakes.stripe import specification
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.world import HOUR, Object, World

if TYPE_CHECKING:
    from collections.abc import Mapping

WAITS = 23 * HOUR
_SUPPORTED = {
    "expand",
    "items",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
    "billing_cycle_anchor",
}


def change(world: World, found: Object, params: "Mapping[str, object]") -> None:
    """Change the items; where the invoice is not paid at once, the change waits with it."""
    from tests.fakes.stripe import prorations, subscriptions

    if unsupported := set(params) - _SUPPORTED:
        raise Refusal(f"Pending updates do not support {', '.join(sorted(unsupported))}.")
    drop(world, found)
    items = subscriptions.items(world, found)
    before, status, latest = [dict(item) for item in items], found["status"], found["latest_invoice"]
    prorations.change_items(world, found, dict(params))
    invoice = world.objects[found["latest_invoice"]]
    if invoice["status"] != "open" or invoice["id"] == latest:
        return
    wanted = [world.render(item) for item in items]
    for item, old in zip(items, before, strict=True):
        item |= old
    found["status"], invoice["next_payment_attempt"] = status, None
    expires = min(world.time_of(found) + WAITS, subscriptions.period_end(world, found))
    waiting = specification.blank("subscriptions_resource_pending_update")
    found["pending_update"] = waiting | {"expires_at": expires, "subscription_items": wanted}
    found["_pending"] = {"invoice": invoice["id"], "items": wanted, "expires": expires}


def paid(world: World, found: Object) -> None:
    """The invoice was paid: what waited is in force."""
    from tests.fakes.stripe import customers

    before = world.render(found)
    for wanted in found.pop("_pending")["items"]:
        world.objects[wanted["id"]] |= {"price": wanted["price"], "quantity": wanted["quantity"]}
    found["pending_update"] = None
    world.emit("customer.subscription.pending_update_applied", found)
    customers.changed(world, "customer.subscription.updated", found, before)


def drop(world: World, found: Object) -> None:
    """Nobody paid in time, or something else was wanted: the invoice is void, and nothing has changed."""
    from tests.fakes.stripe import collecting

    if "_pending" not in found:
        return
    invoice = world.objects[found.pop("_pending")["invoice"]]
    found["pending_update"] = None
    if invoice["status"] == "open":
        collecting.void(world, {}, invoice["id"])
    world.emit("customer.subscription.pending_update_expired", found)
