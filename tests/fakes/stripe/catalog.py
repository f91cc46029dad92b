"""Products, prices and tax rates."""

from decimal import Decimal

from tests.fakes.stripe.customers import changed
from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing, search
from tests.fakes.stripe.world import Object, World, apply, merged

_PRODUCT = (
    "name", "active", "description", "images", "url", "unit_label", "statement_descriptor", "tax_code",
    "shippable", "package_dimensions", "marketing_features", "default_price",
)  # fmt: skip


def create_product(world: World, params: Object) -> Object:
    """POST /v1/products."""
    if params.get("id") in world.objects:
        raise Refusal(f"Product already exists with ID: {params['id']}.", code="resource_already_exists")
    made = world.new("product", "prod", id=params.get("id"), active=True, metadata={}, type="service")
    made["updated"] = made["created"]
    apply(made, params, *_PRODUCT)
    if given := params.get("default_price_data"):
        made["default_price"] = create_price(world, given | {"product": made["id"]})["id"]
    world.emit("product.created", made)
    return made


def update_product(world: World, params: Object, product: str) -> Object:
    """POST /v1/products/{id}."""
    found = world.get("product", product)
    before = world.render(found)
    apply(found, params, *_PRODUCT)
    found["updated"] = world.now()
    changed(world, "product.updated", found, before)
    return found


def product(world: World, params: Object, product: str) -> Object:
    """GET /v1/products/{id}."""
    return world.get("product", product)


def products(world: World, params: Object) -> Object:
    """GET /v1/products."""
    found = [
        one
        for one in world.every("product")
        if params.get("active") in (None, one["active"]) and one["id"] in params.get("ids", [one["id"]])
    ]
    return listing(world, "/v1/products", found, params)


def find_products(world: World, params: Object) -> Object:
    """GET /v1/products/search."""
    return search(world, "/v1/products/search", "product", params)


def delete_product(world: World, params: Object, product: str) -> Object:
    """DELETE /v1/products/{id}: refused while it has prices."""
    found = world.get("product", product)
    if any(world.every("price", product=product)):
        raise Refusal("This product cannot be deleted because it has one or more user-created prices.")
    world.emit("product.deleted", found)
    return world.remove(found)


def create_price(world: World, params: Object) -> Object:
    """POST /v1/prices. Amount, currency and product of a price never change afterwards."""
    if "product_data" in params:
        given = {key: value for key, value in params["product_data"].items() if key != "tax_details"}
        product = create_product(world, given)["id"]
    else:
        product = world.get("product", params.get("product", ""), "product")["id"]
    key = params.get("lookup_key")
    _free_lookup_key(world, key, transfer=params.get("transfer_lookup_key", False))
    made = world.new(
        "price", "price", active=params.get("active", True), billing_scheme="per_unit", product=product,
        currency=params["currency"], lookup_key=key, nickname=params.get("nickname"),
        metadata=merged({}, params.get("metadata", {})), **amounts(params),
        tax_behavior=params.get("tax_behavior", "unspecified"), recurring=recurrence(params.get("recurring")),
        type="recurring" if "recurring" in params else "one_time",
    )  # fmt: skip
    world.emit("price.created", made)
    return made


def amounts(params: Object) -> Object:
    """Return unit_amount and unit_amount_decimal of what names one of them."""
    if "unit_amount" in params:
        return {"unit_amount": params["unit_amount"], "unit_amount_decimal": str(params["unit_amount"])}
    if "unit_amount_decimal" not in params:
        raise Refusal("Exactly one of unit_amount and unit_amount_decimal is required.", param="unit_amount")
    exact = Decimal(params["unit_amount_decimal"])
    whole = int(exact) if exact == exact.to_integral_value() else None
    return {"unit_amount": whole, "unit_amount_decimal": params["unit_amount_decimal"]}


def recurrence(given: Object | None) -> Object | None:
    """Return a price's `recurring` with all its fields."""
    return given and {
        "interval": given["interval"], "interval_count": given.get("interval_count", 1), "meter": None,
        "usage_type": given.get("usage_type", "licensed"),
    }  # fmt: skip


def _free_lookup_key(world: World, key: str | None, *, transfer: bool) -> None:
    for holder in world.every("price", lookup_key=key) if key else ():
        if not transfer:
            raise Refusal(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")
        holder["lookup_key"] = None


def update_price(world: World, params: Object, price: str) -> Object:
    """POST /v1/prices/{price}."""
    found = world.get("price", price)
    before = world.render(found)
    if key := params.get("lookup_key"):
        _free_lookup_key(world, key, transfer=params.get("transfer_lookup_key", False))
    apply(found, params, "active", "nickname", "lookup_key", "tax_behavior")
    changed(world, "price.updated", found, before)
    return found


def price(world: World, params: Object, price: str) -> Object:
    """GET /v1/prices/{price}."""
    return world.get("price", price)


def prices(world: World, params: Object) -> Object:
    """GET /v1/prices."""
    where = {key: params[key] for key in ("active", "currency", "product", "type") if key in params}
    keys = params.get("lookup_keys")
    found = [one for one in world.every("price", **where) if keys is None or one["lookup_key"] in keys]
    return listing(world, "/v1/prices", found, params)


def find_prices(world: World, params: Object) -> Object:
    """GET /v1/prices/search."""
    return search(world, "/v1/prices/search", "price", params)


def price_of(world: World, given: Object, customer: Object | None = None) -> Object:
    """Return the price that an item names, by `price` or by `price_data`."""
    if "price" in given:
        found = world.get("price", given["price"], "price")
        if not found["active"]:
            raise Refusal(
                f"The price specified is inactive. This field only accepts active prices: {found['id']}"
            )
        return found
    return create_price(world, given["price_data"])


def create_tax_rate(world: World, params: Object) -> Object:
    """POST /v1/tax_rates."""
    made = world.new("tax_rate", "txr", active=params.get("active", True), metadata={})
    apply(made, params, "display_name", "inclusive", "percentage", "country", "description", "jurisdiction")
    return made


def tax_rate(world: World, params: Object, given: str) -> Object:
    """GET /v1/tax_rates/{tax_rate}."""
    return world.get("tax_rate", given)


def tax_rates(world: World, params: Object) -> Object:
    """GET /v1/tax_rates."""
    return listing(world, "/v1/tax_rates", world.every("tax_rate"), params)
