"""Cards as payment methods, with Stripe's published test numbers and what each of them does."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fakes.stripe.errors import Refusal, declined
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply


@dataclass(frozen=True)
class Card:
    """What a test number does."""

    token: str  # pm_card_… and tok_…
    brand: str = "visa"
    on_attach: str = ""  # the decline code when it is saved
    on_charge: str = ""  # the decline code when it is charged
    disputes: bool = field(default=False, kw_only=True)  # the bank takes every payment back at once
    asks: str = ""  # 3-D Secure: "always", or "once" until it was saved while the customer was there


CARDS = {
    "4242424242424242": Card("visa"),
    "5555555555554444": Card("mastercard", "mastercard"),
    "378282246310005": Card("amex", "amex"),
    "4000000000000002": Card("chargeDeclined", on_attach="generic_decline", on_charge="generic_decline"),
    "4000000000009995": Card("chargeDeclinedInsufficientFunds", "visa", *["insufficient_funds"] * 2),
    "4000000000000069": Card("chargeDeclinedExpiredCard", "visa", *["expired_card"] * 2),
    "4000000000000127": Card("chargeDeclinedIncorrectCvc", "visa", *["incorrect_cvc"] * 2),
    "4000000000000119": Card("chargeDeclinedProcessingError", "visa", *["processing_error"] * 2),
    "4000000000000341": Card("chargeCustomerFail", on_charge="generic_decline"),
    "4000002500003155": Card("authenticationRequiredOnSetup", asks="once"),
    "4000002760003184": Card("authenticationRequired", asks="always"),
    "4000000000003220": Card("threeDSecure2Required", asks="always"),
    "4000000000000259": Card("createDispute", disputes=True),
    "4000003800000446": Card("authenticationRequiredSetupForOffSession"),
    "4000008260003178": Card(
        "authenticationRequiredChargeDeclinedInsufficientFunds", on_charge="insufficient_funds", asks="once"
    ),
}
_TOKENS = {card.token: number for number, card in CARDS.items()}
_OWN_CODES = ("expired_card", "incorrect_cvc", "processing_error")
MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


def refuse_card(decline_code: str, **more: object) -> Refusal:
    """The refusal that goes with a decline code."""
    code = decline_code if decline_code in _OWN_CODES else "card_declined"
    return declined(MESSAGES[decline_code], decline_code, code, **more)


def behaviour(method: Object) -> Card:
    """Return what a payment method's number does."""
    return CARDS[method["_number"]]


def make(world: World, number: str, month: int = 12, year: int | None = None, **billing: object) -> Object:
    """Make a payment method of a test number; Refusal for a number that is not one."""
    number = number.replace(" ", "")
    if number not in CARDS:
        raise Refusal(
            "Your card number is incorrect.", 402, "card_error", code="incorrect_number", param="number"
        )
    year = year or datetime.fromtimestamp(world.now(), UTC).year + 4
    card = {
        "brand": CARDS[number].brand, "checks": {"address_line1_check": None, "address_postal_code_check": None,
        "cvc_check": "pass"}, "country": "US", "display_brand": CARDS[number].brand, "exp_month": month,
        "exp_year": year, "fingerprint": f"fp{number[-10:]}", "funding": "credit", "generated_from": None,
        "last4": number[-4:], "networks": {"available": [CARDS[number].brand], "preferred": None},
        "regulated_status": "unregulated", "three_d_secure_usage": {"supported": True}, "wallet": None,
    }  # fmt: skip
    details = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None} | billing
    return world.new(
        "payment_method", "pm", type="card", card=card, billing_details=details, metadata={}, _number=number,
        _authenticated=False,
    )  # fmt: skip


def resolve(world: World, given: str) -> Object:
    """Return the payment method of an id; a test token (`pm_card_visa`, `tok_visa`) makes a new one."""
    short = given.removeprefix("pm_card_").removeprefix("tok_")
    if short != given and short in _TOKENS:
        return make(world, _TOKENS[short])
    return world.get("payment_method", given, "payment_method")


def create(world: World, params: Object) -> Object:
    """POST /v1/payment_methods: cards only."""
    if params.get("type") != "card":
        raise Refusal("This fake knows cards only.", param="type")
    card = params.get("card", {})
    details = params.get("billing_details") or {}
    if token := card.get("token"):
        return resolve(world, token)
    made = make(world, card.get("number", ""), card.get("exp_month", 12), card.get("exp_year"), **details)
    apply(made, params)
    return made


def attach(world: World, params: Object, method: str) -> Object:
    """POST /v1/payment_methods/{payment_method}/attach: the card is asked whether it is good."""
    found = resolve(world, method)
    customer = world.get("customer", params.get("customer", ""), "customer")
    if found["customer"] not in (None, customer["id"]):
        raise Refusal("The payment method you provided has already been attached to a customer.")
    if code := behaviour(found).on_attach:
        raise refuse_card(code)
    found["customer"] = customer["id"]
    world.emit("payment_method.attached", found)
    return found


def of_customer(world: World, method: str, customer: str) -> Object:
    """Return a payment method that is this customer's; Refusal if it is not."""
    found = world.get("payment_method", method, "payment_method")
    if found["customer"] != customer:
        raise Refusal(
            f"The customer does not have a payment method with the ID {method}. The payment method must be "
            "attached to the customer.",
            code="resource_missing",
            param="payment_method",
        )
    return found


def detach(world: World, params: Object, method: str) -> Object:
    """POST /v1/payment_methods/{payment_method}/detach."""
    found = world.get("payment_method", method)
    if found["customer"] is None:
        raise Refusal("The payment method you provided is not attached to a customer.")
    customer = world.objects[found["customer"]]
    if customer["invoice_settings"]["default_payment_method"] == method:
        customer["invoice_settings"]["default_payment_method"] = None
    for subscription in world.every("subscription", default_payment_method=method):
        subscription["default_payment_method"] = None
    found["customer"] = None
    world.emit("payment_method.detached", found, {"customer": customer["id"]})
    return found


def update(world: World, params: Object, method: str) -> Object:
    """POST /v1/payment_methods/{payment_method}."""
    found = world.get("payment_method", method)
    found["card"] |= {
        key: params["card"][key] for key in ("exp_month", "exp_year") if key in params.get("card", {})
    }
    apply(found, params)
    world.emit("payment_method.updated", found)
    return found


def retrieve(world: World, params: Object, method: str) -> Object:
    """GET /v1/payment_methods/{payment_method}."""
    return world.get("payment_method", method)


def every(world: World, params: Object) -> Object:
    """GET /v1/payment_methods."""
    where = {key: params[key] for key in ("customer", "type") if key in params}
    return listing(world, "/v1/payment_methods", world.every("payment_method", **where), params)


def every_of_customer(world: World, params: Object, customer: str) -> Object:
    """GET /v1/customers/{customer}/payment_methods."""
    found = world.every("payment_method", customer=world.get("customer", customer)["id"])
    return listing(world, f"/v1/customers/{customer}/payment_methods", found, params)


def has_expired(method: Object, now: int) -> bool:
    """Tell whether a card's last month is over."""
    today = datetime.fromtimestamp(now, UTC)
    return (method["card"]["exp_year"], method["card"]["exp_month"]) < (today.year, today.month)
