"""Stripe Tax, as far as it goes here: one rate for each country, and a refusal where the country is not known."""

from decimal import ROUND_HALF_UP, Decimal

from tests.fakes.stripe.world import Object, World


def rounded(exact: Decimal) -> int:
    """Round to whole minor units, half away from zero."""
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def compute(world: World, invoice: Object, lines: list[Object]) -> None:
    """Write the taxes of an invoice and its lines; nothing where Stripe Tax is off or the place is not known."""
    invoice["total_taxes"] = []
    for line in lines:
        line["taxes"] = []
    if not invoice["automatic_tax"]["enabled"]:
        return
    customer = world.objects[invoice["customer"]]
    percent = _percent(world, customer)
    invoice["automatic_tax"]["status"] = "complete" if percent is not None else "requires_location_inputs"
    if percent is None:
        return
    rate = _rate(world, (customer["address"] or {})["country"], percent)
    reason = _REASONS.get(customer["tax_exempt"], "standard_rated")
    for line in lines:
        line["taxes"] = [_of_line(line, percent, rate, reason)]
    invoice["total_taxes"] = added([tax for line in lines for tax in line["taxes"]])


_REASONS = {"exempt": "customer_exempt", "reverse": "reverse_charge"}


def is_placed(world: World, invoice: Object) -> bool:
    """Tell whether tax can be computed, or is not asked for."""
    status: str | None = invoice["automatic_tax"]["status"]
    return status != "requires_location_inputs"


def exclusive(taxes: list[Object]) -> int:
    """Return what is added to the subtotal."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")


def inclusive(taxes: list[Object]) -> int:
    """Return what the subtotal contains already."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")


def _percent(world: World, customer: Object) -> Decimal | None:
    found = world.settings["tax_percent"].get((customer["address"] or {}).get("country"))
    if found is None:
        return None
    return Decimal(0) if customer["tax_exempt"] in _REASONS else Decimal(found)


def _of_line(line: Object, percent: Decimal, rate: str, reason: str) -> Object:
    amount = Decimal(line["amount"])
    if line.get("_tax_behavior") == "inclusive":
        tax, behaviour = rounded(amount * percent / (100 + percent)), "inclusive"
        base = line["amount"] - tax
    else:
        tax, behaviour, base = rounded(amount * percent / 100), "exclusive", line["amount"]
    return {
        "amount": tax, "tax_behavior": behaviour, "tax_rate_details": {"tax_rate": rate}, "taxable_amount": base,
        "taxability_reason": reason, "type": "tax_rate_details",
    }  # fmt: skip


def added(taxes: list[Object]) -> list[Object]:
    """Add up what has the same rate and behaviour."""
    sums: dict[tuple[str, str], Object] = {}
    for tax in taxes:
        key = (tax["tax_rate_details"]["tax_rate"], tax["tax_behavior"])
        if key in sums:
            sums[key]["amount"] += tax["amount"]
            sums[key]["taxable_amount"] += tax["taxable_amount"]
        else:
            sums[key] = dict(tax)
    return list(sums.values())


def _rate(world: World, country: str, percent: Decimal) -> str:
    for found in world.every("tax_rate", country=country, percentage=float(percent)):
        return str(found["id"])
    made = world.new(
        "tax_rate", "txr", active=False, country=country, percentage=float(percent), display_name="Tax",
        effective_percentage=float(percent), inclusive=False, metadata={},
    )  # fmt: skip
    return str(made["id"])
