"""Chargebacks: a customer's bank takes a charge back; the money waits outside until it is won or lost."""

from tests.fakes.stripe import payments
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import DAY, Object, World

OVER = ("won", "lost")


def open_dispute(world: World, payment_intent: str, reason: str = "fraudulent") -> Object:
    """The bank of whoever paid takes the whole charge back."""
    intent = world.get("payment_intent", payment_intent)
    charge = world.get("charge", intent["latest_charge"] or "")
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise Refusal("This charge cannot be disputed.")
    now = world.time_of(charge)
    made = world.new(
        "dispute", "du", amount=charge["amount"], currency=charge["currency"], charge=charge["id"], metadata={},
        payment_intent=payment_intent, reason=reason, status="needs_response", balance_transactions=[], created=now,
        is_charge_refundable=False, enhanced_eligibility_types=[],
    )  # fmt: skip
    made["evidence_details"] |= {"due_by": now + 7 * DAY, "has_evidence": False, "submission_count": 0}
    charge["disputed"] = True
    world.emit("charge.dispute.created", made)
    _move(world, made, -made["amount"], "charge.dispute.funds_withdrawn")
    return made


def close(world: World, dispute: str, *, won: bool) -> Object:
    """The bank decides."""
    found = world.get("dispute", dispute)
    if found["status"] in OVER:
        raise Refusal("This dispute is closed.")
    found["status"] = "won" if won else "lost"
    if won:
        _move(world, found, found["amount"], "charge.dispute.funds_reinstated")
    world.emit("charge.dispute.closed", found)
    return found


def _move(world: World, dispute: Object, amount: int, event: str) -> None:
    moved = payments.book(world, dispute, amount, 0, "adjustment")
    dispute["balance_transactions"] = [*dispute["balance_transactions"], world.render(moved)]
    world.emit(event, dispute)


def retrieve(world: World, params: Object, dispute: str) -> Object:
    """GET /v1/disputes/{dispute}."""
    return world.get("dispute", dispute)


def every(world: World, params: Object) -> Object:
    """GET /v1/disputes."""
    where = {key: params[key] for key in ("charge", "payment_intent") if key in params}
    return listing(world, "/v1/disputes", world.every("dispute", **where), params)
