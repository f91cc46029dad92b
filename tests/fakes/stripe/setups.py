"""Setup intents: a card is saved without being charged."""

from tests.fakes.stripe import cards
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply


def create(world: World, params: Object) -> Object:
    """POST /v1/setup_intents."""
    made = world.new(
        "setup_intent", "seti", customer=params.get("customer"), usage=params.get("usage", "off_session"),
        payment_method_types=["card"], status="requires_payment_method", metadata={},
    )  # fmt: skip
    made["client_secret"] = f"{made['id']}_secret_fake"
    apply(made, params, "description")
    world.emit("setup_intent.created", made)
    if params.get("payment_method"):
        made["payment_method"] = cards.resolve(world, params["payment_method"])["id"]
        made["status"] = "requires_confirmation"
    return confirm(world, params, made["id"]) if params.get("confirm") else made


def confirm(world: World, params: Object, intent: str, *, there: bool = False) -> Object:
    """POST /v1/setup_intents/{intent}/confirm. `there`: the customer authenticates if they are asked."""
    found = world.get("setup_intent", intent)
    given = params.get("payment_method") or found["payment_method"]
    if not given:
        raise Refusal("You cannot confirm this SetupIntent because it's missing a payment method.")
    method = cards.resolve(world, given)
    found["payment_method"] = method["id"]
    card = cards.behaviour(method)
    if card.asks and not there:
        found["status"] = "requires_action"
        found["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        world.emit("setup_intent.requires_action", found)
        return found
    if card.on_attach:
        found["status"] = "requires_payment_method"
        refusal = cards.refuse_card(card.on_attach)
        found["last_setup_error"] = refusal.error
        world.emit("setup_intent.setup_failed", found)
        raise refusal
    method["_authenticated"] = True
    found |= {"status": "succeeded", "next_action": None, "last_setup_error": None}
    if found["customer"] and method["customer"] is None:
        cards.attach(world, {"customer": found["customer"]}, method["id"])
    world.emit("setup_intent.succeeded", found)
    return found


def cancel(world: World, params: Object, intent: str) -> Object:
    """POST /v1/setup_intents/{intent}/cancel."""
    found = world.get("setup_intent", intent)
    found["status"] = "canceled"
    world.emit("setup_intent.canceled", found)
    return found


def retrieve(world: World, params: Object, intent: str) -> Object:
    """GET /v1/setup_intents/{intent}."""
    return world.get("setup_intent", intent)


def every(world: World, params: Object) -> Object:
    """GET /v1/setup_intents."""
    where = {key: params[key] for key in ("customer", "payment_method") if key in params}
    return listing(world, "/v1/setup_intents", world.every("setup_intent", **where), params)
