"""Plans at Stripe: a product for each plan, a price for each version that is sold, found again by our own keys."""

from typing import Any

from django.utils import timezone

from billing.models import BillingAlarm, PlanVersion, StripePrice
from billing.payments.alarms import raise_alarm
from billing.payments.operations import perform
from billing.payments.provider import PaymentError
from billing.payments.stripe import Found, Refused, api, is_live

INTERVAL = {"interval": "month"}


def sync_plans() -> list[StripePrice]:
    """Make what is missing at Stripe and check what is there; return every price. Safe to run again.

    A price that somebody edited there is named in its row and in an alarm, and not sold until it is mended or
    the plan has a new version. Refused, ProviderAway.
    """
    sold = PlanVersion.objects.current(currency=None).filter(price_minor__gt=0, plan__by_agreement=False)
    for version in sold:
        if not StripePrice.objects.filter(plan_version=version, livemode=is_live()).exists():
            _make_price(version)
    return check_prices()


def check_prices() -> list[StripePrice]:
    """Compare every price of ours with what Stripe has; write what differs. Return them all."""
    prices = StripePrice.objects.filter(livemode=is_live()).select_related("plan_version__plan")
    return [_check(price) for price in prices]


def price_for(version: PlanVersion) -> StripePrice:
    """Return the price that sells a version. PaymentError if there is none, or it was edited at Stripe."""
    price = StripePrice.objects.filter(plan_version=version, livemode=is_live()).first()
    if price is None:
        raise PaymentError(f"{version} is not at Stripe yet. Operator: run manage.py sync_plans.")
    if price.problem:
        raise PaymentError(f"{version} cannot be sold: {price.problem}")
    return price


def _make_price(version: PlanVersion) -> None:
    """1. The product. If we die here, it is found by its id. 2. The price: by its lookup key. 3. The row."""
    product = f"turnpike_{version.plan.slug}"
    body: dict[str, Any] = {
        "id": product,
        "name": version.plan.name,
        "metadata": {"turnpike_plan": version.plan.slug},
    }
    if not _exists(f"/v1/products/{product}"):
        perform(f"pl:{version.plan.slug}:product", "/v1/products", body, find=lambda: product)
    found = perform(
        f"pl:{version.pk}:price",
        "/v1/prices",
        _price_body(version, product),
        find=lambda: _find_price(lookup_key(version)),
    )
    facts = {"plan_version": version, "product_id": product, "lookup_key": lookup_key(version)}
    StripePrice.objects.update_or_create(pk=found, defaults=facts | {"livemode": is_live()})


def lookup_key(version: PlanVersion) -> str:
    """Our name of a version's price at Stripe."""
    return f"turnpike_{version.plan.slug}_v{version.number}_{version.currency.lower()}"


def _price_body(version: PlanVersion, product: str) -> dict[str, Any]:
    return {
        "product": product,
        "currency": version.currency.lower(),
        "unit_amount": version.price_minor,
        "recurring": INTERVAL,
        "lookup_key": lookup_key(version),
        "metadata": {"turnpike_plan_version": str(version.pk)},
    }


def _check(price: StripePrice) -> StripePrice:
    try:
        problem = _problem(price, api().get(f"/v1/prices/{price.pk}"))
    except Refused as refusal:
        if not refusal.is_missing:
            raise
        problem = "It is gone at Stripe."
    price.problem, price.checked_at = problem[:300], timezone.now()
    price.save(update_fields=["problem", "checked_at"])
    if problem:
        raise_alarm(BillingAlarm.Kind.EDITED_PRICE, price.pk, f"{price.plan_version}: {problem}")
    return price


def _problem(price: StripePrice, found: Found) -> str:
    """Say what differs from our plan version, "" if nothing does."""
    version = price.plan_version
    expected: dict[str, tuple[Any, Any]] = {
        "amount": (found.get("unit_amount"), version.price_minor),
        "currency": (str(found.get("currency")).upper(), version.currency),
        "interval": ((found.get("recurring") or {}).get("interval"), "month"),
        "interval count": ((found.get("recurring") or {}).get("interval_count"), 1),
        "product": (found.get("product"), price.product_id),
        "lookup key": (found.get("lookup_key"), price.lookup_key),
        "plan version": ((found.get("metadata") or {}).get("turnpike_plan_version"), str(version.pk)),
        "active": (found.get("active"), True),
    }
    differs = [f"{name} is {there}, not {ours}" for name, (there, ours) in expected.items() if there != ours]
    return f"Edited at Stripe: {'; '.join(differs)}." if differs else ""


def _find_price(key: str) -> str | None:
    found = api().get("/v1/prices", lookup_keys=[key])["data"]
    return str(found[0]["id"]) if found else None


def _exists(path: str) -> bool:
    try:
        api().get(path)
    except Refused as refusal:
        if refusal.is_missing:
            return False
        raise
    return True
