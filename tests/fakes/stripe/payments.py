"""Money that moves: payment intents, charges, balance transactions, refunds; setup intents for saving a card."""

from decimal import ROUND_HALF_UP, Decimal

from tests.fakes.stripe import cards
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import DAY, Object, World, apply, merged


def minimum(world: World, currency: str) -> int:
    """Return the smallest amount that may be charged, in minor units."""
    return int(world.settings["minimum"].get(currency, 50))


def new_intent(world: World, amount: int, currency: str, customer: str | None, **fields: object) -> Object:
    """Make a payment intent that waits for a payment method."""
    made = world.new(
        "payment_intent", "pi", amount=amount, currency=currency, customer=customer, amount_received=0,
        amount_capturable=0, capture_method="automatic", confirmation_method="automatic", metadata={},
        payment_method_types=["card"], status="requires_payment_method", **fields,
    )  # fmt: skip
    made["client_secret"] = f"{made['id']}_secret_fake"
    world.emit("payment_intent.created", made)
    return made


def charge(world: World, intent: Object, method: Object, *, there: bool = False) -> None:
    """Try to collect an intent. `there`: the customer is present and has authenticated if they were asked.

    Leaves the intent `succeeded`, `requires_action`, or `requires_payment_method` with `last_payment_error`.
    """
    card = cards.behaviour(method)
    intent["payment_method"] = method["id"]
    asks = card.asks == "always" or (card.asks == "once" and not method["_authenticated"])
    code = "expired_card" if cards.has_expired(method, world.time_of(intent)) else card.on_charge
    if asks and not there:
        _ask(world, intent)
    elif code:
        _fail(world, intent, method, code)
    else:
        _succeed(world, intent, method)


def _ask(world: World, intent: Object) -> None:
    intent["status"] = "requires_action"
    intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
    world.emit("payment_intent.requires_action", intent)


def _fail(world: World, intent: Object, method: Object, code: str) -> None:
    made = _new_charge(world, intent, method, status="failed", paid=False, captured=False)
    refusal = cards.refuse_card(code).error
    made |= {"failure_code": refusal["code"], "failure_message": refusal["message"]}
    made["outcome"] = _outcome("issuer_declined", code)
    shown = world.render(method)
    intent |= {
        "status": "requires_payment_method", "payment_method": None, "latest_charge": made["id"],
        "next_action": None, "last_payment_error": {**refusal, "charge": made["id"], "payment_method": shown},
    }  # fmt: skip
    world.emit("charge.failed", made)
    world.emit("payment_intent.payment_failed", intent)


def _succeed(world: World, intent: Object, method: Object) -> None:
    made = _new_charge(world, intent, method, status="succeeded", paid=True, captured=True)
    made |= {"amount_captured": made["amount"], "outcome": _outcome("authorized", None)}
    fee = _fee(world, made["amount"], made["currency"])
    made["balance_transaction"] = book(world, made, made["amount"], fee, "charge")["id"]
    intent |= {
        "status": "succeeded", "latest_charge": made["id"], "amount_received": intent["amount"],
        "next_action": None, "last_payment_error": None,
    }  # fmt: skip
    world.emit("charge.succeeded", made)
    world.emit("payment_intent.succeeded", intent)
    if cards.behaviour(method).disputes:
        from tests.fakes.stripe import disputes

        disputes.open_dispute(world, intent["id"])


def _new_charge(world: World, intent: Object, method: Object, **fields: object) -> Object:
    card = method["card"]
    details = {
        key: card[key]
        for key in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    return world.new(
        "charge", "ch", amount=intent["amount"], currency=intent["currency"], customer=intent["customer"],
        payment_intent=intent["id"], payment_method=method["id"], billing_details=method["billing_details"],
        payment_method_details={"type": "card", "card": {**_NO_CARD_DETAILS, **details}}, metadata=intent["metadata"],
        description=intent["description"], disputed=False, refunded=False, created=world.time_of(intent), **fields,
    )  # fmt: skip


_NO_CARD_DETAILS: Object = dict.fromkeys(
    ("amount_authorized", "authorization_code", "checks", "installments", "mandate", "network", "network_token",
     "network_transaction_id", "regulated_status", "three_d_secure", "wallet")
)  # fmt: skip


def _outcome(network: str, reason: str | None) -> Object:
    good = network == "authorized"
    return {
        "network_status": "approved_by_network" if good else "declined_by_network", "reason": reason,
        "seller_message": "Payment complete." if good else "The bank declined it.",
        "advice_code": None, "network_advice_code": None, "network_decline_code": None,
        "risk_level": "normal", "type": network,
    }  # fmt: skip


def _fee(world: World, amount: int, currency: str) -> int:
    percent = Decimal(amount) * Decimal(world.settings["fee_percent"]) / 100
    return int(percent.quantize(Decimal(1), ROUND_HALF_UP)) + int(
        world.settings["fee_fixed"].get(currency, 0)
    )


def book(world: World, source: Object, amount: int, fee: int, kind: str) -> Object:
    """Write a movement of the balance, of a charge, a refund or a dispute."""
    now = world.time_of(source)
    parts = [{"amount": fee, "application": None, "currency": source["currency"], "description": "Stripe processing "
              "fees", "type": "stripe_fee"}] if fee else []  # fmt: skip
    return world.new(
        "balance_transaction", "txn", amount=amount, fee=fee, net=amount - fee, currency=source["currency"],
        source=source["id"], type=kind, reporting_category=kind, status="pending", available_on=now + 2 * DAY,
        balance_type="payments", fee_details=parts, created=now,
    )  # fmt: skip


# --- payment intents through the API ------------------------------------------------------------------------


def create_intent(world: World, params: Object) -> Object:
    """POST /v1/payment_intents."""
    customer = params.get("customer")
    if customer:
        world.get("customer", customer, "customer")
    if params["amount"] < minimum(world, params["currency"]):
        raise Refusal(
            "The amount is below the smallest that can be charged.", code="amount_too_small", param="amount"
        )
    made = new_intent(world, params["amount"], params["currency"], customer)
    apply(made, params, "description", "receipt_email", "setup_future_usage", "statement_descriptor")
    if params.get("payment_method"):
        made["payment_method"] = _method_for(world, params["payment_method"], customer)["id"]
        made["status"] = "requires_confirmation"
    return confirm_intent(world, params, made["id"]) if params.get("confirm") else made


def _method_for(world: World, given: str, customer: str | None) -> Object:
    found = cards.resolve(world, given)
    if found["customer"] not in (None, customer):
        raise Refusal("The payment method belongs to another customer.", param="payment_method")
    return found


def confirm_intent(world: World, params: Object, intent: str) -> Object:
    """POST /v1/payment_intents/{intent}/confirm: a declined card answers 402 with the intent in the error."""
    found = world.get("payment_intent", intent)
    if found["status"] in ("succeeded", "canceled"):
        raise _wrong_state(found, "confirm")
    given = params.get("payment_method") or found["payment_method"]
    if not given:
        raise Refusal("You cannot confirm this PaymentIntent because it's missing a payment method.")
    method = _method_for(world, given, found["customer"])
    charge(world, found, method)
    if found["status"] == "requires_action" and params.get("off_session"):
        _fail(world, found, method, "authentication_required")
    if found["status"] == "requires_payment_method":
        error = found["last_payment_error"]
        more = {key: error.get(key) for key in ("code", "decline_code", "charge")}
        shown = world.render(found)
        raise Refusal(error["message"], 402, "card_error", payment_intent=shown, **more)
    if found["setup_future_usage"] and found["customer"]:
        method["customer"] = found["customer"]
    return found


def cancel_intent(world: World, params: Object, intent: str) -> Object:
    """POST /v1/payment_intents/{intent}/cancel."""
    found = world.get("payment_intent", intent)
    if found["status"] in ("succeeded", "canceled"):
        raise _wrong_state(found, "cancel")
    found |= {"status": "canceled", "canceled_at": world.time_of(found)}
    found["cancellation_reason"] = params.get("cancellation_reason")
    world.emit("payment_intent.canceled", found)
    return found


def _wrong_state(intent: Object, what: str) -> Refusal:
    return Refusal(
        f"You cannot {what} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
    )


def update_intent(world: World, params: Object, intent: str) -> Object:
    """POST /v1/payment_intents/{intent}."""
    found = world.get("payment_intent", intent)
    apply(found, params, "description", "receipt_email", "setup_future_usage")
    return found


def intent(world: World, params: Object, intent: str) -> Object:
    """GET /v1/payment_intents/{intent}."""
    return world.get("payment_intent", intent)


def intents(world: World, params: Object) -> Object:
    """GET /v1/payment_intents."""
    where = {"customer": params["customer"]} if "customer" in params else {}
    return listing(world, "/v1/payment_intents", world.every("payment_intent", **where), params)


# --- charges, the balance, refunds --------------------------------------------------------------------------


def one_charge(world: World, params: Object, charge: str) -> Object:
    """GET /v1/charges/{charge}."""
    return world.get("charge", charge)


def charges(world: World, params: Object) -> Object:
    """GET /v1/charges."""
    where = {key: params[key] for key in ("customer", "payment_intent") if key in params}
    return listing(world, "/v1/charges", world.every("charge", **where), params)


def balance_transaction(world: World, params: Object, given: str) -> Object:
    """GET /v1/balance_transactions/{id}."""
    return world.get("balance_transaction", given)


def balance_transactions(world: World, params: Object) -> Object:
    """GET /v1/balance_transactions."""
    where = {key: params[key] for key in ("currency", "source", "type") if key in params}
    found = world.every("balance_transaction", **where)
    return listing(world, "/v1/balance_transactions", found, params)


def create_refund(world: World, params: Object) -> Object:
    """POST /v1/refunds."""
    paid = _charge_of(world, params)
    left = paid["amount"] - paid["amount_refunded"]
    amount = params.get("amount", left)
    if left == 0:
        raise Refusal(f"Charge {paid['id']} has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        raise Refusal(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    return refund(world, paid, amount, params)


def refund(world: World, paid: Object, amount: int, params: Object) -> Object:
    """Give `amount` of a charge back to the card."""
    made = world.new(
        "refund", "re", amount=amount, currency=paid["currency"], charge=paid["id"], status="succeeded",
        payment_intent=paid["payment_intent"], reason=params.get("reason"), customer=paid["customer"],
        payment_method=paid["payment_method"], metadata=merged({}, params.get("metadata", {})),
        created=world.time_of(paid),
    )  # fmt: skip
    made["balance_transaction"] = book(world, made | {"customer": paid["customer"]}, -amount, 0, "refund")[
        "id"
    ]
    paid["amount_refunded"] += amount
    paid["refunded"] = paid["amount_refunded"] == paid["amount"]
    world.emit("refund.created", made)
    world.emit("charge.refunded", paid)
    return made


def _charge_of(world: World, params: Object) -> Object:
    if "charge" in params:
        found = world.get("charge", params["charge"], "charge")
    else:
        intent = world.get("payment_intent", params.get("payment_intent", ""), "payment_intent")
        if not intent["latest_charge"]:
            raise Refusal(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        found = world.get("charge", intent["latest_charge"])
    if found["status"] != "succeeded":
        raise Refusal("This charge has not succeeded, so there is nothing to refund.")
    return found


def one_refund(world: World, params: Object, given: str) -> Object:
    """GET /v1/refunds/{refund}."""
    return world.get("refund", given)


def update_refund(world: World, params: Object, given: str) -> Object:
    """POST /v1/refunds/{refund}."""
    found = world.get("refund", given)
    apply(found, params)
    return found


def refunds(world: World, params: Object) -> Object:
    """GET /v1/refunds."""
    where = {key: params[key] for key in ("charge", "payment_intent") if key in params}
    return listing(world, "/v1/refunds", world.every("refund", **where), params)
